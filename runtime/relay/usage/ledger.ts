/**
 * The ledger: one row for each ended call, run of a job and document request. Rows are collected in memory and stored in
 * groups by a thread of their own, so that no request waits for the disk. A power cut or a kill loses what ended in the last
 * `FLUSH_MS` and the group that is being written: 5 s at most.
 *
 * The relay serves on without it: while the file cannot be used, rows wait in memory, up to a bound, and opening it is
 * retried.
 */
import { join } from "node:path";
import type { Log } from "../telemetry/log.ts";
import { createReopener } from "../threads/reopener.ts";
import { Calendar } from "./calendar.ts";
import type { Lengths } from "./lengths.ts";
import type { UsageRow } from "./row.ts";
import { type OpenLedgerStore, openSqliteLedger } from "./sqlite-store.ts";
import type {
  LedgerFile,
  Reserved,
  SeriesQuery,
  Spent,
  TotalsQuery,
  UsageBucket,
  UsageRange,
  UsageTotal,
} from "./store.ts";

export type { UsageRow, UsageSums } from "./row.ts";
export type { SeriesQuery, TotalsQuery, UsageBucket, UsageDimension, UsageTotal } from "./store.ts";

export interface LedgerSettings {
  readonly dataDir: string;
  readonly retentionDays: number;
  readonly timeZone: string;
  readonly maxBytes: number;
  readonly minFreeBytes: number;
}

export interface LedgerOptions {
  readonly log: Log;
  /** Id of this boot of the machine. */
  readonly boot: string;
  /** Reads the whole file first: after an unclean shutdown. @default false */
  readonly check?: boolean;
  /** What is reserved of quotas now; undefined if that has not changed since it was last asked. */
  readonly reserved?: () => readonly Reserved[] | undefined;
  /** Called each time the file was opened. */
  readonly onOpen?: (spent: Spent) => void;
  /** Called about once a minute. */
  readonly onTick?: () => void;
  /** Milliseconds since 1970. For tests. */
  readonly now?: () => number;
  /** Shorter times, for tests. */
  readonly times?: Partial<LedgerTimes>;
}

export interface LedgerTimes {
  readonly flushMs: number;
  readonly sweepMs: number;
  readonly reopenMs: number;
  /** How long the start waits for the file. */
  readonly openMs: number;
}

const TIMES: LedgerTimes = { flushMs: 2000, sweepMs: 60_000, reopenMs: 1000, openMs: 3000 };
/** A group is stored before its time once it has this many rows. */
const GROUP_ROWS = 1000;
/** Most rows that wait for the file, some 10 MB; beyond that the oldest are dropped. */
const MAX_WAITING = 20_000;
/** Mean time to embed a text before anything was measured, in ms. */
const FIRST_EMBEDDING_MS = 20;

/** For the status page and metrics. */
export interface LedgerState {
  readonly available: boolean;
  /** Why it is not. */
  readonly reason: string | undefined;
  /** Rows that wait to be stored. */
  readonly waiting: number;
  /** Rows that were lost because too many waited, since the start. */
  readonly dropped: number;
}

/** The ledger's file cannot be used. */
export class LedgerUnavailable extends Error {}

export interface Ledger {
  /** Of the time zone in which its days begin. */
  readonly calendar: Calendar;
  /** Takes a row. Never throws and never waits. */
  record(row: UsageRow): void;
  /** Sums by minute, hour or day. Rejects with LedgerUnavailable. */
  series(query: SeriesQuery): Promise<UsageBucket[]>;
  /** Sums of a whole range. Includes every row recorded before. Rejects with LedgerUnavailable. */
  totals(query: TotalsQuery): Promise<UsageTotal[]>;
  /** How long prompts and answers are. Rejects with LedgerUnavailable. */
  lengths(range: UsageRange): Promise<Lengths | undefined>;
  /** Time that embedding this many texts would take, in ms, by what it took so far. */
  embeddingMs(inputs: number): number;
  state(): LedgerState;
  /** Size and age of the file. Rejects with LedgerUnavailable. */
  file(): Promise<LedgerFile>;
  /** Stores what waits. Resolves when that is synced or has failed. */
  flush(): Promise<void>;
  /** Stores what waits, and closes the file. */
  close(): Promise<void>;
}

