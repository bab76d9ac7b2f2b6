/** The ledger's operations on its SQLite file. All of them block, so they run in a thread of their own. */
import { dirname } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { isAlive } from "../../process-alive.ts";
import { freeBytesSync } from "../disk-space.ts";
import { inTransaction } from "../sqlite.ts";
import { Calendar, DAY_MS, HOUR_MS, type UsageStep } from "./calendar.ts";
import { LENGTHS_OF, type Lengths, lengthsOf } from "./lengths.ts";
import { LONGEST_TEXT, type UsageRow } from "./row.ts";
import { DIMENSIONS, openLedgerFile, ROW_COLUMNS, SUM_COLUMNS } from "./schema.ts";
import {
  type LedgerFile,
  OTHERS,
  type Reserved,
  type SeriesQuery,
  type Spent,
  type TotalsQuery,
  type UsageBucket,
  type UsageDimension,
  type UsageRange,
  type UsageStore,
  type UsageTotal,
} from "./store.ts";
import { addRow, addSums, describeSums, noSums, type Sums, sumsOf } from "./sums.ts";

export interface LedgerOptions {
  readonly file: string;
  /** Days that rows and roll-ups by day are kept. */
  readonly retentionDays: number;
  /** Where days and months begin. */
  readonly timeZone: string;
  /** Bound on the file. */
  readonly maxBytes: number;
  /** With less than this free on the disk nothing is recorded. */
  readonly minFreeBytes: number;
  /** Id of this relay: its process id, a colon, the id of this boot. */
  readonly instance: string;
  /** Reads the whole file before it is used: after an unclean shutdown. @default false */
  readonly check?: boolean;
}

