/** Documents in a SQLite file on the Mac. Synchronous underneath, so it runs in a thread of its own: see `worker.ts`. */
import { statfsSync } from "node:fs";
import { chmod, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import type { DocumentKey } from "../access/names.ts";
import { isFull } from "../jobs/store.ts";
import { refusalOf } from "../memory/shares.ts";
import {
  DOCUMENTS_MIB,
  type DocumentMeta,
  type DocumentStore,
  type Listing,
  type Sharing,
  type StoreBounds,
} from "./store.ts";
import { storedNames } from "./stored-names.ts";
import { floatsOf } from "./vectors.ts";

/**
 * Raised whenever the tables change. A file of an older one is set aside, since all in it can be had again; one of a newer
 * one is left as it is, for the release that made it.
 */
const SCHEMA_VERSION = 1;

// Contents are a table of their own: SQLite writes a row anew as a whole, and a use must not write 4 MB.
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
  CREATE TABLE spending (
    company TEXT NOT NULL, day TEXT NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (company, day)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};`;

/** What a document takes beside its vectors and texts. */
const RECORD_BYTES = 4096;

// What each caller has stored is counted by triggers. The release before knows nothing of it, works with the file as ever,
// and counts as well; so the version stays.
const COUNTED = `
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

/** What the log beside the file may keep on the disk after a checkpoint. */
const LOG_BYTES = 16 << 20;
/** Pages beyond the bound, for what must be written also when it is reached: uses, leases, tokens spent. */
const SLACK_BYTES = 16 << 20;
/** Pages given back to the disk at once: after a removal, and by the hourly sweep. */
const VACUUM_PAGES = 2000;
const SWEEP_VACUUM_PAGES = 50_000;
/** Documents that may be on their way into the store at once. */
const MOST_WRITE_INTENTS = 10_000;

const metaSchema = storedNames.extend({
  createdAt: z.int(),
  lastAccessedAt: z.int(),
});
const contentSchema = z.object({ chunks: z.string(), vectors: z.instanceof(Uint8Array) });
const chunksSchema = z.array(z.tuple([z.string(), z.string()]));

/**
 * Opens the file, made if it is not there (0600). A file that SQLite finds damaged is set aside as `<file>.broken`: what was
 * in it is embedded anew. A power cut may lose the last documents, never damage the file.
 */
export async function openSqliteFile(
  file: string,
  bounds: StoreBounds = { maxBytes: DOCUMENTS_MIB * 1024 * 1024, minFreeBytes: 0 },
): Promise<DocumentStore> {
  const db = await opened(file);
  allowVacuum(db);
  const { page_size: pageSize } = db.prepare("PRAGMA page_size").get() as { page_size: number };
  db.exec(`PRAGMA max_page_count = ${Math.ceil((bounds.maxBytes + SLACK_BYTES) / pageSize)}`);
  return sqliteStore(db, file, bounds);
}

/**
 * Files of earlier releases could never shrink: this rewrites one once, some seconds a GB. Where the disk has no room for
 * that, it is tried again at the next start.
 */
function allowVacuum(db: DatabaseSync): void {
  const { auto_vacuum: mode } = db.prepare("PRAGMA auto_vacuum").get() as { auto_vacuum: number };
  if (mode === 2) return;
  try {
    db.exec("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;");
  } catch (cause) {
    if (!isFull(cause)) throw cause;
  }
}

/**
 * Opens the file for a moment, as `openSqliteFile` does, and says whether a sweep would find something in it. Nobody else may
 * have it open.
 */
export async function isOverdue(file: string, livingSince: number): Promise<boolean> {
  const db = await opened(file);
  try {
    return db.prepare("SELECT 1 FROM documents WHERE lastAccessedAt <= ? LIMIT 1").get(livingSince) !== undefined;
  } finally {
    db.close();
  }
}

async function opened(file: string): Promise<DatabaseSync> {
  let db: DatabaseSync;
  try {
    db = open(file);
  } catch (cause) {
    if (!isBroken(cause)) throw cause;
    await rename(file, `${file}.broken`);
    for (const rest of ["-wal", "-shm"]) await rename(file + rest, `${file}.broken${rest}`).catch(() => {});
    db = open(file);
  }
  await chmod(file, 0o600);
  return db;
}

function open(file: string): DatabaseSync {
  const db = new DatabaseSync(file);
  try {
    // Without a sync a commit: it is a cache. The checkpoint's sync keeps the order of writes on a Mac, too.
    db.exec(
      "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON;",
    );
    const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number };
    if (version === 0) db.exec(SCHEMA);
    else if (version > SCHEMA_VERSION) {
      throw new Error(
        `the file of the documents has tables of version ${version}, and this relay knows ${SCHEMA_VERSION}: a newer release made it. Install that one again, or move the file ${file} away; until then documents are embedded anew each time`,
      );
    } else if (version !== SCHEMA_VERSION) throw new OtherVersion(`the file's tables are of version ${version}`);
    db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
    const counted = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'usage'").get() !== undefined;
    if (!counted) db.exec(`BEGIN IMMEDIATE; ${COUNTED} COMMIT`);
    db.exec("DELETE FROM leases"); // of a process that has ended: one relay at a time has the file
    return db;
  } catch (cause) {
    db.close();
    throw cause;
  }
}

