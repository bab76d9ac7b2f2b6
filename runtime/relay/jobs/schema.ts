/** The SQLite file of the jobs: how it is opened so that a power cut loses nothing, and how its schema moves forward. */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { StoreFailed } from "./store.ts";

/** One step forward. */
export interface Migration {
  readonly version: number;
  /** The oldest version whose code still works with the file after this step: an installer may go back a release. */
  readonly compatibleWith: number;
  readonly sql: string;
}

// Bodies and answers stand in tables of their own: SQLite writes a row anew, with all its pages, whenever a part changes.
const FIRST = `
  CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    lane TEXT NOT NULL,
    path TEXT NOT NULL,
    query TEXT NOT NULL,
    headers TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    estimated_tokens INTEGER NOT NULL,
    idempotency_key TEXT,
    echo TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'in_progress', 'completed', 'failed', 'cancelled')),
    created_at INTEGER NOT NULL,
    run_after INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    expires_at INTEGER NOT NULL,
    attempt_id TEXT UNIQUE,
    lease_until INTEGER,
    error_code TEXT,
    error_message TEXT,
    CHECK ((state = 'in_progress') = (attempt_id IS NOT NULL))
  ) STRICT;
  CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, path, idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE INDEX jobs_queued ON jobs (lane, seq) WHERE state = 'queued';
  CREATE INDEX jobs_queued_by_owner ON jobs (lane, owner, seq) WHERE state = 'queued';
  CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'in_progress';
  CREATE INDEX jobs_by_expiry ON jobs (expires_at);
  CREATE INDEX jobs_by_state ON jobs (state, lane, finished_at);
  CREATE TABLE bodies (seq INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE, body BLOB NOT NULL) STRICT;
  CREATE TABLE answers (
    seq INTEGER PRIMARY KEY REFERENCES jobs (seq) ON DELETE CASCADE,
    attempt_id TEXT,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TRIGGER answers_never_change BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'an answer never changes'); END;
  CREATE TABLE attempts (
    id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    boot TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome TEXT,
    detail TEXT,
    counted INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attempts_by_job ON attempts (seq, started_at);
`;

// What an older release adds after a return to it waits in the flow without a company.
const COMPANIES = `
  ALTER TABLE jobs ADD COLUMN company TEXT;
  ALTER TABLE jobs ADD COLUMN flow TEXT NOT NULL DEFAULT '';
  CREATE INDEX jobs_queued_by_flow ON jobs (lane, owner, flow, seq) WHERE state = 'queued';
`;

/** Part of the bound that no answer may take: states and attempts must be written whatever happens. */
export const PART_FOR_NOTES = 1 / 32;

/** What a job takes on the disk beside its texts and bodies: its rows, its attempts, the indexes' part. */
export const JOB_BYTES = 8192;

const ofJob = (row: "NEW" | "OLD" | "j") =>
  `${JOB_BYTES} + octet_length(${row}.headers) + octet_length(${row}.query) + coalesce(octet_length(${row}.echo), 0)`;
const contentsOf = (row: "OLD" | "j") =>
  `(CASE WHEN EXISTS (SELECT 1 FROM bodies b WHERE b.seq = ${row}.seq) THEN ${row}.bytes ELSE 0 END)
   + coalesce((SELECT octet_length(a.body) FROM answers a WHERE a.seq = ${row}.seq), 0)
   + coalesce((SELECT sum(octet_length(p.data)) FROM answer_parts p WHERE p.seq = ${row}.seq), 0)`;