/** The operations of `UsageStore`, synchronous. */
export type LedgerSteps = {
  [K in keyof UsageStore]: UsageStore[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : never;
};

/** How long roll-ups by minute and by hour are kept. */
const MINUTES_KEPT_MS = 2 * DAY_MS;
const HOURS_KEPT_MS = 90 * DAY_MS;
/** Longest that a sum of a month needs them. */
const LOST_KEPT_MS = 62 * DAY_MS;
/**
 * Companies and models of one caller that have roll-ups of their own on one day. A caller bound to `["*"]` can invent names;
 * raw rows have them all.
 */
const MAX_NAMES_A_DAY = 1000;
/** Rows removed in one step: other commands wait behind it. */
const STEP_ROWS = 1000;
/** Room is made down to this part of the bound, so that it is not made for each group. */
const ROOM = 0.97;
const VACUUM_PAGES = 2000;
/** Most buckets or sums that a query returns. */
const MAX_RESULTS = 50_000;
const STEPS: readonly UsageStep[] = ["minute", "hour", "day"];
/** A minute, and the second that has begun. */
const MINUTE_WINDOW_MS = 61_000;

const COLUMN: Readonly<Record<Exclude<UsageDimension, "day">, (typeof DIMENSIONS)[number]>> = {
  caller: "caller",
  company: "company",
  model: "model",
  kind: "kind",
  servedBy: "served_by",
  colo: "colo",
};

/** Part of a range, and what it is read from. */
interface Piece {
  readonly source: UsageStep | "rows";
  readonly from: number;
  readonly to: number;
}

export class LedgerDatabase implements LedgerSteps {
  readonly db: DatabaseSync;
  /** Where a damaged file was moved to. */
  readonly movedTo: string | undefined;
  readonly #options: LedgerOptions;
  readonly #calendar: Calendar;
  readonly #statements = new Map<string, StatementSync>();
  /** Names with roll-ups of their own, by caller, of the day that begins at `#namesDay`. */
  #names = new Map<string, Set<string>>();
  #namesDay = -1;
  #removedForRoom = 0;

  /** @throws an error with a message for an operator if the file cannot be used */
  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#calendar = new Calendar(options.timeZone);
    const { db, movedTo } = openLedgerFile(options.file, options.check === true);
    this.db = db;
    this.movedTo = movedTo;
    inTransaction(db, () => this.#takeOverReservations());
  }

  /** As `append`, with the rows as JSON: a text is copied to the thread faster than objects. */
  appendJson(rows: string, reserved: readonly Reserved[] | undefined): void {
    this.append(JSON.parse(rows) as UsageRow[], reserved);
  }

  append(rows: readonly UsageRow[], reserved: readonly Reserved[] | undefined): void {
    this.#checkDisk();
    // Rows of one minute and the same dimensions are summed once, and added to each step together.
    const groups = new Map<string, { minute: number; dimensions: string[]; sums: Sums }>();
    inTransaction(this.db, () => {
      const insert = this.#sql(INSERT_ROW);
      for (const row of rows) {
        insert.run(...valuesOf(row));
        const minute = this.#calendar.startOf("minute", row.at);
        const dimensions = this.#dimensionsOf(row);
        const name = `${minute}\u0000${dimensions.join("\u0000")}`;
        let group = groups.get(name);
        if (group === undefined) {
          group = { minute, dimensions, sums: noSums() };
          groups.set(name, group);
        }
        addRow(group.sums, row);
      }
      const add = this.#sql(ADD_ROLLUP);
      for (const { minute, dimensions, sums } of groups.values()) {
        for (const step of STEPS) add.run(step, this.#calendar.startOf(step, minute), ...dimensions, ...sums);
      }
      if (reserved !== undefined) this.#replaceReservations(reserved);
    });
    this.#makeRoom();
  }

  series({ step, by, ...range }: SeriesQuery): UsageBucket[] {
    const { where, values } = rangeOf(range);
    const key = by === undefined ? "" : `, ${COLUMN[by]} AS key`;
    const rows = this.#sql(
      `SELECT start${key}, ${SUMMED} FROM rollups WHERE step = ? AND start >= ? AND start < ?${where}
       GROUP BY start${by === undefined ? "" : `, ${COLUMN[by]}`} ORDER BY start LIMIT ${MAX_RESULTS}`,
    ).all(step, this.#calendar.startOf(step, range.from), range.to, ...values);
    return rows.map((row) => ({
      start: Number(row.start),
      ...(by !== undefined && { key: String(row.key) }),
      ...describeSums(sumsOf(row)),
    }));
  }

  totals({ by = [], ...range }: TotalsQuery): UsageTotal[] {
    const groups = new Map<string, { keys: readonly string[]; sums: Sums }>();
    const add = (keys: readonly string[], addTo: (sums: Sums) => void) => {
      const name = keys.join("\u0000");
      const group = groups.get(name) ?? { keys, sums: noSums() };
      groups.set(name, group);
      addTo(group.sums);
    };
    for (const piece of this.#piecesOf(range)) {
      if (piece.source === "rows") {
        for (const row of this.#rows({ ...range, ...piece })) {
          add(
            by.map((dimension) => this.#keyOf(dimension, row)),
            (sums) => addRow(sums, row),
          );
        }
        continue;
      }
      const { where, values } = rangeOf(range);
      const columns = ["start", ...by.flatMap((dimension) => (dimension === "day" ? [] : [COLUMN[dimension]]))];
      const found = this.#sql(
        `SELECT ${columns.join(", ")}, ${SUMMED} FROM rollups WHERE step = ? AND start >= ? AND start < ?${where}
         GROUP BY ${columns.join(", ")}`,
      );
      for (const row of found.iterate(piece.source, piece.from, piece.to, ...values)) {
        const keys = by.map((dimension) =>
          dimension === "day" ? this.#calendar.dayName(Number(row.start)) : String(row[COLUMN[dimension]]),
        );
        add(keys, (sums) => addSums(sums, sumsOf(row)));
      }
    }
    const found = [...groups.values()].map(({ keys, sums }) => ({ keys, ...describeSums(sums) }));
    return found.sort((a, b) => compare(a.keys, b.keys)).slice(0, MAX_RESULTS);
  }

  lengths({ from, to, ...range }: UsageRange): Lengths | undefined {
    const { where, values } = rangeOf({ from, to, ...range });
    const rows = this.#sql(
      `SELECT tokens_in AS prompt, tokens_out AS answer FROM rows
       WHERE at >= ? AND at < ? AND kind IN ('call', 'job') AND served_by = 'model' AND status = 200 AND tokens_out > 0${where}
       ORDER BY at DESC LIMIT ${LENGTHS_OF}`,
    ).all(from, to, ...values);
    return lengthsOf(rows as unknown as { prompt: number; answer: number }[]);
  }

  meanEmbeddingMs(): number | undefined {
    const row = this.#sql(
      "SELECT sum(embedding_ms) AS ms, sum(embedded_inputs) AS inputs FROM rollups WHERE step = 'day' AND start >= ?",
    ).get(Date.now() - 30 * DAY_MS) as { ms: number | null; inputs: number | null };
    return row.inputs === null || row.inputs === 0 ? undefined : (row.ms ?? 0) / row.inputs;
  }

  spent(now: number): Spent {
    const since = (from: number): Reserved[] => [
      ...(this.#sql(
        `SELECT caller, company, sum(tokens_in + tokens_out + tokens_embedded) AS tokens, sum(tokens_embedded) AS embedded
         FROM rollups WHERE step = 'day' AND start >= ? GROUP BY caller, company`,
      ).all(from) as unknown as Reserved[]),
      ...(this.#sql("SELECT caller, company, tokens, embedded FROM lost WHERE at >= ?").all(
        from,
      ) as unknown as Reserved[]),
    ];
    const minute = this.#sql(
      `SELECT at, caller, coalesce(company, '') AS company, tokens_in + tokens_out + tokens_embedded AS tokens, counted
       FROM rows WHERE at >= ? ORDER BY at`,
    ).all(now - MINUTE_WINDOW_MS) as unknown as (Omit<Spent["minute"][number], "counted"> & { counted: number })[];
    return {
      month: since(this.#calendar.monthStart(now)),
      day: since(this.#calendar.dayStart(now)),
      minute: minute.map((row) => ({ ...row, counted: row.counted === 1 })),
    };
  }

  sweep(now: number): boolean {
    const rowsBefore = now - this.#options.retentionDays * DAY_MS;
    const old: readonly (readonly [UsageStep, number])[] = [
      ["minute", now - MINUTES_KEPT_MS],
      ["hour", now - HOURS_KEPT_MS],
      ["day", rowsBefore],
    ];
    const removed = inTransaction(this.db, () => {
      this.#sql("DELETE FROM lost WHERE at < ?").run(now - LOST_KEPT_MS);
      const rows = this.#sql(
        `DELETE FROM rows WHERE id IN (SELECT id FROM rows WHERE at < ? ORDER BY at LIMIT ${STEP_ROWS})`,
      );
      return [Number(rows.run(rowsBefore).changes), ...old.map(([step, before]) => this.#removeRollups(step, before))];
    });
    this.#vacuum();
    return removed.some((count) => count >= STEP_ROWS);
  }

  file(): LedgerFile {
    const { rows } = this.#sql("SELECT count(*) AS rows FROM rows").get() as { rows: number };
    const { at } = this.#sql("SELECT min(at) AS at FROM rows").get() as { at: number | null };
    return { bytes: this.#usedBytes(), rows, oldestAt: at ?? undefined, removedForRoom: this.#removedForRoom };
  }

  /** All rows of a range, oldest first. For sums of raw rows, and tests. */
  *#rows(range: UsageRange): Generator<UsageRow> {
    const { where, values } = rangeOf(range);
    const found = this.#sql(`SELECT ${ROW_COLUMNS.join(", ")} FROM rows WHERE at >= ? AND at < ?${where} ORDER BY at`);
    for (const row of found.iterate(range.from, range.to, ...values)) yield rowOf(row);
  }

  close(): void {
    inTransaction(this.db, () => this.#replaceReservations([]));
    this.db.close();
  }

  /** A range as whole days, whole hours where those are still kept, and rows for the rest. */
  #piecesOf({ from, to }: UsageRange): Piece[] {
    const calendar = this.#calendar;
    const ceil = (step: "hour" | "day", at: number): number => {
      const start = calendar.startOf(step, at);
      if (start === at) return at;
      return step === "day" ? calendar.nextDay(at) : start + HOUR_MS;
    };
    const hoursFrom = ceil("hour", Date.now() - HOURS_KEPT_MS + HOUR_MS);
    const split = (
      step: "hour" | "day",
      start: number,
      end: number,
      rest: (from: number, to: number) => Piece[],
    ): Piece[] => {
      const [first, last] = [ceil(step, start), calendar.startOf(step, end)];
      if (first >= last) return rest(start, end);
      return [...rest(start, first), { source: step, from: first, to: last }, ...rest(last, end)];
    };
    const rows = (start: number, end: number): Piece[] => [{ source: "rows", from: start, to: end }];
    const hours = (start: number, end: number) =>
      start >= hoursFrom ? split("hour", start, end, rows) : rows(start, end);
    return split("day", from, to, hours).filter((piece) => piece.from < piece.to);
  }

  #keyOf(dimension: UsageDimension, row: UsageRow): string {
    return dimension === "day" ? this.#calendar.dayName(row.at) : (row[dimension] ?? "");
  }

  /** Values of `DIMENSIONS` for the row's roll-ups. */
  #dimensionsOf({ at, caller, company, model, kind, servedBy, colo }: UsageRow): string[] {
    const isKnown = this.#isOneOfFew(at, caller, company ?? "", model ?? "");
    const names = isKnown ? [company ?? "", model ?? ""] : [OTHERS, OTHERS];
    return [caller, ...names.map(short), kind, servedBy ?? "", colo ?? ""];
  }

  #isOneOfFew(at: number, caller: string, company: string, model: string): boolean {
    const day = this.#calendar.dayStart(at);
    if (day !== this.#namesDay) {
      this.#namesDay = day;
      this.#names = new Map();
      const rows = this.#sql(
        "SELECT DISTINCT caller, company, model FROM rollups WHERE step = 'day' AND start = ? AND company != ?",
      ).all(day, OTHERS);
      for (const row of rows) this.#namesOf(String(row.caller)).add(`${row.company}\u0000${row.model}`);
    }
    const names = this.#namesOf(caller);
    const name = `${short(company)}\u0000${short(model)}`;
    if (names.has(name)) return true;
    if (names.size >= MAX_NAMES_A_DAY) return false;
    names.add(name);
    return true;
  }

  #namesOf(caller: string): Set<string> {
    const found = this.#names.get(caller) ?? new Set<string>();
    this.#names.set(caller, found);
    return found;
  }

  #replaceReservations(reserved: readonly Reserved[]): void {
    const { instance } = this.#options;
    this.#sql("DELETE FROM reservations WHERE instance = ?").run(instance);
    const insert = this.#sql("INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?)");
    for (const { caller, company, tokens, embedded } of reserved) {
      insert.run(instance, caller, company, Date.now(), tokens, embedded);
    }
  }

  /** What a killed relay had reserved counts as used. The other relay of a hand-over still settles its own. */
  #takeOverReservations(): void {
    const rows = this.#sql("SELECT DISTINCT instance FROM reservations").all() as unknown as { instance: string }[];
    for (const { instance } of rows) {
      if (isRunning(instance, this.#options.instance)) continue;
      this.#sql(
        "INSERT INTO lost SELECT at, caller, company, tokens, embedded FROM reservations WHERE instance = ?",
      ).run(instance);
      this.#sql("DELETE FROM reservations WHERE instance = ?").run(instance);
    }
  }

  #removeRollups(step: UsageStep, before: number): number {
    const key = `step, start, ${DIMENSIONS.join(", ")}`;
    return Number(
      this.#sql(
        `DELETE FROM rollups WHERE (${key}) IN
         (SELECT ${key} FROM rollups WHERE step = ? AND start < ? ORDER BY start LIMIT ${STEP_ROWS})`,
      ).run(step, before).changes,
    );
  }

  /** Within the bound again: the oldest rows go first, then roll-ups by minute, by hour, and at last by day. */
  #makeRoom(): void {
    const { maxBytes } = this.#options;
    if (this.#usedBytes() <= maxBytes) return;
    const oldest = `DELETE FROM rows WHERE id IN (SELECT id FROM rows ORDER BY at LIMIT ${STEP_ROWS})`;
    while (this.#usedBytes() > maxBytes * ROOM) {
      const removed = inTransaction(this.db, () => {
        const rows = Number(this.#sql(oldest).run().changes);
        this.#removedForRoom += rows;
        if (rows > 0) return rows;
        for (const step of STEPS) {
          const rollups = this.#removeRollups(step, Number.MAX_SAFE_INTEGER);
          if (rollups > 0) return rollups;
        }
        return 0;
      });
      this.#vacuum();
      if (removed === 0) return;
    }
  }

  #vacuum(): void {
    this.db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
  }

  #usedBytes(): number {
    const { bytes } = this.#sql(
      `SELECT ((SELECT page_count FROM pragma_page_count()) - (SELECT freelist_count FROM pragma_freelist_count()))
       * (SELECT page_size FROM pragma_page_size()) AS bytes`,
    ).get() as { bytes: number };
    return bytes;
  }

  #checkDisk(): void {
    if (freeBytesSync(dirname(this.#options.file)) >= this.#options.minFreeBytes) return;
    throw new Error("the disk is nearly full: usage is not recorded until there is room again");
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    const made = this.db.prepare(text);
    this.#statements.set(text, made);
    return made;
  }
}

const marks = (count: number): string => Array.from({ length: count }, () => "?").join(", ");
const INSERT_ROW = `INSERT INTO rows (${ROW_COLUMNS.join(", ")}) VALUES (${marks(ROW_COLUMNS.length)})`;
const SUMMED = SUM_COLUMNS.map((name) => `sum(${name}) AS ${name}`).join(", ");
const ADD_ROLLUP = `INSERT INTO rollups VALUES (${marks(2 + DIMENSIONS.length + SUM_COLUMNS.length)})
  ON CONFLICT DO UPDATE SET ${SUM_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")}`;

const short = (text: string): string => text.slice(0, LONGEST_TEXT);

function rangeOf({ caller, company }: UsageRange): { where: string; values: string[] } {
  return {
    where: `${caller === undefined ? "" : " AND caller = ?"}${company === undefined ? "" : " AND company = ?"}`,
    values: [caller, company].filter((value) => value !== undefined),
  };
}

function valuesOf(row: UsageRow): (string | number | null)[] {
  return [
    row.at,
    row.kind,
    row.caller,
    row.company,
    row.dialect,
    row.path,
    row.model && short(row.model),
    row.tokensIn,
    row.tokensCached,
    row.tokensOut,
    row.tokensEmbedded,
    Number(row.estimated),
    row.servedBy,
    row.status,
    row.code,
    row.waitMs,
    row.ttftMs,
    row.durationMs,
    row.entry,
    row.colo,
    Number(row.counted),
    row.embeddingCalls,
    row.embeddedInputs,
    row.embeddingMs,
    row.reusedInputs,
    row.sparedMs,
  ];
}

function rowOf(row: Readonly<Record<string, unknown>>): UsageRow {
  return {
    at: row.at,
    kind: row.kind,
    caller: row.caller,
    company: row.company,
    dialect: row.dialect,
    path: row.path,
    model: row.model,
    tokensIn: row.tokens_in,
    tokensCached: row.tokens_cached,
    tokensOut: row.tokens_out,
    tokensEmbedded: row.tokens_embedded,
    estimated: row.estimated === 1,
    servedBy: row.served_by,
    status: row.status,
    code: row.code,
    waitMs: row.wait_ms,
    ttftMs: row.ttft_ms,
    durationMs: row.duration_ms,
    entry: row.entry,
    colo: row.colo,
    counted: row.counted === 1,
    embeddingCalls: row.embedding_calls,
    embeddedInputs: row.embedded_inputs,
    embeddingMs: row.embedding_ms,
    reusedInputs: row.reused_inputs,
    sparedMs: row.spared_ms,
  } as UsageRow;
}

function compare(a: readonly string[], b: readonly string[]): number {
  for (const [at, one] of a.entries()) {
    const other = b[at] ?? "";
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}

/** Whether the relay of this id is running, beside the relay `own`. */
function isRunning(instance: string, own: string): boolean {
  const [pid, boot] = parts(instance);
  const [ownPid, ownBoot] = parts(own);
  if (pid === ownPid || boot !== ownBoot) return false; // process ids are used again
  return isAlive(pid);
}

function parts(instance: string): [pid: number, boot: string] {
  const colon = instance.indexOf(":");
  return [Number(instance.slice(0, colon)), instance.slice(colon + 1)];
}
