/** Contents of the jobs' file, read from a copy: as after a crash at this moment. */
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface Found {
  /** All violations of the guarantees. */
  readonly faults: string[];
  /** State by job id. */
  readonly jobs: ReadonlyMap<string, string>;
  /** Checksum of the answer by job id. */
  readonly answers: ReadonlyMap<string, string>;
}

/** Copies `jobs.db` and its log from `dataDir`, opens the copy (which recovers it) and checks all of it. */
export async function inspect(dataDir: string): Promise<Found> {
  const folder = await mkdtemp(join(dataDir, "..", "inspect-"));
  try {
    for (const name of ["jobs.db", "jobs.db-wal"]) {
      await copyFile(join(dataDir, name), join(folder, name)).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== "ENOENT") throw cause;
      });
    }
    return look(join(folder, "jobs.db"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function look(file: string): Found {
  const db = new DatabaseSync(file);
  try {
    const faults: string[] = [];
    for (const row of db.prepare("PRAGMA integrity_check").all()) {
      if (row.integrity_check !== "ok") faults.push(`integrity_check: ${String(row.integrity_check)}`);
    }
    const broken = db.prepare("PRAGMA foreign_key_check").all();
    if (broken.length > 0) faults.push(`foreign_key_check: ${JSON.stringify(broken)}`);
    const rows = db
      .prepare(
        "SELECT j.id, j.state, a.sha256, a.body, a.attempt_id AS attempt FROM jobs j LEFT JOIN answers a USING (seq)",
      )
      .all() as unknown as { id: string; state: string; sha256: string | null; body: Uint8Array | null }[];
    const jobs = new Map<string, string>();
    const answers = new Map<string, string>();
    for (const { id, state, sha256, body } of rows) {
      jobs.set(id, state);
      if (state === "completed" && sha256 === null) faults.push(`${id} is completed without an answer`);
      if (sha256 === null || body === null) continue;
      answers.set(id, sha256);
      if (createHash("sha256").update(body).digest("hex") !== sha256) faults.push(`the answer of ${id} is damaged`);
    }
    const twice = db
      .prepare("SELECT seq FROM attempts WHERE outcome = 'answered' GROUP BY seq HAVING count(*) > 1")
      .all();
    if (twice.length > 0) faults.push(`committed twice: ${JSON.stringify(twice)}`);
    return { faults, jobs, answers };
  } finally {
    db.close();
  }
}

/** Invariants between two inspections. */
export class Ledger {
  readonly #answers = new Map<string, string>();

  /** @returns violations */
  compare(found: Found, acknowledged: Iterable<string>): string[] {
    const faults = [...found.faults];
    for (const id of acknowledged) if (!found.jobs.has(id)) faults.push(`the acknowledged job ${id} is missing`);
    for (const [id, sha256] of this.#answers) {
      if (found.answers.get(id) !== sha256) faults.push(`the committed answer of ${id} has changed`);
    }
    for (const [id, sha256] of found.answers) this.#answers.set(id, sha256);
    return faults;
  }
}