class OtherVersion extends Error {}
class NoRoom extends Error {}

// 11 is SQLITE_CORRUPT, 26 SQLITE_NOTADB. Source: https://sqlite.org/rescode.html
function isBroken(cause: unknown): boolean {
  if (cause instanceof OtherVersion) return true;
  return cause instanceof Error && "errcode" in cause && (cause.errcode === 11 || cause.errcode === 26);
}

/** Where the disk or the bound is full, gives what stands in for the result: a cache must go on without it. */
function unlessFull<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (cause) {
    if (!isFull(cause)) throw cause;
    return otherwise;
  }
}

function sqliteStore(db: DatabaseSync, file: string, bounds: StoreBounds): DocumentStore {
  const columns = Object.keys(metaSchema.shape);
  const selectMeta = `SELECT ${columns.join(", ")} FROM documents`;
  const byKey = "company = :company AND title = :title";
  const statements = {
    meta: db.prepare(`${selectMeta} WHERE ${byKey} AND lastAccessedAt > :livingSince`),
    content: db.prepare(
      `SELECT chunks, vectors FROM contents JOIN documents ON id = document WHERE ${byKey} AND revision = :revision`,
    ),
    remove: db.prepare(`DELETE FROM documents WHERE ${byKey}`),
    removeExpired: db.prepare(`DELETE FROM documents WHERE ${byKey} AND lastAccessedAt <= :livingSince`),
    insert: db.prepare(
      `INSERT INTO documents (${columns.join(", ")}, caller) VALUES (${columns.map((name) => `:${name}`).join(", ")}, :caller)`,
    ),
    insertContent: db.prepare("INSERT INTO contents VALUES (:document, :chunks, :vectors)"),
    setVersion: db.prepare(`UPDATE documents SET version = :version WHERE ${byKey} AND revision = :revision`),
    touch: db.prepare(`UPDATE documents SET lastAccessedAt = max(lastAccessedAt, :at) WHERE ${byKey}`),
    removeCompany: db.prepare("DELETE FROM documents WHERE company = ?"),
    lease: db.prepare(
      `INSERT INTO leases VALUES (:company, :title, :owner, :until)
       ON CONFLICT DO UPDATE SET owner = :owner, until = :until WHERE owner = :owner OR until <= :now`,
    ),
    releaseLease: db.prepare(`DELETE FROM leases WHERE ${byKey} AND owner = :owner`),
    spent: db.prepare("SELECT tokens FROM spending WHERE company = ? AND day = ?"),
    spend: db.prepare(
      "INSERT INTO spending VALUES (:company, :day, :tokens) ON CONFLICT DO UPDATE SET tokens = tokens + :tokens",
    ),
    sweep: db.prepare("DELETE FROM documents WHERE lastAccessedAt <= ?"),
    forgetLeases: db.prepare("DELETE FROM leases WHERE until <= ?"),
    usage: db.prepare("SELECT caller, bytes FROM usage WHERE bytes > 0"),
    pages: db.prepare(
      `SELECT (page_count - freelist_count) * page_size AS bytes
       FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`,
    ),
    forgetSpending: db.prepare("DELETE FROM spending WHERE day < ?"),
  };
  const names = ({ company, title }: DocumentKey) => ({ company, title });
  // In memory: one relay at a time has the file, and what it had writeIntents ends with it.
  const writeIntents = new Map<string, string>();
  const nameOf = ({ company, title }: DocumentKey) => JSON.stringify([company, title]);
  const companyOf = (name: string) => (JSON.parse(name) as [string, string])[0];
  const transaction = (work: () => void): void => {
    db.exec("BEGIN IMMEDIATE");
    try {
      work();
      db.exec("COMMIT");
    } catch (cause) {
      if (db.isTransaction) db.exec("ROLLBACK"); // a full disk may have ended it already
      throw cause;
    }
  };
  const hasRoom = (bytes: number, sharing: Sharing | undefined): boolean => {
    const { bavail, bsize } = statfsSync(dirname(file));
    if (bavail * bsize - bytes < bounds.minFreeBytes) return false;
    const taken = statements.pages.get() as { bytes: number };
    if (taken.bytes + bytes > bounds.maxBytes) return false;
    if (sharing === undefined) return true;
    const rows = statements.usage.all() as unknown as { caller: string; bytes: number }[];
    const used = new Map(rows.map((row) => [row.caller, row.bytes]));
    return refusalOf(sharing.caller, bytes, bounds.maxBytes, used, sharing.callers) === undefined;
  };
  const giveBack = (pages: number) => unlessFull(() => db.exec(`PRAGMA incremental_vacuum(${pages})`), undefined);

  return {
    async ping() {
      statements.spent.get("", "");
    },
    async meta(key, livingSince) {
      const row = statements.meta.get({ ...names(key), livingSince });
      return metaSchema.safeParse(row).data;
    },
    async content(key, revision) {
      const row = statements.content.get({ ...names(key), revision });
      const found = contentSchema.safeParse(row).data;
      if (found === undefined) return undefined;
      const { chunks, vectors } = found;
      return {
        chunks: chunksSchema.parse(JSON.parse(chunks)).map(([hash, text]) => ({ hash, text })),
        vectors: floatsOf(vectors),
      };
    },
    async declareWrite(key, token, now, livingSince) {
      unlessFull(() => {
        statements.removeExpired.run({ ...names(key), livingSince });
        statements.touch.run({ ...names(key), at: now });
      }, undefined);
      const [oldest] = writeIntents.keys();
      if (writeIntents.size >= MOST_WRITE_INTENTS && oldest !== undefined) writeIntents.delete(oldest);
      writeIntents.set(nameOf(key), token);
    },
    async hasRoom(bytes, sharing) {
      return hasRoom(bytes, sharing);
    },
    async put(meta, { chunks, vectors }, token, sharing) {
      if (writeIntents.get(nameOf(meta)) !== token) return false;
      writeIntents.delete(nameOf(meta));
      const store = () => {
        statements.remove.run(names(meta));
        if (!hasRoom(meta.bytes + RECORD_BYTES, sharing)) throw new NoRoom();
        const { lastInsertRowid } = statements.insert.run({ ...metaOnly(meta), caller: sharing?.caller ?? "" });
        statements.insertContent.run({
          document: lastInsertRowid,
          chunks: JSON.stringify(chunks.map(({ hash, text }) => [hash, text])),
          vectors: new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength),
        });
      };
      try {
        transaction(store);
        return true;
      } catch (cause) {
        if (cause instanceof NoRoom || isFull(cause)) return "full";
        throw cause;
      }
    },
    async withdrawWrite(key, token) {
      if (writeIntents.get(nameOf(key)) === token) writeIntents.delete(nameOf(key));
    },
    async setVersion(key, revision, version) {
      unlessFull(() => statements.setVersion.run({ ...names(key), revision, version }), undefined);
    },
    async touch(uses) {
      const write = () => {
        for (const { company, title, at } of uses) statements.touch.run({ company, title, at });
      };
      unlessFull(() => transaction(write), undefined);
    },
    async remove(key) {
      writeIntents.delete(nameOf(key));
      const removed = Number(statements.remove.run(names(key)).changes) > 0;
      giveBack(VACUUM_PAGES);
      return removed;
    },
    async removeCompany(company) {
      for (const name of writeIntents.keys()) if (companyOf(name) === company) writeIntents.delete(name);
      const removed = Number(statements.removeCompany.run(company).changes);
      giveBack(SWEEP_VACUUM_PAGES);
      return removed;
    },
    async list(listing) {
      const { sql, values } = listQuery(listing);
      return db
        .prepare(`${selectMeta} WHERE ${sql}`)
        .all(...values)
        .map((row) => metaSchema.parse(row));
    },
    async lease(key, owner, until, now) {
      // One relay at a time has the file, and it keeps its own requests in order without leases.
      return unlessFull(() => Number(statements.lease.run({ ...names(key), owner, until, now }).changes) > 0, true);
    },
    async releaseLease(key, owner) {
      unlessFull(() => statements.releaseLease.run({ ...names(key), owner }), undefined);
    },
    async spent(company, day) {
      const row = statements.spent.get(company, day);
      return typeof row?.tokens === "number" ? row.tokens : 0;
    },
    async spend(company, day, tokens) {
      unlessFull(() => statements.spend.run({ company, day, tokens }), undefined);
    },
    async sweep(livingSince) {
      statements.sweep.run(livingSince);
      statements.forgetSpending.run(new Date(livingSince).toISOString().slice(0, 10));
      statements.forgetLeases.run(livingSince);
      giveBack(SWEEP_VACUUM_PAGES);
    },
    async close() {
      db.close();
    },
  };
}

function metaOnly(meta: DocumentMeta): DocumentMeta {
  return metaSchema.parse(meta);
}

function listQuery({ companies, after, limit, livingSince }: Listing): { sql: string; values: (string | number)[] } {
  const parts = ["lastAccessedAt > ?"];
  const values: (string | number)[] = [livingSince];
  if (companies !== "all") {
    parts.push(`company IN (${companies.map(() => "?").join(", ")})`);
    values.push(...companies);
  }
  if (after !== undefined) {
    parts.push("(company, title) > (?, ?)");
    values.push(after.company, after.title);
  }
  values.push(limit);
  return { sql: `${parts.join(" AND ")} ORDER BY company, title LIMIT ?`, values };
}
