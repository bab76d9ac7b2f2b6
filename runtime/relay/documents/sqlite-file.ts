/** Documents in a SQLite file on the Mac. Every method blocks, so it runs in a thread of its own: see `worker.ts`. */
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { freeBytesSync } from "../../disk-space.ts";
import type { DocumentKey } from "../access/names.ts";
import { refusalOf } from "../memory/shares.ts";
import { inTransaction, isFull } from "../sqlite.ts";
import { allowVacuum, durably, openDocumentsFile, RECORD_BYTES } from "./sqlite-schema.ts";
import { documentStatements } from "./sqlite-statements.ts";
import {
  type DeletionStep,
  DOCUMENTS_MIB,
  type DocumentCount,
  type DocumentStore,
  type Listing,
  type Sharing,
  type StoreBounds,
} from "./store.ts";
import { storedNames } from "./stored-names.ts";
import { floatsOf } from "./vectors.ts";

/** Bytes beyond the bound, for small writes that must succeed when it is reached: uses, leases. */
const SLACK_BYTES = 16 << 20;
/** Pages returned to the disk per step. */
const VACUUM_PAGES = 2000;
/** Bounds of one step of a deletion, since other requests wait behind it. */
const STEP_DOCUMENTS = 500;
const STEP_BYTES = 32 << 20;
const DAY_MS = 86_400_000;

const metaSchema = storedNames.extend({ createdAt: z.int(), lastAccessedAt: z.int() });
const contentSchema = z.object({ chunks: z.string(), vectors: z.instanceof(Uint8Array) });
const chunksSchema = z.array(z.tuple([z.string(), z.string()]));

/** Opens the file; see `openDocumentsFile`. Two relays may have it open during a hand-over. */
export async function openSqliteFile(
  file: string,
  bounds: StoreBounds = { maxBytes: DOCUMENTS_MIB * 1024 * 1024, minFreeBytes: 0 },
): Promise<DocumentStore> {
  const db = await openDocumentsFile(file);
  allowVacuum(db);
  const { page_size: pageSize } = db.prepare("PRAGMA page_size").get() as { page_size: number };
  db.exec(`PRAGMA max_page_count = ${Math.ceil((bounds.maxBytes + SLACK_BYTES) / pageSize)}`);
  return sqliteStore(db, file, bounds);
}

/** Opens the file briefly, as `openSqliteFile` does, and returns whether a sweep would remove something. */
export async function isOverdue(file: string, livingSince: number): Promise<boolean> {
  const db = await openDocumentsFile(file);
  try {
    return db.prepare("SELECT 1 FROM documents WHERE lastAccessedAt <= ? LIMIT 1").get(livingSince) !== undefined;
  } finally {
    db.close();
  }
}

/** Opens the file briefly and counts, as the store's `count`. Blocks for a few milliseconds for 100,000 documents. */
export async function countBriefly(file: string, livingSince: number): Promise<DocumentCount> {
  const db = await openDocumentsFile(file);
  try {
    return countSchema.parse(documentStatements(db, ["id"]).count.get(livingSince));
  } finally {
    db.close();
  }
}

const countSchema = z.object({ documents: z.number(), bytes: z.number() });

class NoRoom extends Error {}

/** Returns `otherwise` if the disk or the bound is full: a cache must continue without the write. */
function unlessFull<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (cause) {
    if (!isFull(cause)) throw cause;
    return otherwise;
  }
}

