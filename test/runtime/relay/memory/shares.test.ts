import { expect, test } from "vitest";
import { guaranteedPart, largestPart, refusalOf, Shares } from "../../../../runtime/relay/memory/shares.ts";

/** A generator of numbers below one, the same for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("a single caller can use the whole capacity", () => {
  const shares = new Shares(100, ["a"]);
  expect(shares.take("a", 100)).toBeUndefined();
  expect(shares.take("a", 1)).toBe("own_share");
  shares.give("a", 100);
  expect(shares.total).toBe(0);
});

test("a busy caller gets what is free, but never the guaranteed part of a quiet one", () => {
  const shares = new Shares(100, ["a", "b"]);
  expect([guaranteedPart(100, 2), largestPart(100, 2)]).toEqual([25, 75]);
  expect(shares.take("a", 75)).toBeUndefined();
  expect(shares.take("a", 1)).toBe("own_share");
  expect(shares.take("b", 25)).toBeUndefined();
  expect(shares.take("b", 1)).toBe("all_used");
  shares.give("a", 10);
  expect(shares.take("b", 10)).toBeUndefined();
});

test("a caller that is not configured has no guaranteed part, and its use still counts", () => {
  const shares = new Shares(100, ["a"]);
  expect(shares.take("gone", 50)).toBeUndefined();
  expect(shares.take("gone", 1)).toBe("own_share");
  expect(shares.take("a", 50)).toBeUndefined();
  expect(shares.take("a", 1)).toBe("all_used");
});

test("after a reload with more callers, a new one gets its part immediately and the busy one nothing more", () => {
  const shares = new Shares(100, ["a"]);
  shares.take("a", 100);
  shares.update(100, ["a", "b"]);
  expect(shares.take("b", 25)).toBeUndefined();
  expect(shares.take("a", 1)).toBe("own_share");
  shares.give("a", 100);
  shares.give("b", 25);
  expect(shares.total).toBe(0);
  expect(shares.take("a", 75)).toBeUndefined();
});

test.each([1, 2, 3])(
  "whatever callers do, a quiet one gets its guaranteed part, and the capacity is not exceeded (seed %i)",
  (seed) => {
    const random = seeded(seed);
    const names = ["a", "b", "c", "quiet"];
    const shares = new Shares(1000, names);
    const held: { name: string; amount: number }[] = [];
    for (let step = 0; step < 5000; step += 1) {
      if (held.length > 0 && random() < 0.45) {
        const [one] = held.splice(Math.floor(random() * held.length), 1);
        shares.give(one!.name, one!.amount);
      } else {
        const name = names[Math.floor(random() * 3)]!;
        const amount = Math.ceil(random() * 400);
        const before = new Map(names.map((each) => [each, shares.usedBy(each)]));
        const refused = shares.take(name, amount);
        expect(refused).toBe(refusalOf(name, amount, 1000, before, names)); // the running sums are those of the rule
        if (refused === undefined) held.push({ name, amount });
      }
      expect(shares.total).toBeLessThanOrEqual(1000);
      expect(shares.take("quiet", guaranteedPart(1000, 4))).toBeUndefined();
      shares.give("quiet", guaranteedPart(1000, 4));
    }
    for (const { name, amount } of held) shares.give(name, amount);
    expect(shares.total).toBe(0);
  },
);
