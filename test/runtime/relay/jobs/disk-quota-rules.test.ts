/** Whether work and answers have room on the disk, at the limits. With usage that is set by hand; `disk-quota.test.ts` fills one. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { DiskQuota } from "../../../../runtime/relay/jobs/disk-quota.ts";
import { JOB_BYTES } from "../../../../runtime/relay/jobs/schema.ts";
import { StoreFailed } from "../../../../runtime/relay/jobs/store.ts";
import { statements, usedBytes } from "../../../../runtime/relay/sqlite.ts";
import { temporaryFolder } from "../harness.ts";

const MIB = 1024 * 1024;
/** New work counts with this. */
const RECORD = JOB_BYTES;

/** @param usage bytes of each owner; they need not be what the file has */
function start(usage: Record<string, number> = {}) {
  const db = new DatabaseSync(":memory:");
  db.exec(
    `CREATE TABLE usage (owner TEXT, bytes INTEGER); CREATE TABLE x (y BLOB); INSERT INTO x VALUES (zeroblob(${MIB}))`,
  );
  for (const [owner, bytes] of Object.entries(usage)) db.prepare("INSERT INTO usage VALUES (?, ?)").run(owner, bytes);
  const sql = statements(db);
  const used = usedBytes(sql);
  const quota = (maxBytes: number, callers?: string[]) =>
    new DiskQuota(sql, { file: "/jobs.db", maxBytes, minFreeBytes: 0 }, callers);
  return { sql, used, quota };
}

/** The bound with which new work is accepted up to `line`. */
const forWork = (line: number) => line * 1.25;
/** The same for answers; half a byte more, for rounding. */
const forAnswers = (line: number) => (line + 0.5) / (1 - 1 / 32);

it("new work is accepted up to 80 % of the bound, with its record", () => {
  const { used, quota } = start();
  const full = { kind: "store_full", usedBytes: used };
  for (const callers of [undefined, ["a"], ["a", "b"]]) {
    const one = quota(forWork(used + RECORD + 1000), callers);
    expect(one.refuseWork("a", 1000)).toBeUndefined();
    expect(one.refuseWork("x", 1001)).toEqual(full);
  }
});

it("an answer of accepted work is accepted up to the whole bound, but for the store's own records", () => {
  const { used, quota } = start();
  const one = quota(forAnswers(used + 1000));
  expect(one.refuseAnswer("a", 1000)).toBeUndefined();
  expect(one.refuseAnswer("a", 1001)).toEqual({ kind: "store_full", usedBytes: used });
});

it("a single owner can use all of it", () => {
  const { used, quota } = start({ a: 3 * MIB });
  for (const callers of [undefined, ["a"]]) {
    const one = quota(forWork(3 * MIB + RECORD + 1000), callers);
    expect(one.refuseWork("a", 1000)).toBeUndefined();
    expect(one.refuseWork("a", 1001)).toEqual({ kind: "store_full", usedBytes: used });
  }
});

it("one of two callers can use three quarters of it", () => {
  const line = 4 * (2 * MIB);
  const { quota } = start({ a: 5 * MIB });
  const one = quota(forWork(line), ["a", "b"]);
  expect(one.refuseWork("a", MIB - RECORD)).toBeUndefined();
  expect(one.refuseWork("a", MIB - RECORD + 1)).toEqual({
    kind: "share_full",
    usedBytes: 5 * MIB,
    shareBytes: expect.closeTo(6 * MIB, -1) as number,
  });
  expect(one.refuseWork("b", 2 * MIB - RECORD)).toBeUndefined();
});

it("a caller that has used nothing and wants more than its share is told so", () => {
  const { quota } = start();
  expect(quota(forWork(8 * MIB), ["a", "b"]).refuseWork("a", 6 * MIB)).toMatchObject({
    kind: "share_full",
    usedBytes: 0,
  });
});

it("what all callers use together is the reason if another one uses more than its part", () => {
  const { used, quota } = start({ b: 6 * MIB });
  expect(quota(forWork(8 * MIB), ["a", "b"]).refuseWork("a", 3 * MIB)).toEqual({ kind: "store_full", usedBytes: used });
});

it("a caller within its part is accepted beyond 80 %: space freed within pages counts as used", () => {
  const { used, quota } = start({ a: 1000 });
  // The file is at the limit already.
  const bound = forWork(used);
  const last = bound * (1 - 1 / 32);
  const full = { kind: "store_full", usedBytes: used };
  expect(quota(bound, ["a", "b"]).refuseWork("a", 1)).toBeUndefined();
  expect(quota(bound, ["b"]).refuseWork("a", 1)).toEqual(full);
  expect(quota(bound).refuseWork("a", 1)).toEqual(full);
  // Beyond its part: a quarter of the limit for two callers, an eighth for four.
  const part = (callers: number) => used / 2 / callers - 1000 - RECORD;
  const four = ["a", "b", "c", "d"];
  expect(quota(bound, four).refuseWork("a", part(4))).toBeUndefined();
  expect(quota(bound, four).refuseWork("a", part(4) + 1)).toEqual(full);
  // Beyond the bound for answers.
  const room = last - used - RECORD;
  expect(quota(bound, ["a", "b"]).refuseWork("a", room)).toBeUndefined();
  expect(quota(bound, ["a", "b"]).refuseWork("a", room + 1)).toEqual(full);
});

it("new work leaves space on the disk, answers do not count it", () => {
  const { quota } = start();
  const one = quota(64 * MIB, ["a"]);
  expect(one.refuseWork("a", Number.MAX_SAFE_INTEGER)).toEqual({
    kind: "disk_low",
    freeBytes: expect.any(Number) as number,
  });
  one.setLimits({ maxBytes: 64 * MIB, minFreeBytes: Number.MAX_SAFE_INTEGER });
  expect(one.refuseWork("a", 1)).toMatchObject({ kind: "disk_low" });
  expect(one.refuseAnswer("a", 1)).toBeUndefined();
});

it("a changed bound and changed callers count at once", () => {
  const { used, quota } = start({ a: 5 * MIB });
  const one = quota(forWork(8 * MIB), ["a", "b"]);
  one.setCallers(["a"]);
  expect(one.refuseWork("a", 2 * MIB)).toBeUndefined();
  one.setLimits({ maxBytes: 1, minFreeBytes: 0 });
  expect(one.refuseWork("a", 1)).toEqual({ kind: "store_full", usedBytes: used });
});

it("a folder that is gone is a failure of the store", async () => {
  const { sql } = start();
  const file = join(await temporaryFolder(), "gone", "jobs.db");
  const quota = new DiskQuota(sql, { file, maxBytes: 64 * MIB, minFreeBytes: 0 }, ["a"]);
  expect(() => quota.refuseWork("a", 1)).toThrow(StoreFailed);
  expect(() => quota.refuseWork("a", 1)).toThrow("the free space on the disk cannot be read");
  expect(quota.refuseAnswer("a", 1)).toBeUndefined();
});
