/** The ledger's operations on its SQLite file. All of them block, so they run in a thread of their own. */
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { freeBytesSync } from "../../disk-space.ts";
import { inTransaction, type Sql, statements, usedBytes } from "../sqlite.ts";
import { Calendar, DAY_MS } from "./calendar.ts";
import { LENGTHS_OF, type Lengths, lengthsOf } from "./lengths.ts";
import { seriesOf, totalsOf } from "./range-sums.ts";
import { makeRoom, removeOld } from "./retention.ts";
import { Rollups } from "./rollups.ts";
import type { UsageRow } from "./row.ts";
import { insertRow, rangeOf } from "./row-table.ts";
import { openLedgerFile } from "./schema.ts";
import { replaceReservations, spentOf, takeOverReservations } from "./spent.ts";
import type {
  LedgerFile,
  Reserved,
  SeriesQuery,
  Spent,
  TotalsQuery,
  UsageBucket,
  UsageRange,
  UsageStore,
  UsageTotal,
} from "./store.ts";

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

export class LedgerDatabase implements LedgerSteps {
  readonly db: DatabaseSync;
  /** Where a damaged file was moved to. */
  readonly movedTo: string | undefined;
  readonly #options: LedgerOptions;
  readonly #calendar: Calendar;
  readonly #sql: Sql;
  readonly #rollups: Rollups;
  #removedForRoom = 0;

  /** @throws an error with a message for an operator if the file cannot be used */
  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#calendar = new Calendar(options.timeZone);
    const { db, movedTo } = openLedgerFile(options.file, options.check === true);
    this.db = db;
    this.movedTo = movedTo;
    this.#sql = statements(db);
    this.#rollups = new Rollups(this.#sql, this.#calendar);
    inTransaction(db, () => takeOverReservations(this.#sql, options.instance));
  }

  /** As `append`, with the rows as JSON: a text is copied to the thread faster than objects. */
  appendJson(rows: string, reserved: readonly Reserved[] | undefined): void {
    this.append(JSON.parse(rows) as UsageRow[], reserved);
  }

  append(rows: readonly UsageRow[], reserved: readonly Reserved[] | undefined): void {
    this.#checkDisk();
    inTransaction(this.db, () => {
      for (const row of rows) insertRow(this.#sql, row);
      this.#rollups.add(rows);
      if (reserved !== undefined) replaceReservations(this.#sql, this.#options.instance, reserved);
    });
    makeRoom(this.db, this.#sql, this.#options.maxBytes, (removed) => {
      this.#removedForRoom += removed;
    });
  }

  series(query: SeriesQuery): UsageBucket[] {
    return seriesOf(this.#sql, this.#calendar, query);
  }

  totals(query: TotalsQuery): UsageTotal[] {
    return totalsOf(this.#sql, this.#calendar, query);
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
    return spentOf(this.#sql, this.#calendar, now);
  }

  sweep(now: number): boolean {
    return removeOld(this.db, this.#sql, now, this.#options.retentionDays);
  }

  file(): LedgerFile {
    const { rows } = this.#sql("SELECT count(*) AS rows FROM rows").get() as { rows: number };
    const { at } = this.#sql("SELECT min(at) AS at FROM rows").get() as { at: number | null };
    return { bytes: usedBytes(this.#sql), rows, oldestAt: at ?? undefined, removedForRoom: this.#removedForRoom };
  }

  close(): void {
    inTransaction(this.db, () => replaceReservations(this.#sql, this.#options.instance, []));
    this.db.close();
  }

  #checkDisk(): void {
    if (freeBytesSync(dirname(this.#options.file)) >= this.#options.minFreeBytes) return;
    throw new Error("the disk is nearly full: usage is not recorded until there is room again");
  }
}