// Long answers lie in parts (see answer-rows.ts), and what each owner takes is counted by triggers, so that the release
// before, should an installer go back to it, counts as well. That release finds no body of a long answer: it calls such a
// result damaged, and works otherwise.
const DISK_SHARES = `
  ALTER TABLE answers ADD COLUMN bytes INTEGER;
  CREATE TABLE answer_parts (
    seq INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (seq, part)
  ) STRICT;
  CREATE TABLE usage (owner TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO usage SELECT j.owner, sum(${ofJob("j")} + ${contentsOf("j")}) FROM jobs j GROUP BY j.owner;
  CREATE TRIGGER usage_job_added AFTER INSERT ON jobs BEGIN
    INSERT INTO usage VALUES (NEW.owner, ${ofJob("NEW")}) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER usage_job_removed BEFORE DELETE ON jobs BEGIN
    UPDATE usage SET bytes = bytes - (${ofJob("OLD")} + ${contentsOf("OLD")}) WHERE owner = OLD.owner;
  END;
  CREATE TRIGGER usage_body_added AFTER INSERT ON bodies BEGIN
    UPDATE usage SET bytes = bytes + (SELECT bytes FROM jobs WHERE seq = NEW.seq)
    WHERE owner = (SELECT owner FROM jobs WHERE seq = NEW.seq);
  END;
  CREATE TRIGGER usage_body_removed AFTER DELETE ON bodies BEGIN
    UPDATE usage SET bytes = bytes - (SELECT bytes FROM jobs WHERE seq = OLD.seq)
    WHERE owner = (SELECT owner FROM jobs WHERE seq = OLD.seq);
  END;
  CREATE TRIGGER usage_answer_added AFTER INSERT ON answers BEGIN
    UPDATE usage SET bytes = bytes + octet_length(NEW.body) WHERE owner = (SELECT owner FROM jobs WHERE seq = NEW.seq);
  END;
  CREATE TRIGGER usage_part_added AFTER INSERT ON answer_parts BEGIN
    UPDATE usage SET bytes = bytes + octet_length(NEW.data) WHERE owner = (SELECT owner FROM jobs WHERE seq = NEW.seq);
  END;
`;

// Direct calls with an Idempotency-Key that run now. In the file, so that during a hand-over the new relay knows the old one's.
const RUNNING_CALLS = `
  CREATE TABLE running_calls (
    owner TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_sha256 TEXT NOT NULL,
    call_id TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    pid INTEGER NOT NULL,
    PRIMARY KEY (owner, path, idempotency_key)
  ) STRICT, WITHOUT ROWID;
`;

const withMetadata = (row: "NEW" | "OLD") => `${ofJob(row)} + coalesce(octet_length(${row}.metadata), 0)`;

// Kept answers of direct calls are no jobs for their owner, so they are not listed. The trigger also marks those that the
// release before writes, should an installer go back to it.
const LISTING = `
  ALTER TABLE jobs ADD COLUMN metadata TEXT;
  ALTER TABLE jobs ADD COLUMN is_call INTEGER NOT NULL DEFAULT 0;
  UPDATE jobs SET is_call = 1 WHERE seq IN (SELECT seq FROM answers WHERE attempt_id IS NULL);
  CREATE INDEX jobs_listed ON jobs (owner, state, seq) WHERE is_call = 0;
  CREATE TRIGGER answer_of_a_call AFTER INSERT ON answers WHEN NEW.attempt_id IS NULL BEGIN
    UPDATE jobs SET is_call = 1 WHERE seq = NEW.seq;
  END;
  DROP TRIGGER usage_job_added;
  DROP TRIGGER usage_job_removed;
  CREATE TRIGGER usage_job_added AFTER INSERT ON jobs BEGIN
    INSERT INTO usage VALUES (NEW.owner, ${withMetadata("NEW")}) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER usage_job_removed BEFORE DELETE ON jobs BEGIN
    UPDATE usage SET bytes = bytes - (${withMetadata("OLD")} + ${contentsOf("OLD")}) WHERE owner = OLD.owner;
  END;
`;

/** All steps, oldest first. A step that was released is never edited. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, compatibleWith: 1, sql: FIRST },
  { version: 2, compatibleWith: 1, sql: COMPANIES },
  { version: 3, compatibleWith: 1, sql: DISK_SHARES },
  { version: 4, compatibleWith: 1, sql: RUNNING_CALLS },
  { version: 5, compatibleWith: 1, sql: LISTING },
];

/** What the log may keep on the disk after a checkpoint, in bytes. */
const LOG_BYTES = 64 * 1024 * 1024;

/**
 * Opens the file, makes it if it is missing, brings it to the newest schema. Blocks. Waits 5 s for another process to let
 * go of it. Commits are synced: `synchronous=FULL`, and on macOS F_FULLFSYNC, since fsync alone leaves data in the drive's
 * cache there. @throws StoreFailed with a message for a person
 * Source: https://www.sqlite.org/pragma.html#pragma_fullfsync, https://www.sqlite.org/wal.html
 */
