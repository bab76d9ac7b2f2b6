/** What the ledger's file can be asked; implemented by SQLite (`database.ts`) in a thread of its own. Times are ms since 1970. */
import type { UsageStep } from "./calendar.ts";
import type { Lengths } from "./lengths.ts";
import type { UsageRow, UsageSums } from "./row.ts";

/** What usage is summed by. `day`: of the time zone of the ledger. */
export type UsageDimension = "caller" | "company" | "model" | "kind" | "servedBy" | "colo" | "day";

/** Whose rows, and of which time: from `from` until before `to`. */
export interface UsageRange {
  readonly from: number;
  readonly to: number;
  /** Only this caller's. */
  readonly caller?: string | undefined;
  /** Only this company's. */
  readonly company?: string | undefined;
}

export interface SeriesQuery extends UsageRange {
  /** Minutes are kept 48 hours, hours 90 days, days as long as rows. */
  readonly step: UsageStep;
  readonly by?: Exclude<UsageDimension, "day"> | undefined;
}

/** Sums of one step; steps without rows are left out. */
export interface UsageBucket extends UsageSums {
  /** When the step begins. */
  readonly start: number;
  /** The value of `by`; "" for rows without one, `OTHERS` for those beyond the bound on names. */
  readonly key?: string;
}

export interface TotalsQuery extends UsageRange {
  /** @default one sum of all */
  readonly by?: readonly UsageDimension[] | undefined;
}

export interface UsageTotal extends UsageSums {
  /** The values of `by`, in its order. */
  readonly keys: readonly string[];
}

/** Tokens that were reserved when a relay was killed: nobody knows what was used of them, so they count as used. */
export interface Reserved {
  readonly caller: string;
  readonly company: string;
  readonly tokens: number;
  /** Those of `tokens` that an embedding model would read. */
  readonly embedded: number;
}

/** What has been used of quotas, by caller and company; from the rows and what was reserved when a relay was killed. */
export interface Spent {
  readonly month: readonly Reserved[];
  readonly day: readonly Reserved[];
  /** Of the last minute, one by one. */
  readonly minute: readonly {
    readonly at: number;
    readonly caller: string;
    readonly company: string;
    readonly tokens: number;
    readonly counted: boolean;
  }[];
}

export interface LedgerFile {
  /** Bytes in use. */
  readonly bytes: number;
  readonly rows: number;
  /** When the oldest row ended; undefined without one. */
  readonly oldestAt: number | undefined;
  /** Rows that were removed before their time because the file had reached its bound, since it was opened. */
  readonly removedForRoom: number;
}

/** Every method rejects while the file cannot be used. */
export interface UsageStore {
  /** Stores rows with their roll-ups, and replaces what this relay has reserved, in one synced transaction. */
  append(rows: readonly UsageRow[], reserved: readonly Reserved[] | undefined): Promise<void>;
  series(query: SeriesQuery): Promise<UsageBucket[]>;
  totals(query: TotalsQuery): Promise<UsageTotal[]>;
  /** Lengths of answered calls to a language model, jobs included: of the newest of the range. */
  lengths(range: UsageRange): Promise<Lengths | undefined>;
  /** Mean time to embed one text, in ms, over the last 30 days; undefined without any. */
  meanEmbeddingMs(): Promise<number | undefined>;
  /** What has been spent in the month, the day and the minute that end now. */
  spent(now: number): Promise<Spent>;
  /** Removes what is older than it is kept. @returns whether there may be more */
  sweep(now: number): Promise<boolean>;
  file(): Promise<LedgerFile>;
}
