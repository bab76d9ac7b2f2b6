/** What the fault cases judge by: a suite that lets everything pass proves nothing. */
import { expect, it } from "vitest";
import { CASES } from "./cases.ts";
import { FAULTS } from "./faults/faults.ts";
import { DocumentLedger, Seen } from "./faults/ledger.ts";
import { type FaultVerdict, isServed } from "./faults/run.ts";
import { growth, notFlat, type Sample, slopeOf } from "./faults/slope.ts";
import { attackSecondsOf, LEAST_ATTACK_SECONDS, MINUTES, QUICK_FAULTS, RANDOM_PAIRS, some } from "./faults/suite.ts";
import { table } from "./report.ts";

it("has cases with names of their own, and those on MongoDB last", () => {
  expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
  const firstOnMongo = FAULTS.findIndex(({ store }) => store === "atlas");
  expect(FAULTS.slice(firstOnMongo).every(({ store }) => store === "atlas")).toBe(true);
});

it("has room for everything that a run without --minutes chooses", () => {
  const quick = CASES.filter((one) => one.quick === true).length;
  const most = LEAST_ATTACK_SECONDS;
  expect(attackSecondsOf(MINUTES.all, CASES.length + RANDOM_PAIRS, FAULTS.length)).toBeGreaterThan(2 * most);
  expect(attackSecondsOf(MINUTES.quick, quick, QUICK_FAULTS)).toBeGreaterThan(most);
  expect(attackSecondsOf(20, CASES.length + RANDOM_PAIRS, FAULTS.length)).toBeLessThan(most);
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
      minutes((minute) => 100 + 4 * minute),
      16,
    ),
  ).toMatch(/memory grew by 1[89]\.\d in 5 minutes, from 12\d/);
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
  // Caches are filled in the first half.
  expect(
    growth(
      "memory",
      minutes((minute) => 100 + 50 * Math.min(1, minute / 4)),
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

const HELD = { heldMiB: 30, ownMiB: 110, descriptors: 60, handles: 50 };

/** A run of so many minutes, sampled every half minute, with garbage, pools and faults, and `leak` a minute on top. */
function soaked(runMinutes: number, leak: Partial<typeof HELD>): Record<keyof typeof HELD, Sample[]> {
  const samplesOf = (what: keyof typeof HELD) =>
    Array.from({ length: runMinutes * 2 }, (_, index) => {
      const minute = (index + 1) / 2;
      const warmUp = 1 - Math.exp(-minute / (runMinutes / 10));
      const noise = HELD[what] * 0.05 * (warmUp + 0.3 * Math.sin(index * 1.7));
      return { minute, value: HELD[what] + noise + (leak[what] ?? 0) * minute };
    });
  const [heldMiB, ownMiB] = [samplesOf("heldMiB"), samplesOf("ownMiB")];
  return { heldMiB, ownMiB, descriptors: samplesOf("descriptors"), handles: samplesOf("handles") };
}

it("calls a soak run flat that is, and names each quantity that leaks", () => {
  for (const runMinutes of [6, 30]) expect(notFlat(soaked(runMinutes, {}))).toEqual([]);
  // 100 KiB a call of ten a second would be 60 MiB a minute; found are 0.3 MiB a minute in half an hour, 1.5 in six minutes.
  expect(notFlat(soaked(30, { heldMiB: 0.3 }))).toEqual([
    expect.stringMatching(/^heldMiB grew by 4\.\d in 15 minutes/),
  ]);
  expect(notFlat(soaked(6, { heldMiB: 1.5 }))).toEqual([expect.stringMatching(/^heldMiB grew by 4\.\d in 3 minutes/)]);
  expect(notFlat(soaked(30, { ownMiB: 1.2 }))).toEqual([expect.stringMatching(/^ownMiB grew/)]);
  expect(notFlat(soaked(30, { descriptors: 0.5 }))).toEqual([expect.stringMatching(/^descriptors grew/)]);
  expect(notFlat(soaked(30, { handles: 0.5 }))).toEqual([expect.stringMatching(/^handles grew/)]);
  expect(notFlat({ ...soaked(6, {}), heldMiB: [] })).toEqual(["heldMiB: too few samples to judge"]);
});

it("is healthy only when calls of every kind are served", async () => {
  const served = {
    "POST /v1/chat/completions": "{}",
    "POST /v1/embeddings": "{}",
    "PUT /v1/documents": '{"stored": true}',
  };
  const client = (answers: Readonly<Record<string, string>>) => ({
    send: async (method: string, path: string) => {
      const text = answers[`${method} ${path.split("?")[0]}`];
      return { status: text === undefined ? 503 : 200, headers: {}, text: text ?? "" };
    },
  });
  expect(await isServed(client(served))).toBe(true);
  for (const missing of Object.keys(served)) {
    expect(await isServed(client({ ...served, [missing]: undefined! })), missing).toBe(false);
  }
  // Divided and embedded, but the store was away.
  expect(await isServed(client({ ...served, "PUT /v1/documents": '{"stored": false}' }))).toBe(false);
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