export function openDatabase(file: string, maxBytes: number, migrations = MIGRATIONS): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    const address = pathToFileURL(file);
    // A power cut may tear a sector that holds the end of a synced commit and the begin of the next: so commits are padded
    // to the sector's end. https://www.sqlite.org/psow.html
    address.searchParams.set("psow", "0");
    db = new DatabaseSync(address, { timeout: 5000 });
    // One relay at a time: whoever holds the file holds every claim in it.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;");
    db.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;");
    db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}; PRAGMA temp_store = MEMORY;`);
    migrate(db, migrations); // before the bound: a file that is full to the last page must come forward too
    boundSize(db, maxBytes);
    syncFolder(dirname(file));
    return db;
  } catch (cause) {
    db?.close();
    if (cause instanceof StoreFailed) throw cause;
    throw new StoreFailed(`the file of the jobs, ${file}, can not be used: ${reason(cause)}`, { cause });
  }
}

/** Sets the bound on the file's size. */
export function boundSize(db: DatabaseSync, maxBytes: number): void {
  db.exec(`PRAGMA max_page_count = ${mostPages(db, maxBytes)}`);
}

/**
 * Pages that the file may have. Of a file that is over its bound, or all but (an older release filled it to the last page, or
 * the bound was lowered), a little more: states must be written, or nothing in it could ever end and be forgotten.
 */
function mostPages(db: DatabaseSync, maxBytes: number): number {
  const number = (pragma: string) => Object.values(db.prepare(`PRAGMA ${pragma}`).get() as Record<string, number>)[0]!;
  const most = Math.ceil(maxBytes / number("page_size"));
  const used = number("page_count") - number("freelist_count");
  return Math.max(most, used + Math.ceil(most * PART_FOR_NOTES));
}

/**
 * Looks the whole file through for damage; blocks, about a second for each GB. What was synced can not be torn by a power
 * cut, but a disk may lie. @throws StoreFailed with what SQLite found
 */
export function checkDatabase(db: DatabaseSync, file: string): void {
  const found = db.prepare("PRAGMA quick_check(3)").all() as { quick_check: string }[];
  const faults = found.map((row) => row.quick_check).filter((text) => text !== "ok");
  if (faults.length === 0) return;
  db.close();
  throw new StoreFailed(`the file of the jobs, ${file}, is damaged (${faults.join("; ")}). ${moveAway}`);
}

const moveAway = "Move it and the one with -wal away, put back a copy if there is one, and restart the relay";

function reason(cause: unknown): string {
  const { message, errcode } = cause as Error & { errcode?: number };
  if (errcode === 5) return "another process has it open (is a second relay running?)";
  if (errcode === 11 || errcode === 26) {
    return `${message}. ${moveAway}`;
  }
  return message;
}

/** Brings the schema forward, in one transaction. @throws StoreFailed when a newer release wrote what this one can not read */
export function migrate(db: DatabaseSync, migrations: readonly Migration[]): void {
  const newest = migrations.at(-1)?.version ?? 0;
  db.exec("BEGIN EXCLUSIVE");
  try {
    db.exec("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL, compatible_with INTEGER NOT NULL) STRICT");
    const found = db.prepare("SELECT version, compatible_with AS compatibleWith FROM schema").get() as
      | { version: number; compatibleWith: number }
      | undefined;
    const version = found?.version ?? 0;
    if (found !== undefined && found.compatibleWith > newest) {
      throw new StoreFailed(
        `the file of the jobs has schema ${version}, which needs a relay that knows schema ${found.compatibleWith} or later; this one knows ${newest}. Install the newer release again`,
      );
    }
    for (const step of migrations) {
      if (step.version <= version) continue;
      db.exec(step.sql);
      db.exec("DELETE FROM schema");
      db.prepare("INSERT INTO schema VALUES (?, ?)").run(step.version, step.compatibleWith);
    }
    db.exec("COMMIT");
  } catch (cause) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw cause;
  }
}

// SQLite syncs the folder when it makes the log, but not when it makes the file itself.
function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
