/** The documents' SQLite file: its tables, how it is opened, and how files of earlier releases are migrated. */
import { chmod, rename } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { isAlive } from "../../process-alive.ts";
import { inTransaction, isDamaged, isFull, resultCode, SQLITE_BUSY } from "../sqlite.ts";

/**
 * Increased when older releases could no longer work with the tables. A file of a lower version is set aside, since its
 * contents can be embedded again; one of a higher version is left for the release that wrote it.
 */
const SCHEMA_VERSION = 1;

// Contents have their own table: SQLite rewrites whole rows, and a use must not write 4 MB.
const SCHEMA = `
  CREATE TABLE documents (
    id INTEGER PRIMARY KEY, company TEXT NOT NULL, title TEXT NOT NULL, version TEXT, fingerprint TEXT NOT NULL,
    model TEXT NOT NULL, dimensions INTEGER NOT NULL, textHash TEXT, revision TEXT NOT NULL, chunkCount INTEGER NOT NULL,
    bytes INTEGER NOT NULL, createdAt INTEGER NOT NULL, lastAccessedAt INTEGER NOT NULL, UNIQUE (company, title)
  ) STRICT;
  CREATE INDEX documents_lastAccessedAt ON documents (lastAccessedAt);
  CREATE TABLE contents (
    document INTEGER PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE, chunks TEXT NOT NULL, vectors BLOB NOT NULL
  ) STRICT;
  CREATE TABLE leases (
    company TEXT NOT NULL, title TEXT NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (company, title)
  ) STRICT, WITHOUT ROWID;
  -- Of releases before the ledger; kept so that an installer can roll back to one.
  CREATE TABLE spending (
    company TEXT NOT NULL, day TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (company, day)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/** Bytes of a document beside its vectors and texts. */
export const RECORD_BYTES = 4096;

// Triggers count each caller's usage. Earlier releases do not know them, but work with the file and trigger them; so the
// version stays.
const USAGE = `
  ALTER TABLE documents ADD COLUMN caller TEXT NOT NULL DEFAULT '';
  CREATE TABLE usage (caller TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO usage SELECT '', sum(bytes + ${RECORD_BYTES}) FROM documents HAVING count(*) > 0;
  CREATE TRIGGER usage_added AFTER INSERT ON documents BEGIN
    INSERT INTO usage VALUES (NEW.caller, NEW.bytes + ${RECORD_BYTES})
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER usage_removed AFTER DELETE ON documents BEGIN
    UPDATE usage SET bytes = bytes - (OLD.bytes + ${RECORD_BYTES}) WHERE caller = OLD.caller;
  END;`;

// In the file, since during a hand-over two relays have it open and a removal by one must void the other's write. Earlier
// releases kept them in memory and ignore the table; so the version stays.
const WRITE_INTENTS = `
  CREATE TABLE write_intents (
    company TEXT NOT NULL, title TEXT NOT NULL, token TEXT NOT NULL, declaredAt INTEGER NOT NULL, PRIMARY KEY (company, title)
  ) STRICT, WITHOUT ROWID;`;

/** Additions that any release can work with: the table whose existence shows that it was applied, and the SQL. */
const ADDITIONS: readonly (readonly [table: string, sql: string])[] = [
  ["usage", USAGE],
  ["write_intents", WRITE_INTENTS],
];

/** Bytes the write-ahead log may keep on the disk after a checkpoint. */
const LOG_BYTES = 16 << 20;
/** How long a statement waits for the other relay of a hand-over. Shorter than the time-out of `StoreGuard`. */
const BUSY_MS = 4_000;

/** The file has tables of another version. */
class OtherVersion extends Error {}

/**
 * Opens the file and creates it if it is missing (0600). A file that SQLite finds damaged is set aside as `<file>.broken`; its
 * documents are embedded again. Rejects with a message for an operator for a file of a newer release.
 */
export async function openDocumentsFile(file: string): Promise<DatabaseSync> {
  let db: DatabaseSync;
  try {
    db = open(file);
  } catch (cause) {
    if (!(cause instanceof OtherVersion || isDamaged(cause))) throw cause;
    await rename(file, `${file}.broken`);
    for (const rest of ["-wal", "-shm"]) await rename(file + rest, `${file}.broken${rest}`).catch(() => {});
    db = open(file);
  }
  await chmod(file, 0o600);
  return db;
}

function open(file: string): DatabaseSync {
  const address = pathToFileURL(file);
  // Pads a synced commit to the sector's end, so that a torn later write cannot damage it: https://www.sqlite.org/psow.html
  address.searchParams.set("psow", "0");
  const db = new DatabaseSync(address, { timeout: BUSY_MS });
  try {
    // Commits are not synced, since this is a cache; removals are (see `durably`). A power cut may lose the last documents but
    // never damages the file: the checkpoint syncs, on a Mac with F_FULLFSYNC.
    db.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    db.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON;");
    db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
    inTransaction(db, () => migrate(db, file));
    freeLeasesOfTheDead(db);
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}

function migrate(db: DatabaseSync, file: string): void {
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
  if (version === 0) db.exec(SCHEMA);
  else if (version > SCHEMA_VERSION) {
    throw new Error(
      `the file of the documents has tables of version ${version}, and this relay knows ${SCHEMA_VERSION}: a newer release made it. Install that one again, or move the file ${file} away; until then documents are not stored`,
    );
  } else if (version !== SCHEMA_VERSION) throw new OtherVersion(`the file's tables are of version ${version}`);
  for (const [table, sql] of ADDITIONS) {
    const found = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table);
    if (found === undefined) db.exec(sql);
  }
}

/** Runs `work` in a synced transaction: when it returns, the transaction survives a power cut. */
export function durably<T>(db: DatabaseSync, work: () => T): T {
  db.exec("PRAGMA synchronous = FULL");
  try {
    return inTransaction(db, work);
  } finally {
    db.exec("PRAGMA synchronous = NORMAL");
  }
}

/** Frees leases of processes that have died. Those of the other relay of a hand-over stay. */
function freeLeasesOfTheDead(db: DatabaseSync): void {
  const owners = db.prepare("SELECT DISTINCT owner FROM leases").all() as unknown as { owner: string }[];
  const remove = db.prepare("DELETE FROM leases WHERE owner = ?");
  for (const { owner } of owners) if (!isRunning(owner)) remove.run(owner);
}

/** Whether the process of a lease's owner is running. An owner without a process id is of an earlier release: it may be. */
function isRunning(owner: string): boolean {
  const pid = Number(/^(\d+):/.exec(owner)?.[1] ?? Number.NaN);
  return Number.isNaN(pid) || isAlive(pid);
}

/**
 * Files of earlier releases could not shrink: this rewrites one once, which takes some seconds per GB. If the disk has no
 * space for that, or the other relay of a hand-over has the file open, the next start tries again.
 */
export function allowVacuum(db: DatabaseSync): void {
  const { auto_vacuum: mode } = db.prepare("PRAGMA auto_vacuum").get() as { auto_vacuum: number };
  if (mode === 2) return;
  try {
    db.exec("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;");
  } catch (cause) {
    if (!isFull(cause) && resultCode(cause) !== SQLITE_BUSY) throw cause;
  }
}
