import { expect, test } from "vitest";
import { type Indexed, IndexedSet } from "../../../runtime/relay/indexed-set.ts";

const item = (name: string): Indexed & { name: string } => ({ name, index: -1 });

test("holds each item once, wherever others are removed", () => {
  const set = new IndexedSet<ReturnType<typeof item>>();
  const all = ["a", "b", "c", "d"].map(item);
  for (const one of [...all, all[1]!]) set.add(one);
  expect(set.size).toBe(4);
  set.delete(all[0]!);
  set.delete(all[0]!);
  expect(
    set
      .items()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["b", "c", "d"]);
  for (const [at, one] of set.items().entries()) expect(one.index).toBe(at);
  set.delete(all[3]!);
  set.add(all[0]!);
  for (const one of all.slice(0, 3)) set.delete(one);
  expect([set.size, set.items()]).toEqual([0, []]);
  expect(all.map(({ index }) => index)).toEqual([-1, -1, -1, -1]);
});

test("may change while its items are read", () => {
  const set = new IndexedSet<ReturnType<typeof item>>();
  for (const name of ["a", "b", "c"]) set.add(item(name));
  const seen: string[] = [];
  for (const one of set.items()) {
    seen.push(one.name);
    set.delete(one);
  }
  expect(seen).toEqual(["a", "b", "c"]);
  expect(set.size).toBe(0);
});

test("an item that is in no set can be deleted", () => {
  const set = new IndexedSet<Indexed>();
  set.delete({ index: -1 });
  expect(set.size).toBe(0);
});
