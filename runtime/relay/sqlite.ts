/** What the relay's SQLite files have in common: transactions, and what went wrong with a file. */
import type { DatabaseSync } from "node:sqlite";

// Source: https://sqlite.org/rescode.html
export const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** SQLite's primary result code; undefined for other errors. */
export function resultCode(cause: unknown): number | undefined {
  return cause instanceof Error && "errcode" in cause ? Number(cause.errcode) & 0xff : undefined;
}

/** Whether SQLite found the file damaged, or found that it is not its own. */
export function isDamaged(cause: unknown): boolean {
  const code = resultCode(cause);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** Whether the disk or the file is full. */
export const isFull = (cause: unknown): boolean => resultCode(cause) === SQLITE_FULL;

/** Runs `work` in a transaction that locks the file for writing from the start. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (cause) {
    if (db.isTransaction) db.exec("ROLLBACK"); // a full disk may have ended it already
    throw cause;
  }
}
