import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { type DatabaseOptions, JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import { JOB_BYTES, MIGRATIONS, migrate } from "../../../../runtime/relay/jobs/schema.ts";
import type { NewJob, StoredAnswer } from "../../../../runtime/relay/jobs/store.ts";
import { temporaryFolder } from "../harness.ts";

const MIB = 1024 * 1024;
const HOUR = 3_600_000;

async function open(changes: Partial<DatabaseOptions> = {}): Promise<JobDatabase> {
  const file = changes.file ?? join(await temporaryFolder(), "jobs.db");
  const bounds = { retentionMs: 24 * HOUR, maxBytes: 64 * MIB, minFreeBytes: 0, maxAttempts: 3, boot: "b" };
  return new JobDatabase({ ...bounds, callers: ["greedy", "quiet"], ...changes, file });
}

function newJob(owner: string, bytes: number, key?: string): NewJob {
  return {
    id: randomUUID().replaceAll("-", ""),
    owner,
    lane: "chat",
    path: "/v1/chat/completions",
    query: "",
    headers: {},
    body: Buffer.alloc(bytes, "x"),
    requestSha256: "s",
    estimatedTokens: 1,
    idempotencyKey: key,
    requestParameters: undefined,
  };
}

function answer(bytes: number): StoredAnswer {
  const body = Buffer.alloc(bytes, "y");
  return { status: 200, headers: {}, body, sha256: createHash("sha256").update(body).digest("hex") };
}

function usage(database: { db: DatabaseSync }): Record<string, number> {
  const rows = database.db.prepare("SELECT owner, bytes FROM usage").all() as { owner: string; bytes: number }[];
  return Object.fromEntries(rows.map(({ owner, bytes }) => [owner, bytes]));
}

/** Adds jobs until one is refused. */
function fill(database: JobDatabase, owner: string, bytes: number): { taken: string[]; refused: string } {
  const taken: string[] = [];
  for (;;) {
    const job = newJob(owner, bytes);
    const { kind } = database.add(job);
    if (kind !== "added") return { taken, refused: kind };
    taken.push(job.id);
  }
}

describe("the disk quota", () => {
  test("cannot be used up by one caller: the others' parts stay free, for their jobs and answers", async () => {
    const database = await open();
    const { taken, refused } = fill(database, "greedy", 3 * MIB);
    expect(refused).toBe("share_full");
    expect(taken.length).toBeGreaterThanOrEqual(10); // it may use free space
    // Its answers use neither the reserve nor the quiet caller's part.
    for (const id of taken) {
      database.claim(id, `a${id}`, HOUR);
      database.finish(`a${id}`, answer(4 * MIB));
    }
    const job = newJob("quiet", 5 * MIB);
    expect(database.add(job).kind).toBe("added");
    database.claim(job.id, "a", HOUR);
    expect(database.finish("a", answer(9 * MIB))).toBe(true);
    expect(Buffer.from(database.answer("quiet", job.id)!.body).equals(answer(9 * MIB).body)).toBe(true);
    database.close();
  });

  test("is available in full to a single caller", async () => {
    const database = await open({ callers: ["greedy"] });
    const { taken, refused } = fill(database, "greedy", 5 * MIB);
    expect([taken.length, refused]).toEqual([10, "store_full"]);
    database.close();
  });

  test("applies to kept answers of direct calls as well", async () => {
    const database = await open();
    for (let n = 0; n < 30; n += 1) database.keepAnswer(newJob("greedy", 0, `k${n}`), answer(4 * MIB), HOUR);
    expect(usage(database).greedy).toBeLessThanOrEqual(64 * MIB * 0.8 * 0.75);
    expect(usage(database).greedy).toBeGreaterThan(64 * MIB * 0.5);
    expect(database.add(newJob("quiet", 10 * MIB)).kind).toBe("added");
    database.close();
  });

  test("an answer that does not fit fails its job with the reason instead of being retried forever", async () => {
    const database = await open();
    const { taken } = fill(database, "greedy", 3 * MIB);
    const ends = taken.map((id) => {
      database.claim(id, `a${id}`, HOUR);
      return database.finish(`a${id}`, answer(20 * MIB));
    });
    expect(ends).toContain("no_room");
    const failed = database.find("greedy", taken[ends.indexOf("no_room")]!);
    expect(failed).toMatchObject({ state: "failed", error: { code: "answer_not_stored" }, answer: undefined });
    expect(failed?.error?.message).toMatch(/could not be stored: 20971520 bytes/);
    expect(failed?.attempts.at(-1)).toMatchObject({ outcome: "no_room", counted: true });
    database.close();
  });

  test("is counted exactly: it is zero after jobs were added, answered, cancelled and swept", async () => {
    let now = 1_000_000;
    const database = await open({ now: () => now });
    const ids = [1, 2, 3].map((n) => {
      const job = newJob("greedy", n * 1000);
      database.add(job);
      return job.id;
    });
    database.keepAnswer(newJob("greedy", 0, "k"), answer(700_000), HOUR);
    const texts = 4 * "{}".length;
    expect(usage(database)).toEqual({ greedy: 4 * JOB_BYTES + texts + 6000 + 700_000 });
    database.claim(ids[0]!, "a", HOUR);
    database.finish("a", answer(600_000));
    database.cancel("greedy", ids[1]!);
    expect(usage(database)).toEqual({ greedy: 4 * JOB_BYTES + texts + 3000 + 700_000 + 600_000 });
    now += 25 * HOUR;
    database.sweep(); // waiting jobs fail
    now += 25 * HOUR;
    database.sweep();
    expect(usage(database)).toEqual({ greedy: 0 });
    expect(database.db.prepare("SELECT count(*) AS n FROM answer_parts").get()).toEqual({ n: 0 });
    database.close();
  });

  test("counts a file of the previous release, whose long answers stay readable", async () => {
    const file = join(await temporaryFolder(), "jobs.db");
    const old = new DatabaseSync(file);
    old.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;");
    migrate(old, MIGRATIONS.slice(0, 1));
    const long = answer(20 * MIB);
    old
      .prepare(
        `INSERT INTO jobs (seq, id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, state,
         created_at, run_after, expires_at) VALUES (?, ?, 'greedy', 'chat', '/', '', '{}', '', 5, 0, ?, 0, 0, 1e15)`,
      )
      .run(1, "1".repeat(32), "completed");
    old.prepare("INSERT INTO answers VALUES (1, 'a', 200, '{}', ?, ?)").run(long.sha256, long.body);
    old.exec(
      `INSERT INTO jobs SELECT 2, '${"2".repeat(32)}', owner, lane, path, query, headers, '', 5, 0, NULL, NULL, 'queued', 0, 0, NULL, NULL, 1e15, NULL, NULL, NULL, NULL FROM jobs; INSERT INTO bodies VALUES (2, x'0102030405')`,
    );
    old.close();
    const database = await open({ file, callers: ["greedy"] });
    expect(usage(database)).toEqual({ greedy: 2 * (JOB_BYTES + 2) + 5 + 20 * MIB });
    expect(database.find("greedy", "1".repeat(32))?.answer?.bytes).toBe(20 * MIB);
    expect(database.answer("greedy", "1".repeat(32))?.body.length).toBe(20 * MIB);
    const head = database.answerHead("greedy", "1".repeat(32))!;
    const hash = createHash("sha256");
    for (let at = 0; at < head.bytes; at += head.pieceBytes) {
      hash.update(database.answerPiece("greedy", "1".repeat(32), at)!);
    }
    expect(hash.digest("hex")).toBe(long.sha256);
    expect(database.add(newJob("greedy", 1000)).kind).toBe("added");
    database.close();
    // After a rollback to the previous release, its migrations leave the file unchanged, and its statements work.
    const back = new DatabaseSync(file);
    migrate(back, MIGRATIONS.slice(0, 1));
    back
      .prepare(
        "INSERT INTO answers (seq, attempt_id, status, headers, sha256, body) VALUES (2, 'b', 200, '{}', '', x'00')",
      )
      .run();
    back.exec("DELETE FROM bodies WHERE seq = 2; DELETE FROM jobs");
    expect(usage({ db: back })).toEqual({ greedy: 0 });
    back.close();
  });
});