function sqliteStore(db: DatabaseSync, file: string, bounds: StoreBounds): DocumentStore {
  const statements = documentStatements(db, Object.keys(metaSchema.shape));
  const names = ({ company, title }: DocumentKey) => ({ company, title });
  const hasRoom = (bytes: number, sharing: Sharing | undefined): boolean => {
    if (freeBytesSync(dirname(file)) - bytes < bounds.minFreeBytes) return false;
    const taken = statements.pages.get() as { bytes: number };
    if (taken.bytes + bytes > bounds.maxBytes) return false;
    if (sharing === undefined) return true;
    const rows = statements.usage.all() as unknown as { caller: string; bytes: number }[];
    const used = new Map(rows.map((row) => [row.caller, row.bytes]));
    return refusalOf(sharing.caller, bytes, bounds.maxBytes, used, sharing.callers) === undefined;
  };
  const vacuum = () => unlessFull(() => db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`), undefined);
  /** Removes as many of these documents as one step allows, in order. */
  const removeSome = (rows: unknown[]): DeletionStep => {
    let [removed, bytes] = [0, 0];
    for (const row of rows as { id: number; bytes: number }[]) {
      if (bytes >= STEP_BYTES) break;
      statements.removeById.run(row.id);
      removed += 1;
      bytes += row.bytes;
    }
    return { removed, more: removed < rows.length || rows.length === STEP_DOCUMENTS };
  };

  return {
    async ping() {
      statements.leased.get("", "");
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
      const declare = () => {
        statements.removeExpired.run({ ...names(key), livingSince });
        statements.touch.run({ ...names(key), at: now });
        statements.declareWrite.run({ ...names(key), token, declaredAt: Date.now() });
      };
      unlessFull(() => inTransaction(db, declare), undefined);
    },
    async hasRoom(bytes, sharing) {
      return hasRoom(bytes, sharing);
    },
    async put(meta, { chunks, vectors }, token, sharing) {
      const store = (): boolean => {
        if (statements.takeWriteIntent.run({ ...names(meta), token }).changes === 0) return false;
        statements.remove.run(names(meta));
        if (!hasRoom(meta.bytes + RECORD_BYTES, sharing)) throw new NoRoom();
        const { lastInsertRowid } = statements.insert.run({
          ...metaSchema.parse(meta),
          caller: sharing?.caller ?? "",
        });
        statements.insertContent.run({
          document: lastInsertRowid,
          chunks: JSON.stringify(chunks.map(({ hash, text }) => [hash, text])),
          vectors: new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength),
        });
        return true;
      };
      try {
        return inTransaction(db, store);
      } catch (cause) {
        if (cause instanceof NoRoom || isFull(cause)) return "full";
        throw cause;
      }
    },
    async withdrawWrite(key, token) {
      unlessFull(() => statements.takeWriteIntent.run({ ...names(key), token }), undefined);
    },
    async setVersion(key, revision, version) {
      unlessFull(() => statements.setVersion.run({ ...names(key), revision, version }), undefined);
    },
    async touch(uses) {
      const write = () => {
        for (const { company, title, at } of uses) statements.touch.run({ company, title, at });
      };
      unlessFull(() => inTransaction(db, write), undefined);
    },
    async remove(key) {
      const removed = durably(db, () => {
        statements.voidWrite.run(names(key));
        return Number(statements.remove.run(names(key)).changes) > 0;
      });
      vacuum();
      return removed;
    },
    async removeCompany(company) {
      const step = durably(db, () => {
        statements.voidWritesOf.run(company);
        return removeSome(statements.ofCompany.all(company, STEP_DOCUMENTS));
      });
      vacuum();
      return step;
    },
    async list(listing) {
      const { sql, values } = listQuery(listing);
      return db
        .prepare(`${statements.selectMeta} WHERE ${sql}`)
        .all(...values)
        .map((row) => metaSchema.parse(row));
    },
    async count(livingSince) {
      return countSchema.parse(statements.count.get(livingSince));
    },
    async lease(key, owner, forMs) {
      const now = Date.now();
      const take = () => Number(statements.lease.run({ ...names(key), owner, until: now + forMs, now }).changes) > 0;
      return unlessFull(take, true); // on a full disk the mutex of this process must do
    },
    async releaseLease(key, owner) {
      unlessFull(() => statements.releaseLease.run({ ...names(key), owner }), undefined);
    },
    async sweep(livingSince) {
      const { more } = inTransaction(db, () => {
        statements.forgetSpending.run(new Date(livingSince).toISOString().slice(0, 10));
        statements.forgetLeases.run(livingSince);
        statements.forgetIntents.run(Date.now() - DAY_MS);
        return removeSome(statements.expired.all(livingSince, STEP_DOCUMENTS));
      });
      const before = statements.freePages.get() as { pages: number };
      vacuum();
      const after = statements.freePages.get() as { pages: number };
      return more || (after.pages > 0 && after.pages < before.pages);
    },
    async close() {
      db.close();
    },
  };
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
