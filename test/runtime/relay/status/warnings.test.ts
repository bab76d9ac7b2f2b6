import { expect, it } from "vitest";
import type { PageState } from "../../../../runtime/relay/status/page-data.ts";
import { warningsOf } from "../../../../runtime/relay/status/warnings.ts";
import { AT, pageStateWith } from "./sample.ts";

const DAY = 86_400_000;
const GB = 1e9;
const codes = (changes: Partial<PageState>) =>
  warningsOf(pageStateWith(changes), { minFreeBytes: 2 * GB, ledger: { available: true } }).map(({ code }) => code);
const token = (expiresAt: number | null | "never", enabled = true) => ({
  name: "backend",
  enabled,
  expiresAt,
  issuedAt: null,
});
const queue = (waiting: number, longestWaitMs: number | null, expectedWaitMs: number | null) => ({
  name: "chat" as const,
  slots: 4,
  running: 4,
  waiting,
  jobsWaiting: 0,
  longestWaitMs,
  expectedWaitMs,
  callers: [],
});
const { relay, model, jobs } = pageStateWith();

it("a relay that works has none", () => {
  expect(codes({})).toEqual([]);
});

it("says what is down", () => {
  expect(codes({ relay: { ...relay, draining: true } })).toEqual(["draining"]);
  expect(codes({ model: { ...model, reachable: false, reason: "x" } })).toEqual(["model_down"]);
  expect(codes({ jobs: { ...jobs, available: false } })).toEqual(["jobs_unavailable"]);
  const documents = { store: "atlas", since: AT, reason: "x", kept: null, bytes: null, ttlDays: 30 } as const;
  expect(codes({ documents: { ...documents, available: false } })).toEqual(["store_unavailable"]);
  const lines = [
    { server: "a", connected: true, since: null, reason: null },
    { server: "b", connected: false, since: null, reason: "refused" },
  ];
  expect(warningsOf(pageStateWith({ lines }), { minFreeBytes: 0, ledger: { available: true } })).toEqual([
    { code: "line_down", server: "b", reason: "refused" },
  ]);
});

it("says that the ledger cannot be used", () => {
  const ledger = { available: false, reason: "disk I/O error" };
  expect(warningsOf(pageStateWith(), { minFreeBytes: 0, ledger })).toEqual([
    { code: "ledger_unavailable", reason: "disk I/O error" },
  ]);
});

it("says that the disk fills before jobs are refused", () => {
  const disk = (freeBytes: number) => ({ relay: { ...relay, disk: { freeBytes, totalBytes: 1000 * GB } } });
  expect(codes(disk(2.6 * GB))).toEqual([]);
  expect(codes(disk(2.4 * GB))).toEqual(["disk_low"]);
});

it("says that calls wait long, by what they waited or will wait", () => {
  expect(codes({ queues: [queue(3, 2_000, 9_000)] })).toEqual([]);
  expect(codes({ queues: [queue(3, 20_000, null)] })).toEqual(["queue_long"]);
  expect(codes({ queues: [queue(3, 1_000, 40_000)] })).toEqual(["queue_long"]);
  expect(codes({ queues: [queue(0, null, 40_000)] })).toEqual([]);
});

it("says that a token ends within 30 days, or has ended; not of one that is switched off or has no end", () => {
  expect(codes({ tokens: [token(AT + 31 * DAY)] })).toEqual([]);
  expect(codes({ tokens: [token(AT + 29 * DAY)] })).toEqual(["token_ends"]);
  expect(codes({ tokens: [token(AT - 1)] })).toEqual(["token_ended"]);
  expect(codes({ tokens: [token(AT - 1, false), token(null), token("never")] })).toEqual([]);
});
