import { expect, it } from "vitest";
import { contentHashes, isAltered } from "../../../runtime/installer/repair.ts";

const key = "k";
const written = contentHashes(key, new Map([["a", "one"]]));

it("treats only files with other contents than written as altered", () => {
  expect(isAltered(written, key, new Map([["a", "two"]]), ["a"])).toBe(true);
  expect(isAltered(written, key, new Map([["a", "one"]]), ["a"])).toBe(false);
  expect(isAltered(written, key, new Map(), ["a"])).toBe(false); // gone: nothing can have read it
  expect(isAltered(written, key, new Map([["a", "two"]]), [])).toBe(false); // another daemon's
});

it("treats nothing as altered after an installation by a version without hashes", () => {
  expect(isAltered(undefined, key, new Map([["a", "two"]]), ["a"])).toBe(false);
});

it("keeps no hash that could verify guesses without the Mac's key", () => {
  expect(contentHashes("other", new Map([["a", "one"]]))).not.toEqual(written);
});
