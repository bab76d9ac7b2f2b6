/** A jobs' file as an older release left it. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { MIGRATIONS, migrate } from "../../../../runtime/relay/jobs/schema.ts";
import { temporaryFolder } from "../harness.ts";

/** A file of schema `version` with a finished job (id 1…), one that waits (2…), and a kept answer of a direct call (3…). */
export async function openOlderFile(version: number): Promise<{ file: string }> {
  const file = join(await temporaryFolder(), "jobs.db");
  const db = new DatabaseSync(file);
  migrate(db, MIGRATIONS.slice(0, version));
  const insert = db.prepare(
    `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, idempotency_key,
       state, created_at, run_after, finished_at, expires_at)
     VALUES (?, 'backend', 'chat', '/v1/chat/completions', '', '{}', '', 2, 64, ?, ?, 0, 0, 0, 9e12)`,
  );
  insert.run("1".repeat(32), null, "completed");
  insert.run("2".repeat(32), null, "queued");
  insert.run("3".repeat(32), "key", "completed");
  db.exec(`INSERT INTO bodies VALUES (2, x'7b7d');
    INSERT INTO answers (seq, attempt_id, status, headers, sha256, body) VALUES (1, 'attempt', 200, '{}', '', x'7b7d');
    INSERT INTO answers (seq, attempt_id, status, headers, sha256, body) VALUES (3, NULL, 200, '{}', '', x'7b7d');`);
  db.close();
  return { file };
}
