/** The ledger's SQLite file: its tables, and how it is opened. */
import { chmodSync, renameSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { inTransaction, isDamaged } from "../sqlite.ts";
import { TIME_BOUNDS } from "./row.ts";

/** Increased when older releases could no longer work with the tables. */
const SCHEMA_VERSION = 1;

/** Columns of a row, in the order of its values. */
export const ROW_COLUMNS = [
  "at",
  "kind",
  "caller",
  "company",
  "dialect",
  "path",
  "model",
  "tokens_in",
  "tokens_cached",
  "tokens_out",
  "tokens_embedded",
  "estimated",
  "served_by",
  "status",
  "code",
  "wait_ms",
  "ttft_ms",
  "duration_ms",
  "entry",
  "colo",
  "counted",
  "embedding_calls",
  "embedded_inputs",
  "embedding_ms",
  "reused_inputs",
  "spared_ms",
] as const;

const TEXT = new Set(["kind", "caller", "company", "dialect", "path", "model", "served_by", "code", "entry", "colo"]);
const NULLABLE = new Set([
  "company",
  "model",
  "tokens_cached",
  "served_by",
  "code",
  "wait_ms",
  "ttft_ms",
  "entry",
  "colo",
]);

/** What rows are summed by. Never null, as a key's parts must not be: "" stands for it. */
export const DIMENSIONS = ["caller", "company", "model", "kind", "served_by", "colo"] as const;

const buckets = (name: string): string[] => [...TIME_BOUNDS, "open"].map((_bound, at) => `${name}_${at}`);
export const WAIT_BUCKETS = buckets("wait");
export const TTFT_BUCKETS = buckets("ttft");

/** Sums of a roll-up. A zero takes no byte in a row of SQLite beside its type. */
export const SUM_COLUMNS = [
  "calls",
  "errors",
  "refused",
  "counted",
  "tokens_in",
  "tokens_cached",
  "tokens_out",
  "tokens_embedded",
  "embedding_calls",
  "embedded_inputs",
  "embedding_ms",
  "reused_inputs",
  "cache_hits",
  "spared_ms",
  "duration_ms",
  "wait_ms",
  "ttft_ms",
  ...WAIT_BUCKETS,
  ...TTFT_BUCKETS,
] as const;

const rowColumn = (name: string) =>
  `${name} ${TEXT.has(name) ? "TEXT" : "INTEGER"}${NULLABLE.has(name) ? "" : " NOT NULL"}`;

const SCHEMA = `
  CREATE TABLE rows (id INTEGER PRIMARY KEY, ${ROW_COLUMNS.map(rowColumn).join(", ")}) STRICT;
  CREATE INDEX rows_at ON rows (at);
  CREATE TABLE rollups (
    step TEXT NOT NULL, start INTEGER NOT NULL, ${DIMENSIONS.map((name) => `${name} TEXT NOT NULL`).join(", ")},
    ${SUM_COLUMNS.map((name) => `${name} INTEGER NOT NULL`).join(", ")},
    PRIMARY KEY (step, start, ${DIMENSIONS.join(", ")})
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE reservations (
    instance TEXT NOT NULL, caller TEXT NOT NULL, company TEXT NOT NULL, at INTEGER NOT NULL,
    tokens INTEGER NOT NULL, embedded INTEGER NOT NULL, PRIMARY KEY (instance, caller, company)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lost (
    at INTEGER NOT NULL, caller TEXT NOT NULL, company TEXT NOT NULL, tokens INTEGER NOT NULL, embedded INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX lost_at ON lost (at);
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/** Bytes the write-ahead log may keep on the disk after a checkpoint. */
const LOG_BYTES = 4 << 20;
/** How long a statement waits for the other relay of a hand-over, or for a person's `sqlite3`. */
const BUSY_MS = 2000;

/** What opening a file found. */
export interface OpenedFile {
  readonly db: DatabaseSync;
  /** Where a damaged file was moved to. */
  readonly movedTo?: string;
}

/**
 * Opens the file and creates it if it is missing (0600). A damaged one is set aside as `<file>.broken`, and a new one begun.
 * @param check reads the whole file first: after an unclean shutdown
 * @throws an error with a message for an operator for a file that cannot be used: locked, of a newer release, on a full disk
 */
export function openLedgerFile(file: string, check: boolean): OpenedFile {
  try {
    return { db: open(file, check) };
  } catch (cause) {
    if (!(cause instanceof FailedCheck || isDamaged(cause))) throw cause;
    const movedTo = `${file}.broken`;
    renameSync(file, movedTo);
    for (const rest of ["-wal", "-shm"]) {
      try {
        renameSync(file + rest, movedTo + rest);
      } catch {
        // it has none
      }
    }
    return { db: open(file, false), movedTo };
  }
}

/** The check of the whole file found it damaged. */
class FailedCheck extends Error {}

function open(file: string, check: boolean): DatabaseSync {
  const address = pathToFileURL(file);
  // Pads a synced commit to the sector's end, so that a torn later write cannot damage it: https://www.sqlite.org/psow.html
  address.searchParams.set("psow", "0");
  const db = new DatabaseSync(address, { timeout: BUSY_MS });
  try {
    chmodSync(file, 0o600);
    // Each group's commit is synced, on a Mac with F_FULLFSYNC: what a power cut takes is what had not been committed yet.
    db.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    db.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA temp_store = MEMORY;");
    db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
    if (check) {
      const found = db.prepare("PRAGMA quick_check(1)").get() as { quick_check: string };
      if (found.quick_check !== "ok") throw new FailedCheck(found.quick_check);
    }
    inTransaction(db, () => create(db, file));
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}

function create(db: DatabaseSync, file: string): void {
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version === 0) db.exec(SCHEMA);
  else if (version !== SCHEMA_VERSION) {
    throw new Error(
      `the file of the ledger has tables of version ${version}, and this relay knows ${SCHEMA_VERSION}: a newer release made it. Install that one again, or move the file ${file} away; until then usage is not recorded`,
    );
  }
}
