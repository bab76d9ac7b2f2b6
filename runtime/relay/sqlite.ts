/** What the relay's SQLite files have in common: statements, transactions, and what went wrong with a file. */
import type { DatabaseSync, StatementSync } from "node:sqlite";

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

/** Statements, each prepared once. */
export type Sql = (text: string) => StatementSync;

export function statements(db: DatabaseSync): Sql {
  const prepared = new Map<string, StatementSync>();
  return (text) => {
    let statement = prepared.get(text);
    if (statement === undefined) {
      statement = db.prepare(text);
      prepared.set(text, statement);
    }
    return statement;
  };
}

/** So many parameters of a statement, for a list of values. */
export function parameters(count: number): string {
  return Array.from({ length: count }, () => "?").join(", ");
}

/** Bytes in use; free pages inside the file count as free. */
export function usedBytes(sql: Sql): number {
  const { pages } = sql(
    "SELECT (SELECT page_count FROM pragma_page_count()) - (SELECT freelist_count FROM pragma_freelist_count()) AS pages",
  ).get() as { pages: number };
  const { page_size: size } = sql("PRAGMA page_size").get() as { page_size: number };
  return pages * size;
}
