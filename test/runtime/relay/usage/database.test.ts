/** The ledger's file: roll-ups equal rows, retention, its bound on the disk, damaged and newer files. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DAY_MS, HOUR_MS } from "../../../../runtime/relay/usage/calendar.ts";
import { LedgerDatabase, type LedgerOptions } from "../../../../runtime/relay/usage/database.ts";
import { OTHERS } from "../../../../runtime/relay/usage/others.ts";
import type { UsageRow } from "../../../../runtime/relay/usage/row.ts";
import { NOON, randomRows, row } from "./rows.ts";

const MIB = 1024 * 1024;
let folder: string;
let open: LedgerDatabase[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ledger-"));
  vi.useFakeTimers({ now: NOON, toFake: ["Date"] });
});

afterEach(() => {
  for (const database of open) if (database.db.isOpen) database.close();
  open = [];
  rmSync(folder, { recursive: true, force: true });
  vi.useRealTimers();
});

function ledger(options: Partial<LedgerOptions> = {}): LedgerDatabase {
  const database = new LedgerDatabase({
    file: join(folder, "usage.db"),
    retentionDays: 400,
    timeZone: "Asia/Seoul",
    maxBytes: 512 * MIB,
    minFreeBytes: 0,
    instance: `${process.pid}:boot`,
    ...options,
  });
  open.push(database);
  return database;
}

const sum = (rows: readonly UsageRow[], of: (one: UsageRow) => number) =>
  rows.reduce((total, one) => total + of(one), 0);

describe("lengths", () => {
  it("are quantiles of answered calls to a model and jobs, of the range and of the newest", () => {
    const database = ledger();
    expect(database.lengths({ from: 0, to: NOON + 1 })).toBeUndefined();
    const answered = Array.from({ length: 10 }, (_, i) => row({ tokensIn: 100 * (i + 1), tokensOut: i + 1 }));
    const others = [
      row({ tokensIn: 9, tokensOut: 9, status: 500, code: "model_server_error" }),
      row({ tokensIn: 9, tokensOut: 0 }),
      row({ tokensIn: 9, tokensOut: 9, servedBy: "cache" }),
      row({ tokensIn: 9, tokensOut: 9, servedBy: "fallback" }),
      row({ kind: "search", tokensIn: 9, tokensOut: 9 }),
      row({ at: NOON - DAY_MS, tokensIn: 9, tokensOut: 9 }),
    ];
    database.append([...answered, ...others], undefined);
    database.append([row({ kind: "job", tokensIn: 5000, tokensOut: 50 })], undefined);
    expect(database.lengths({ from: NOON - HOUR_MS, to: NOON + 1 })).toEqual({
      calls: 11,
      prompt: { p50: 600, p90: 1000 },
      answer: { p50: 6, p90: 10 },
    });
    expect(database.lengths({ from: NOON - HOUR_MS, to: NOON + 1, caller: "nobody" })).toBeUndefined();
  });
});

describe("sums", () => {
  it.each(["Asia/Seoul", "Asia/Kathmandu", "America/New_York", "UTC"])(
    "roll-ups of every step equal the rows, by every dimension (%s)",
    (timeZone) => {
      const database = ledger({ timeZone });
      const from = NOON - 3 * DAY_MS;
      const rows = randomRows(3000, from, NOON, 7);
      for (let at = 0; at < rows.length; at += 250) database.append(rows.slice(at, at + 250), undefined);
      for (const step of ["minute", "hour", "day"] as const) {
        for (const by of [undefined, "caller", "company", "model", "kind", "colo", "servedBy"] as const) {
          const buckets = database.series({ from: from - DAY_MS, to: NOON + DAY_MS, step, by });
          const total = (of: (one: (typeof buckets)[number]) => number) =>
            buckets.reduce((all, one) => all + of(one), 0);
          expect(total(({ calls }) => calls)).toBe(rows.length);
          expect(total(({ tokensIn }) => tokensIn)).toBe(sum(rows, ({ tokensIn }) => tokensIn));
          expect(total(({ tokensOut }) => tokensOut)).toBe(sum(rows, ({ tokensOut }) => tokensOut));
          expect(total(({ tokensCached }) => tokensCached)).toBe(sum(rows, ({ tokensCached }) => tokensCached ?? 0));
          expect(total(({ wait }) => wait.count)).toBe(rows.filter(({ waitMs }) => waitMs !== null).length);
        }
      }
      const ofBank = database.series({ from, to: NOON, step: "day", caller: "bank" });
      expect(ofBank.reduce((all, one) => all + one.calls, 0)).toBe(
        rows.filter(({ caller }) => caller === "bank").length,
      );
    },
  );

  it.each([11, 12, 13, 14])("totals of any range agree with its rows to the token (seed %i)", (seed) => {
    const database = ledger();
    const from = NOON - 120 * DAY_MS; // beyond the age at which hours are removed
    const rows = randomRows(2000, from, NOON, seed);
    database.append(rows, undefined);
    while (database.sweep(NOON));
    const at = (step: number) => from + ((step * 7919 * seed) % 120) * DAY_MS + ((step * 104_729 * seed) % DAY_MS);
    for (let step = 1; step < 12; step += 1) {
      const [start, end] = [at(step), at(step + 1)].sort((a, b) => a - b) as [number, number];
      const within = rows.filter((one) => one.at >= start && one.at < end);
      const byCompany = database.totals({ from: start, to: end, by: ["company", "day"] });
      expect(byCompany.reduce((all, one) => all + one.tokensIn, 0)).toBe(sum(within, ({ tokensIn }) => tokensIn));
      expect(byCompany.reduce((all, one) => all + one.tokensEmbedded, 0)).toBe(
        sum(within, ({ tokensEmbedded }) => tokensEmbedded),
      );
      for (const { keys, calls } of database.totals({ from: start, to: end, by: ["caller"] })) {
        expect(calls).toBe(within.filter(({ caller }) => caller === keys[0]).length);
      }
    }
  });

  it("a month begins at midnight in the ledger's time zone", () => {
    const database = ledger();
    const midnight = Date.parse("2026-12-01T00:00:00+09:00");
    database.append([row({ at: midnight - 1, tokensIn: 1 }), row({ at: midnight, tokensIn: 2 })], undefined);
    const november = { from: Date.parse("2026-11-01T00:00:00+09:00"), to: midnight };
    expect(database.totals(november)[0]?.tokensIn).toBe(1);
    expect(database.totals({ from: midnight, to: midnight + DAY_MS, by: ["day"] })[0]).toMatchObject({
      keys: ["2026-12-01"],
      tokensIn: 2,
    });
    expect(database.spent(midnight).month).toEqual([{ caller: "shop", company: "국민", tokens: 7, embedded: 0 }]);
  });

  it("quantiles of waits lie in the right bucket", () => {
    const database = ledger();
    const waits = Array.from({ length: 100 }, (_, at) => (at < 90 ? 20 : 4000));
    database.append(
      waits.map((waitMs) => row({ waitMs, ttftMs: null })),
      undefined,
    );
    const [{ wait, ttft } = expect.fail()] = database.totals({ from: NOON - 1, to: NOON + 1 });
    expect(wait.p50).toBeGreaterThan(10);
    expect(wait.p50).toBeLessThanOrEqual(50);
    expect(wait.p95).toBeGreaterThan(2500);
    expect(wait.p95).toBeLessThanOrEqual(5000);
    expect(wait.mean).toBe(418);
    expect(ttft).toEqual({ count: 0, mean: undefined, p50: undefined, p95: undefined });
  });

  it("invented names share one roll-up beyond a bound; rows keep them", () => {
    const database = ledger();
    const rows = Array.from({ length: 1500 }, (_, at) => row({ company: `invented ${at}`, at: NOON + at }));
    database.append(rows.slice(0, 900), undefined);
    database.close();
    const again = ledger();
    again.append(rows.slice(900), undefined);
    const byCompany = again.series({ from: NOON, to: NOON + DAY_MS, step: "day", by: "company" });
    expect(byCompany).toHaveLength(1001);
    expect(byCompany.find(({ key }) => key === OTHERS)?.calls).toBe(500);
    const { n } = again.db.prepare("SELECT count(DISTINCT company) AS n FROM rows").get() as { n: number };
    expect(n).toBe(1500);
  });
});

describe("what is kept", () => {
  it("minutes 48 hours, hours 90 days, days and rows as the settings say", () => {
    const database = ledger({ retentionDays: 100 });
    const ages = [HOUR_MS, 3 * DAY_MS, 95 * DAY_MS, 105 * DAY_MS];
    database.append(
      ages.map((age) => row({ at: NOON - age })),
      undefined,
    );
    while (database.sweep(NOON));
    const steps = (step: "minute" | "hour" | "day") => database.series({ from: 0, to: NOON + DAY_MS, step }).length;
    expect([steps("minute"), steps("hour"), steps("day")]).toEqual([1, 2, 3]);
    expect(database.file().rows).toBe(3);
  });

  it("the file keeps its bound: the oldest rows go first, roll-ups by day stay", () => {
    const maxBytes = 2 * MIB;
    const database = ledger({ maxBytes });
    const perDay = 400;
    for (let day = 60; day >= 0; day -= 1) {
      const at = NOON - day * DAY_MS;
      database.append(
        Array.from({ length: perDay }, (_, index) => row({ at: at + index })),
        undefined,
      );
      expect(database.file().bytes).toBeLessThanOrEqual(maxBytes);
    }
    const { rows, removedForRoom, oldestAt } = database.file();
    expect(rows + removedForRoom).toBe(61 * perDay);
    expect(removedForRoom).toBeGreaterThan(0);
    expect(oldestAt).toBeGreaterThan(NOON - 60 * DAY_MS);
    const days = database.series({ from: 0, to: NOON + DAY_MS, step: "day" });
    expect(days.reduce((all, { calls }) => all + calls, 0)).toBe(61 * perDay);
    database.close();
    expect(statSync(join(folder, "usage.db")).size).toBeLessThanOrEqual(maxBytes * 1.1);
  });

  it("nothing is recorded on a disk that is nearly full", () => {
    const database = ledger({ minFreeBytes: Number.MAX_SAFE_INTEGER });
    expect(() => database.append([row()], undefined)).toThrow(/nearly full/);
    expect(database.file().rows).toBe(0);
  });
});

describe("the file", () => {
  it("is for the relay's account only", () => {
    ledger();
    expect(statSync(join(folder, "usage.db")).mode & 0o777).toBe(0o600);
  });

  it.each([
    [
      "no database at all",
      (file: string) => writeFileSync(file, "not a database, but long enough to be read".repeat(50)),
    ],
    [
      "a page of zeros in the middle",
      (file: string) => {
        const database = ledger();
        database.append(randomRows(2000, NOON - DAY_MS, NOON, 3), undefined);
        database.close();
        const db = new DatabaseSync(file);
        db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
        db.close();
        damage(file);
      },
    ],
  ])("damaged, it is moved aside and a new one begun: %s", (_what, make) => {
    const file = join(folder, "usage.db");
    make(file);
    const database = ledger({ check: true });
    expect(database.movedTo).toBe(`${file}.broken`);
    database.append([row()], undefined);
    expect(database.file().rows).toBe(1);
    expect(statSync(`${file}.broken`).size).toBeGreaterThan(0);
  });

  it("of a newer release is left alone, and the error says what to do", () => {
    const file = join(folder, "usage.db");
    ledger().close();
    const db = new DatabaseSync(file);
    db.exec("PRAGMA user_version = 2");
    db.close();
    expect(() => ledger()).toThrow(/newer release made it.*move the file .*usage\.db away/);
  });

  it("locked by another program, it cannot be used, and the error says so", () => {
    const file = join(folder, "usage.db");
    ledger().close();
    const other = new DatabaseSync(file);
    other.exec("BEGIN EXCLUSIVE");
    expect(() => ledger()).toThrow(/locked/);
    other.exec("ROLLBACK");
    other.close();
    ledger().append([row()], undefined);
  });
});

describe("reservations", () => {
  const held = { caller: "shop", company: "국민", tokens: 700, embedded: 0 };

  it("of a killed relay count as used; of one that stopped they do not", () => {
    const killed = ledger({ instance: "1:an earlier boot" });
    killed.append([], [held]);
    killed.db.close(); // as a kill does: nothing is given back
    const next = ledger();
    expect(next.spent(NOON).day).toEqual([held]);
    next.append([], [held]);
    next.close();
    expect(ledger().spent(NOON).day).toEqual([held]);
  });

  it("of the running relay of a hand-over stay its own", () => {
    const parent = ledger({ instance: `${process.ppid}:boot` });
    parent.append([], [held]);
    expect(ledger().spent(NOON).day).toEqual([]);
  });
});

/** Overwrites pages in the middle of a file. */
function damage(file: string): void {
  const bytes = readFileSync(file);
  bytes.fill(0xff, 8 * 4096, 30 * 4096);
  writeFileSync(file, bytes);
}