/** Opens `usage.db` in the folder for data. Never rejects, and waits for a locked file for `openMs` only. */
export async function openLedger(settings: LedgerSettings, options: LedgerOptions): Promise<Ledger> {
  const { log, reserved = () => undefined, onOpen = () => {}, onTick = () => {}, now = Date.now } = options;
  const times = { ...TIMES, ...options.times };
  const file = join(settings.dataDir, "usage.db");
  let store: OpenLedgerStore | undefined;
  let reason: string | undefined = "it is being opened";
  let rows: UsageRow[] = [];
  let dropped = 0;
  let writing: Promise<void> | undefined;
  let failing = false;
  let unstored: readonly Reserved[] | undefined;
  let measured = { ms: 0, inputs: 0 };
  let { check = false } = options;

  const reopener = createReopener<OpenLedgerStore>({
    open: async (onFail) => {
      const { dataDir: _, ...limits } = settings;
      const opened = await openSqliteLedger(
        { file, ...limits, instance: `${process.pid}:${options.boot}`, check },
        onFail,
      );
      check = false;
      if (opened.movedTo !== undefined) {
        log.error({ movedTo: opened.movedTo }, "the ledger's file was damaged: it was moved aside and a new one begun");
      }
      try {
        const meanMs = await opened.meanEmbeddingMs();
        if (meanMs !== undefined && measured.inputs === 0) measured = { ms: 100 * meanMs, inputs: 100 };
        onOpen(await opened.spent(now()));
      } catch (cause) {
        await opened.close().catch(() => {});
        throw cause;
      }
      return opened;
    },
    onOpen: (opened) => {
      store = opened;
      reason = undefined;
    },
    onFail: (cause, isNew) => {
      store = undefined;
      reason = cause.message;
      if (isNew) log.error({ reason: cause.message }, "the ledger cannot be used; usage waits in memory");
    },
    onReopen: () => log.info("the ledger can be used again"),
    pauseMs: times.reopenMs,
  });

  const opened = async (): Promise<OpenLedgerStore> => {
    if (store === undefined) throw new LedgerUnavailable(`the ledger cannot be used: ${reason}`);
    return store;
  };
  const bound = () => {
    const over = rows.length - MAX_WAITING;
    if (over <= 0) return;
    if (dropped === 0)
      log.error({ rows: over }, "the ledger has no room for more rows in memory: the oldest are dropped");
    rows.splice(0, over);
    dropped += over;
  };
  const write = async (): Promise<void> => {
    if (store === undefined) return;
    const group = rows;
    unstored = reserved() ?? unstored;
    if (group.length === 0 && unstored === undefined) return;
    rows = [];
    try {
      await store.append(group, unstored);
      unstored = undefined;
      if (failing) log.info("the ledger stores rows again");
      failing = false;
    } catch (cause) {
      if (!failing) log.error({ reason: messageOf(cause) }, "the ledger cannot store rows; trying again");
      failing = true;
      rows = [...group, ...rows];
      bound();
    }
  };
  /** One group at a time; a call while one is being written waits for the group after it. */
  const flush = async (): Promise<void> => {
    while (writing !== undefined) await writing;
    writing = write().finally(() => {
      writing = undefined;
    });
    await writing;
  };
  const sweep = async (): Promise<void> => {
    onTick();
    try {
      while (await (await opened()).sweep(now()));
    } catch {
      // the next one tries again
    }
  };

  const starting = reopener.start();
  await Promise.race([starting, new Promise((resolve) => setTimeout(resolve, times.openMs).unref())]);
  const timers = [setInterval(() => void flush(), times.flushMs), setInterval(() => void sweep(), times.sweepMs)];
  for (const timer of timers) timer.unref();
  void sweep();

  return {
    calendar: new Calendar(settings.timeZone),
    record(row) {
      rows.push(row);
      if (row.embeddedInputs > 0) {
        measured.ms += row.embeddingMs;
        measured.inputs += row.embeddedInputs;
      }
      if (rows.length >= GROUP_ROWS && writing === undefined && !failing) void flush();
      if (rows.length > MAX_WAITING) bound();
    },
    series: async (query) => {
      await flush();
      return (await opened()).series(query);
    },
    totals: async (query) => {
      await flush();
      return (await opened()).totals(query);
    },
    lengths: async (range) => {
      await flush();
      return (await opened()).lengths(range);
    },
    embeddingMs: (inputs) =>
      Math.round(inputs * (measured.inputs === 0 ? FIRST_EMBEDDING_MS : measured.ms / measured.inputs)),
    state: () => ({
      available: store !== undefined && !failing,
      reason: reason ?? (failing ? "it cannot store rows" : undefined),
      waiting: rows.length,
      dropped,
    }),
    file: async () => (await opened()).file(),
    flush,
    async close() {
      for (const timer of timers) clearInterval(timer);
      reopener.stop();
      await reopener.settled();
      await flush();
      await store?.close().catch(() => {});
      store = undefined;
      reason = "it is closed";
    },
  };
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
