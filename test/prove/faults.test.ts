/** What the fault cases judge by: a suite that lets everything pass proves nothing. */
import { expect, it } from "vitest";
import { FAULTS } from "./faults/faults.ts";
import { DocumentLedger, Seen } from "./faults/ledger.ts";
import type { FaultVerdict } from "./faults/run.ts";
import { growth, type Sample, slopeOf } from "./faults/slope.ts";
import { some } from "./faults/suite.ts";
import { table } from "./report.ts";

it("has cases with names of their own, and those on MongoDB last", () => {
  expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
  const firstOnMongo = FAULTS.findIndex(({ store }) => store === "atlas");
  expect(FAULTS.slice(firstOnMongo).every(({ store }) => store === "atlas")).toBe(true);
});

it("chooses the same few for the same seed", () => {
  expect(some(4, 7, FAULTS)).toEqual(some(4, 7, FAULTS));
  expect(some(4, 7, FAULTS)).not.toEqual(some(4, 8, FAULTS));
  expect(some(4, 7, FAULTS)).toHaveLength(4);
});

it("misses an acknowledged document, and one that came back", () => {
  const ledger = new DocumentLedger();
  ledger.acknowledged("kept", "text 1");
  ledger.acknowledged("deleted", null);
  expect(ledger.problem("kept", "text 1")).toBeUndefined();
  expect(ledger.problem("kept", null)).toMatch(/kept is gone/);
  expect(ledger.problem("kept", "text 0")).toMatch(/holds "text 0", acknowledged was "text 1"/);
  expect(ledger.problem("deleted", "text 1")).toMatch(/deleted document deleted is back/);
});

it("accepts either outcome of what was not answered, and no third one", () => {
  const ledger = new DocumentLedger();
  ledger.acknowledged("t", "text 1");
  ledger.inDoubt("t", "text 2");
  expect([ledger.problem("t", "text 1"), ledger.problem("t", "text 2")]).toEqual([undefined, undefined]);
  expect(ledger.problem("t", null)).toMatch(/is gone/);
  expect(ledger.isInDoubt("t")).toBe(true);
});

it("counts what clients saw by status and code", () => {
  const seen = new Seen();
  for (const [status, code] of [
    [200, ""],
    [0, ""],
    [503, "model_down"],
    [503, "model_down"],
  ] as const)
    seen.note(status, code);
  expect(seen.counts).toEqual({ "200": 1, "no answer": 1, "503 model_down": 2 });
});

const minutes = (value: (minute: number) => number): Sample[] =>
  Array.from({ length: 120 }, (_, index) => ({ minute: index / 12, value: value(index / 12) }));

it("tells growth from noise and from a few high samples", () => {
  expect(slopeOf(minutes((minute) => 100 + 3 * minute))).toBeCloseTo(3);
  expect(
    growth(
      "memory",
      minutes((minute) => 100 + 3 * minute),
      16,
    ),
  ).toMatch(/memory grew by 22\.\d in 8 minutes, from 10\d/);
  expect(
    growth(
      "memory",
      minutes((minute) => 100 + 10 * Math.sin(minute * 40)),
      16,
    ),
  ).toBeUndefined();
  expect(
    growth(
      "memory",
      minutes((minute) => (minute > 9.6 ? 300 : 100)),
      16,
    ),
  ).toBeUndefined();
  // Caches are filled in the first fifth.
  expect(
    growth(
      "memory",
      minutes((minute) => 100 + 50 * Math.min(1, minute)),
      16,
    ),
  ).toBeUndefined();
  // Peaks that become more often, above what is always given back.
  expect(
    growth(
      "memory",
      minutes((minute) => ((minute * 12) % 6 < minute / 2 ? 150 : 100)),
      16,
    ),
  ).toBeUndefined();
  expect(growth("memory", minutes(() => 100).slice(0, 5), 16)).toMatch(/too few samples/);
});

it("puts faults on lines of the table, and those that cannot be run", () => {
  const verdict: FaultVerdict = {
    name: "relay-killed",
    fault: "is killed",
    tried: 3,
    calls: 10,
    seen: { "200": 8, "no answer": 2 },
    jobs: 2,
    documents: 1,
    lost: ["a job"],
    answered: 5,
    worstMs: 1500,
    memoryMiB: 150,
    memoryBoundMiB: 580,
    healthyMs: 2100,
    leftBehind: [],
    failures: ["1 lost or wrong: a job"],
  };
  const lines = table([], [verdict, { ...verdict, skipped: "needs an sshd" }]).split("\n");
  expect(lines[2]).toContain("| relay-killed | 3 | 200: 8, no answer: 2 | 1 | 5 | 1500 ms |");
  expect(lines[2]).toContain("| 2100 ms | FAILS: 1 lost or wrong: a job |");
  expect(lines[3]).toContain("not run here: it needs an sshd");
});
