import structPb from "google-protobuf/google/protobuf/struct_pb.js";
import { expect, it } from "vitest";
import { diff } from "../../../sandbox/providers/plugin/diff.ts";
import { list, string } from "../../../sandbox/providers/plugin/fields.ts";
import {
  Asset,
  decode,
  encode,
  equal,
  type Props,
  protect,
  reveal,
  Secret,
  unknown,
} from "../../../sandbox/providers/plugin/values.ts";

const signature = "4dabf18193072939515e22adb298388d";

it("brings every kind of value over the wire and back", () => {
  const props: Props = {
    text: "말",
    number: 1.5,
    flag: false,
    list: ["a", { b: [] }],
    secret: new Secret({ deep: ["s"] }),
    unknown,
    secretUnknown: new Secret(unknown),
    file: new Asset("asset", { path: "/x", hash: "h" }),
    empty: new Asset("asset", { text: "" }),
    archive: new Asset("archive", { assets: { a: new Asset("asset", { text: "t" }) } }),
  };
  expect(decode(encode(props))).toEqual(props);
});

it("reads output values, references and every sentinel of the unknown, and drops nulls", () => {
  const output = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
  const struct = structPb.Struct.fromJavaScript({
    known: { [signature]: output, value: 1, dependencies: ["urn"] },
    hidden: { [signature]: output, value: "s", secret: true },
    later: { [signature]: output },
    laterHidden: { [signature]: output, secret: true },
    reference: { [signature]: "5cf8f73096256a8f31e491e813e4eb8e", urn: "u", id: "i" },
    flag: "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    object: "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    none: null,
  });
  expect(decode(struct)).toEqual({
    known: 1,
    hidden: new Secret("s"),
    later: unknown,
    laterHidden: new Secret(unknown),
    reference: "i",
    flag: unknown,
    object: unknown,
  });
  const strange = structPb.Struct.fromJavaScript({ x: { [signature]: "made up" } });
  expect(() => decode(strange)).toThrow(/signature made up/);
});

it("removes secret marks and restores them", () => {
  const origin: Props = { a: { inner: new Secret("s"), open: 1 }, b: "x" };
  expect(reveal(origin)).toEqual({ a: { inner: "s", open: 1 }, b: "x" });
  expect(protect({ a: { inner: "s", open: 1 }, b: "x", c: "y" }, ["c"], origin)).toEqual({
    ...origin,
    c: new Secret("y"),
  });
  // Changed: what is secret in it can no longer be told from what is not.
  expect(protect({ a: { inner: "t", open: 1 } }, [], origin)).toEqual({ a: new Secret({ inner: "t", open: 1 }) });
});

it("compares assets by their hash, since the engine elides the rest", () => {
  expect(equal(new Asset("asset", { hash: "h" }), new Asset("asset", { hash: "h", path: "/x" }))).toBe(true);
  expect(equal(new Asset("asset", { hash: "h" }), new Asset("asset", { hash: "g", path: "/x" }))).toBe(false);
  expect(equal(new Asset("asset", { hash: "h" }), new Asset("archive", { hash: "h" }))).toBe(false);
  expect(equal(unknown, unknown)).toBe(false);
});

it("quotes keys that are not identifiers in paths, and ignores a change of the secret mark alone", () => {
  const fields = { tags: string(), names: list(string(), { set: true }) };
  expect([...diff(fields, { tags: { "a.b": "1" } }, { tags: { "a.b": "2" } }).keys()]).toEqual(['tags["a.b"]']);
  expect(diff(fields, { tags: "x" }, { tags: new Secret("x") }).size).toBe(0);
  expect(diff(fields, { names: ["a", "b"] }, { names: ["b", "a"] }).size).toBe(0);
});
