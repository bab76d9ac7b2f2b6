/** The statements of the documents' file, prepared once. */
import type { DatabaseSync } from "node:sqlite";

/** @param columns of a document's record, without its contents */
export function documentStatements(db: DatabaseSync, columns: readonly string[]) {
  const selectMeta = `SELECT ${columns.join(", ")} FROM documents`;
  const byKey = "company = :company AND title = :title";
  return {
    selectMeta,
    meta: db.prepare(`${selectMeta} WHERE ${byKey} AND lastAccessedAt > :livingSince`),
    content: db.prepare(
      `SELECT chunks, vectors FROM contents JOIN documents ON id = document WHERE ${byKey} AND revision = :revision`,
    ),
    insert: db.prepare(
      `INSERT INTO documents (${columns.join(", ")}, caller) VALUES (${columns.map((name) => `:${name}`).join(", ")}, :caller)`,
    ),
    insertContent: db.prepare("INSERT INTO contents VALUES (:document, :chunks, :vectors)"),
    setVersion: db.prepare(`UPDATE documents SET version = :version WHERE ${byKey} AND revision = :revision`),
    touch: db.prepare(`UPDATE documents SET lastAccessedAt = max(lastAccessedAt, :at) WHERE ${byKey}`),
    remove: db.prepare(`DELETE FROM documents WHERE ${byKey}`),
    removeExpired: db.prepare(`DELETE FROM documents WHERE ${byKey} AND lastAccessedAt <= :livingSince`),
    removeById: db.prepare("DELETE FROM documents WHERE id = ?"),
    ofCompany: db.prepare("SELECT id, bytes FROM documents WHERE company = ? LIMIT ?"),
    expired: db.prepare("SELECT id, bytes FROM documents WHERE lastAccessedAt <= ? ORDER BY lastAccessedAt LIMIT ?"),
    declareWrite: db.prepare(
      `INSERT INTO write_intents VALUES (:company, :title, :token, :declaredAt)
       ON CONFLICT DO UPDATE SET token = :token, declaredAt = :declaredAt`,
    ),
    takeWriteIntent: db.prepare(`DELETE FROM write_intents WHERE ${byKey} AND token = :token`),
    voidWrite: db.prepare(`DELETE FROM write_intents WHERE ${byKey}`),
    voidWritesOf: db.prepare("DELETE FROM write_intents WHERE company = ?"),
    forgetIntents: db.prepare("DELETE FROM write_intents WHERE declaredAt <= ?"),
    // A lease cannot end later than its length from now: one that would was taken before the clock was set back.
    lease: db.prepare(
      `INSERT INTO leases VALUES (:company, :title, :owner, :until)
       ON CONFLICT DO UPDATE SET owner = :owner, until = :until WHERE owner = :owner OR until <= :now OR until > :until`,
    ),
    releaseLease: db.prepare(`DELETE FROM leases WHERE ${byKey} AND owner = :owner`),
    forgetLeases: db.prepare("DELETE FROM leases WHERE until <= ?"),
    leased: db.prepare("SELECT until FROM leases WHERE company = ? AND title = ?"),
    forgetSpending: db.prepare("DELETE FROM spending WHERE day < ?"),
    usage: db.prepare("SELECT caller, bytes FROM usage WHERE bytes > 0"),
    count: db.prepare(
      "SELECT count(*) AS documents, coalesce(sum(bytes), 0) AS bytes FROM documents WHERE lastAccessedAt > ?",
    ),
    pages: db.prepare(
      `SELECT (page_count - freelist_count) * page_size AS bytes
       FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()`,
    ),
    freePages: db.prepare("SELECT freelist_count AS pages FROM pragma_freelist_count()"),
  };
}
