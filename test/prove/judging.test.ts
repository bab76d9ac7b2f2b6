/** What the proving suite judges by: a suite that lets everything pass proves nothing. */
import { describe, expect, it } from "vitest";
import type { Case } from "./case.ts";
import { CASES, caseNamed, randomPairs } from "./cases.ts";
import { memoryFaults } from "./malformed/memory.ts";
import { judge, type Measured } from "./measure/bound.ts";
import { quantile } from "./measure/process.ts";
import { seeded } from "./measure/random.ts";
import { table } from "./report.ts";

const attack: Case = { name: "attack", attack: "attacks", serviceMs: 1000, run: async () => {} };
const rest = { p99Ms: 20, memoryMiB: 100 };
const seen = { waits: [5, 2100], controlWaits: [3, 10], wrong: [], asked: 2 };
const good: Measured = {
  seen,
  outcome: { requests: 10, statuses: { "200": 10 } },
  memoryMiB: 300,
  jobsMiB: 60,
  documentsMiB: 10,
  broken: [],
};
const failuresOf = (changes: Partial<Measured>, one = attack) =>
  judge([one], { ...good, ...changes }, rest, 250).failures;

describe("judging a case", () => {
  it("lets pass what waits for what runs and one round", () => {
    expect(failuresOf({})).toEqual([]);
  });

  it.for<[string, Partial<Measured>, RegExp]>([
    ["a wait above both and the noise", { seen: { ...seen, waits: [2300] } }, /p99 of the wait is 2300 ms, bound 2250/],
    ["a wrong answer", { seen: { ...seen, wrong: ["answer: 429 queue_full"] } }, /1 answers lost or wrong/],
    ["memory above the budget", { memoryMiB: 900 }, /peak memory 900 MiB/],
    ["jobs above their share", { jobsMiB: 200 }, /jobs take 200 MiB/],
    ["documents above their bound", { documentsMiB: 100 }, /documents take 100 MiB/],
    ["a relay that ended", { broken: ["the relay ended: SIGABRT"] }, /the relay ended/],
  ])("fails %s", ([, changes, why]) => {
    expect(failuresOf(changes)).toEqual([expect.stringMatching(why)]);
  });

  it("takes what the control waits for the machine's doing, and nothing else", () => {
    const waits = [2900];
    expect(failuresOf({ seen: { ...seen, waits, controlWaits: [500] } })).toEqual([]);
    expect(failuresOf({ seen: { ...seen, waits, controlWaits: [300] } })).toHaveLength(1);
  });

  it("fails an attack that must be refused and was not", () => {
    const bounded = { ...attack, mustRefuse: true };
    expect(failuresOf({}, bounded)).toEqual(["nothing of the attack was refused"]);
    expect(failuresOf({ outcome: { requests: 2, statuses: { "200": 1, "429": 1 } } }, bounded)).toEqual([]);
  });

  it("adds the rounds of two attacks for another company of the same caller only", () => {
    const boundOf = (one: Case) => judge([one, one], good, rest, 250).boundMs;
    expect(boundOf(attack)).toBe(1000 + 1000 + 250);
    expect(boundOf({ ...attack, quietIs: "company" })).toBe(1000 + 2 * 1000 + 250);
  });

  it("puts every case on one line of the table", () => {
    const verdict = judge([attack, attack], { ...good, broken: ["a|b\nc"] }, rest, 250);
    const lines = table([verdict]).split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[2]).toContain("attack + attack");
    expect(lines[2]).toContain("FAILS: a\\|b c");
  });
});

describe("the cases", () => {
  it("have names of their own, and are found by them", () => {
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
    expect(CASES.map(({ name }) => caseNamed(name))).toEqual(CASES);
    expect(() => caseNamed("no-such")).toThrow(/There is no case "no-such"\. The cases: keep-alive, /);
  });

  it("are paired at random by the seed, each pair once, with one quiet caller", () => {
    const names = (seed: number) => randomPairs(10, seeded(seed)).map((pair) => pair.map(({ name }) => name).join("+"));
    expect(names(7)).toEqual(names(7));
    expect(names(7)).not.toEqual(names(8));
    expect(new Set(names(7)).size).toBe(10);
    const all = randomPairs(10_000, seeded(1));
    expect(all.every(([one, other]) => one.quietIs === other.quietIs)).toBe(true);
  });
});

it("takes the nearest rank for a quantile", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([quantile(hundred, 0.99), quantile([3], 0.99), quantile([], 0.99)]).toEqual([99, 3, 0]);
});

describe("judging memory over malformed requests", () => {
  const flat = {
    restMiB: 150,
    heldMiB: [36, 37, 44, 38, 47, 56, 43, 38, 61, 38],
    residentMiB: [380, 433, 451, 457, 467, 470, 480, 490, 500, 510],
  };
  const tenths = Array.from({ length: 10 }, (_, tenth) => tenth);

  it("lets pass what requests in flight hold, and pages that malloc and V8 keep", () => {
    expect(memoryFaults(flat, 256)).toEqual([]);
  });

  it.for<[string, Partial<typeof flat>, RegExp]>([
    ["a leak of 200 bytes a request", { heldMiB: tenths.map((n) => 36 + n * 1.9) }, /holds grows: 36, 38, .*; 8 count/],
    [
      "requests that were kept for 80 s, as measured once",
      { heldMiB: [43, 46, 49, 64, 64, 66, 71, 75, 85, 91] },
      /holds grows/,
    ],
    ["memory that is not the heap's", { residentMiB: tenths.map((n) => 380 + n * 25) }, /over 566 MiB: 380, 405/],
    ["a relay that cannot be measured", { heldMiB: [36, 37] }, /too few samples/],
  ])("fails %s", ([, changes, why]) => {
    expect(memoryFaults({ ...flat, ...changes }, 256)).toEqual([expect.stringMatching(why)]);
  });
});
