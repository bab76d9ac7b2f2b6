import { expect, it } from "vitest";
import { contentHashes, isAltered } from "../../../runtime/installer/repair.ts";

const key = "k";
const written = contentHashes(key, new Map([["a", "one"]]));

it("takes a file with other contents than were written for altered, and no other", () => {
  expect(isAltered(written, key, new Map([["a", "two"]]), ["a"])).toBe(true);
  expect(isAltered(written, key, new Map([["a", "one"]]), ["a"])).toBe(false);
  expect(isAltered(written, key, new Map(), ["a"])).toBe(false); // gone: nothing can have read it
  expect(isAltered(written, key, new Map([["a", "two"]]), [])).toBe(false); // another daemon's
});

it("takes nothing for altered after an installation by a version that kept no hashes", () => {
  expect(isAltered(undefined, key, new Map([["a", "two"]]), ["a"])).toBe(false);
});

it("keeps no hash that guesses can be tested against without the Mac's key", () => {
  expect(contentHashes("other", new Map([["a", "one"]]))).not.toEqual(written);
});
