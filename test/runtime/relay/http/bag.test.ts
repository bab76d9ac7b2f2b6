/** Things that come and go. */
import { expect, test } from "vitest";
import { Bag, type InBag } from "../../../../runtime/relay/http/bag.ts";
import { seeded } from "../drills/seed.ts";

const thing = (name: string): InBag & { name: string } => ({ place: -1, name });

test("a bag has what was put in and not taken out, whatever the order, once each", () => {
  const bag = new Bag<InBag & { name: string }>();
  const all = ["a", "b", "c", "d"].map(thing);
  for (const one of all) bag.add(one);
  bag.add(all[0]!);
  expect(bag.size).toBe(4);
  bag.delete(all[1]!);
  bag.delete(all[1]!);
  bag.delete(all[3]!);
  expect(
    bag
      .list()
      .map(({ name }) => name)
      .sort(),
  ).toEqual(["a", "c"]);
  bag.delete(all[0]!);
  bag.delete(all[2]!);
  expect(bag.size).toBe(0);
  bag.add(all[1]!);
  expect(bag.list()).toEqual([all[1]]);
});

test("against a Set, with a thousand random steps", () => {
  const random = seeded("bag");
  const all = Array.from({ length: 20 }, (_, at) => thing(String(at)));
  const bag = new Bag<InBag & { name: string }>();
  const set = new Set<InBag>();
  for (let step = 0; step < 1000; step += 1) {
    const one = random.pick(all);
    if (random.next() < 0.5) {
      bag.add(one);
      set.add(one);
    } else {
      bag.delete(one);
      set.delete(one);
    }
    expect(new Set(bag.list())).toEqual(set);
    expect(bag.list().every((inside, at) => inside.place === at)).toBe(true);
  }
});
