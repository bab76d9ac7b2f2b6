import { spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { MAX_COMPANY_FLOWS, SHARED_FLOW } from "../../../../runtime/relay/admission/flow-names.ts";
import { runBatch } from "../../../../runtime/relay/jobs/batch.ts";
import { type DatabaseOptions, JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import { MIGRATIONS, migrate, openDatabase } from "../../../../runtime/relay/jobs/schema.ts";
import { openSqliteStore } from "../../../../runtime/relay/jobs/sqlite-store.ts";
import type { NewJob, StoredAnswer } from "../../../../runtime/relay/jobs/store.ts";
import { temporaryFolder } from "../harness.ts";

const HOUR = 3600_000;

async function options(changes: Partial<DatabaseOptions> = {}): Promise<DatabaseOptions> {
  const file = join(await temporaryFolder(), "jobs.db");
  return { file, retentionMs: 24 * HOUR, maxBytes: 64 << 20, minFreeBytes: 0, maxAttempts: 3, boot: "b1", ...changes };
}

function newJob(changes: Partial<NewJob> = {}): NewJob {
  const body = Buffer.from(randomUUID());
  return {
    id: randomUUID().replaceAll("-", ""),
    owner: "backend",
    lane: "chat",
    path: "/v1/chat/completions",
    query: "",
    headers: { accept: "*/*" },
    body,
    requestSha256: createHash("sha256").update(body).digest("hex"),
    estimatedTokens: 64,
    idempotencyKey: undefined,
    requestParameters: undefined,
    ...changes,
  };
}

function answer(text: string, status = 200): StoredAnswer {
  const body = Buffer.from(text);
  return { status, headers: {}, body, sha256: createHash("sha256").update(body).digest("hex") };
}

describe("the file", () => {
  test("is opened so that a commit is on the disk: WAL, synchronous FULL, fullfsync at commits and checkpoints", async () => {
    const { file, maxBytes } = await options();
    const db = openDatabase(file, maxBytes);
    const value = (pragma: string) => Object.values(db.prepare(`PRAGMA ${pragma}`).get() ?? {})[0];
    expect(
      ["journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync", "locking_mode", "auto_vacuum"].map(value),
    ).toEqual(["wal", 2, 1, 1, "exclusive", 2]);
    db.close();
  });

  test("belongs to one relay: a second one is refused with the reason", async () => {
    const all = await options();
    const store = await openSqliteStore(all);
    await expect(openSqliteStore(all)).rejects.toThrow(/another process has it open/);
    await store.close();
    await (await openSqliteStore(all)).close();
  });

  test("is refused with the reason if it is damaged, and left unchanged", async () => {
    const all = await options();
    const made = spawnSync("dd", ["if=/dev/urandom", `of=${all.file}`, "bs=4096", "count=4"]);
    expect(made.status).toBe(0);
    await expect(openSqliteStore(all)).rejects.toThrow(/not a database.*Move it/s);
  });

  test("is migrated one step at a time, and stays usable after a newer release's compatible migration", async () => {
    const { file } = await options();
    const db = new DatabaseSync(file);
    migrate(db, MIGRATIONS);
    db.exec(
      "INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, state, created_at, run_after, expires_at) VALUES ('a','o','chat','/','','{}','',0,0,'queued',0,0,0)",
    );
    const newest = MIGRATIONS.at(-1)!.version;
    const second = { version: newest + 1, compatibleWith: 1, sql: "ALTER TABLE jobs ADD COLUMN note TEXT" };
    const third = { version: newest + 2, compatibleWith: newest + 2, sql: "UPDATE jobs SET note = 'third'" };
    migrate(db, [...MIGRATIONS, second]);
    migrate(db, [...MIGRATIONS, second]);
    migrate(db, MIGRATIONS); // a rollback to the previous release
    migrate(db, [...MIGRATIONS, second, third]);
    expect(db.prepare("SELECT note FROM jobs").get()).toEqual({ note: "third" });
    expect(() => migrate(db, MIGRATIONS)).toThrow(new RegExp(`schema ${newest + 2}.*knows ${newest}`));
    const broken = {
      version: newest + 3,
      compatibleWith: newest + 2,
      sql: "CREATE TABLE half (x); CREATE TABLE half (x)",
    };
    expect(() => migrate(db, [...MIGRATIONS, second, third, broken])).toThrow(/half/);
    expect(db.prepare("SELECT version FROM schema").get()).toEqual({ version: newest + 2 });
    expect(db.prepare("SELECT name FROM sqlite_schema WHERE name = 'half'").get()).toBeUndefined();
    db.close();
  });
});

describe("jobs of a caller's companies", () => {
  test("are offered side by side: a thousand of one company do not hide one of another, nor those without a company", async () => {
    const database = new JobDatabase(await options());
    database.db.exec("BEGIN"); // one sync for all
    for (let n = 0; n < 1000; n += 1) database.add(newJob({ company: "loud" }));
    database.db.exec("COMMIT");
    const quiet = newJob({ company: "quiet" });
    const plain = newJob();
    database.add(quiet);
    database.add(plain);
    const offered = database.waiting("chat", ["backend"], 4);
    expect(offered.map(({ flow }) => flow).sort()).toEqual(["", "loud", "loud", "loud", "loud", "quiet"]);
    expect(offered.find(({ flow }) => flow === "quiet")?.id).toBe(quiet.id);
    expect(database.claim(quiet.id, "q", HOUR)?.company).toBe("quiet");
    expect(database.claim(plain.id, "p", HOUR)?.company).toBeUndefined();
    expect(database.waiting("chat", ["backend"], 4).map(({ flow }) => flow)).toEqual(["loud", "loud", "loud", "loud"]);
    database.close();
  });

  test("share one flow beyond the limit of companies, so that invented names gain nothing", async () => {
    const database = new JobDatabase(await options());
    database.db.exec("BEGIN");
    for (let n = 0; n < 300; n += 1) database.add(newJob({ company: `c${n}` }));
    database.db.exec("COMMIT");
    const offered = database.waiting("chat", ["backend"], 2);
    expect(new Set(offered.map(({ flow }) => flow)).size).toBe(MAX_COMPANY_FLOWS + 1);
    expect(offered.filter(({ flow }) => flow === SHARED_FLOW)).toHaveLength(2);
    // The job record still has its company.
    const [shared] = offered.filter(({ flow }) => flow === SHARED_FLOW);
    expect(database.claim(shared!.id, "s", HOUR)?.company).toBe(`c${MAX_COMPANY_FLOWS}`);
    database.close();
  });

  test("of a file of the previous release run, without a company", async () => {
    const all = await options();
    const db = new DatabaseSync(all.file);
    migrate(db, MIGRATIONS.slice(0, 1));
    db.exec(
      `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, state, created_at,
         run_after, expires_at) VALUES ('old','backend','chat','/','','{}','',0,64,'queued',0,0,9e12);
       INSERT INTO bodies VALUES (1, x'7b7d');`,
    );
    db.close();
    const database = new JobDatabase(all);
    expect(database.waiting("chat", ["backend"], 4)).toMatchObject([{ id: "old", flow: "" }]);
    expect(database.claim("old", "a", HOUR)).toMatchObject({ id: "old", company: undefined });
    database.close();
  });
});

describe("an attempt", () => {
  test("holds its job: one that no longer holds it cannot end it, and one answer is committed", async () => {
    const database = new JobDatabase(await options());
    const job = newJob();
    database.add(job);
    expect(database.claim(job.id, "a1", HOUR)).toMatchObject({ id: job.id, body: new Uint8Array(job.body) });
    expect(database.claim(job.id, "a2", HOUR)).toBeUndefined();
    expect(database.failAttempt("a1", "model_broke_off", "x", 0)).toBe("queued");
    database.claim(job.id, "a2", HOUR);
    expect(database.finish("a1", answer("late"))).toBe(false);
    expect(database.finish("a2", answer("right"))).toBe(true);
    expect(database.finish("a2", answer("again"))).toBe(false);
    expect(database.failAttempt("a2", "model_error", "x", 0)).toBeUndefined();
    expect(Buffer.from(database.answer("backend", job.id)!.body).toString()).toBe("right");
    expect(() => database.db.exec("UPDATE answers SET body = x'00'")).toThrow(/never changes/);
    database.close();
  });

  test("counts if the relay's crash ended it, but not if a stop or the machine's first restart did", async () => {
    const all = await options();
    const job = newJob();
    let database = new JobDatabase(all);
    database.add(job);
    const restart = (boot: string) => {
      database.close();
      database = new JobDatabase({ ...all, boot });
    };
    expect(database.claim(job.id, "r", HOUR)).toBeDefined();
    restart("b4");
    database.claim(job.id, "s", HOUR);
    expect(database.failAttempt("s", "relay_stopped", "", 0)).toBe("queued");
    expect(database.find("backend", job.id)).toMatchObject({ state: "queued", attempts: { length: 2 } });
    for (const i of [1, 2, 3]) {
      expect(database.find("backend", job.id)?.state).toBe("queued");
      database.claim(job.id, `c${i}`, HOUR);
      restart("b4");
    }
    const failed = database.find("backend", job.id)!;
    expect(failed.state).toBe("failed");
    expect(failed.error?.message).toMatch(/tried 3 times.*relay_crashed/);
    expect(failed.attempts.filter(({ counted }) => counted).map(({ id }) => id)).toEqual(["c1", "c2", "c3"]);
    database.close();
  });

  test("ends when its lease is not renewed, and goes on when it is", async () => {
    let now = 0;
    const database = new JobDatabase(await options({ monotonicNow: () => now }));
    const [lost, kept] = [newJob(), newJob()];
    for (const job of [lost, kept]) database.add(job);
    database.claim(lost.id, "lost", 1000);
    database.claim(kept.id, "kept", 1000);
    now += 900;
    expect(database.renew(["kept", "never"], 1000)).toEqual(["kept"]);
    now += 900;
    database.sweep();
    expect(database.find("backend", lost.id)?.state).toBe("queued");
    expect(database.finish("lost", answer("late"))).toBe(false);
    expect(database.finish("kept", answer("in time"))).toBe(true);
    database.close();
  });
});

describe("a stored job", () => {
  test("expires, and its space is freed; one that waits too long fails", async () => {
    let now = Date.now();
    const database = new JobDatabase(await options({ now: () => now }));
    const [done, waits] = [newJob(), newJob()];
    database.add(done);
    database.claim(done.id, "a", HOUR);
    database.finish("a", answer("x".repeat(4 << 20)));
    const full = database.summary().diskBytes;
    now += 23 * HOUR;
    database.add(waits);
    database.sweep();
    expect(database.find("backend", done.id)).toBeDefined();
    now += 2 * HOUR;
    database.sweep();
    expect(database.find("backend", done.id)).toBeUndefined();
    expect(database.summary().diskBytes).toBeLessThan(full / 4);
    now += 23 * HOUR;
    database.sweep();
    expect(database.find("backend", waits.id)).toMatchObject({ state: "failed", error: { code: "waited_too_long" } });
    database.close();
  });

  test("is reported as damaged when its checksum does not match", async () => {
    const database = new JobDatabase(await options());
    const job = newJob();
    database.add(job);
    database.claim(job.id, "a", HOUR);
    database.finish("a", answer("right"));
    database.db.exec("DROP TRIGGER answers_never_change; UPDATE answers SET body = CAST('wrong' AS BLOB)");
    expect(() => database.answer("backend", job.id)).toThrow(/damaged/);
    database.close();
  });
});

describe("the jobs of all owners", () => {
  test("are those that run or wait, oldest first, then those that came last; without kept answers of direct calls", async () => {
    const database = new JobDatabase(await options());
    const add = (changes: Partial<NewJob>) => {
      const job = newJob(changes);
      database.add(job);
      return job;
    };
    const ended = Array.from({ length: 4 }, (_, at) => add({ owner: at % 2 === 0 ? "a" : "b" }));
    for (const [at, { id }] of ended.entries()) {
      database.claim(id, `x${at}`, HOUR);
      database.finish(`x${at}`, answer("done", at === 3 ? 400 : 200));
    }
    const [running, waiting] = [add({ owner: "b", company: "국민" }), add({ owner: "a" })];
    database.claim(running.id, "r", HOUR);
    database.keepAnswer(newJob({ owner: "a", idempotencyKey: "k" }), answer("kept"), HOUR);
    const latest = database.latest(3);
    expect(latest.map(({ id }) => id)).toEqual([running, waiting, ended[3]!, ended[2]!, ended[1]!].map(({ id }) => id));
    expect(latest[0]).toEqual({
      id: running.id,
      owner: "b",
      company: "국민",
      lane: "chat",
      path: "/v1/chat/completions",
      state: "in_progress",
      createdAt: expect.any(Number) as number,
      startedAt: expect.any(Number) as number,
      finishedAt: undefined,
      errorCode: undefined,
    });
    expect(latest[2]).toMatchObject({ state: "failed", errorCode: "model_refused" });
    database.close();
  });

  test("can be found and cancelled by an operator, which their owner sees; a kept answer is no job", async () => {
    const database = new JobDatabase(await options());
    const job = newJob();
    database.add(job);
    expect(database.findAny(job.id)).toMatchObject({ owner: "backend", state: "queued", company: undefined });
    expect(database.findAny("0".repeat(32))).toBeUndefined();
    const call = newJob({ idempotencyKey: "k" });
    database.keepAnswer(call, answer("kept"), HOUR);
    expect(database.findAny(call.id)).toBeUndefined();
    database.claim(job.id, "a", HOUR);
    database.cancel("backend", job.id, "operator");
    expect(database.find("backend", job.id)).toMatchObject({
      state: "cancelled",
      error: { message: "The job was cancelled by an operator." },
      attempts: [{ outcome: "cancelled", detail: "cancelled by an operator" }],
    });
    database.close();
  });
});

describe("a group", () => {
  test("of commands is one commit; a command that fails is rolled back and does not affect the others", async () => {
    const database = new JobDatabase(await options());
    const [one, two] = [newJob(), newJob()];
    const batch = runBatch(database, [
      { id: 1, method: "add", args: [one] },
      { id: 2, method: "add", args: [{ ...two, lane: null }] },
      { id: 3, method: "add", args: [one] }, // its id is taken
      { id: 4, method: "add", args: [two] },
      { id: 5, method: "find", args: ["backend", two.id] },
    ]);
    expect(batch.results.map((result) => "error" in result)).toEqual([false, true, true, false, false]);
    expect(batch.commitMs).toBeGreaterThan(0);
    expect(database.summary().counts).toEqual([{ state: "queued", lane: "chat", jobs: 2 }]);
    database.close();
  });

  test("forms while a commit is running", async () => {
    const commits: number[] = [];
    const store = await openSqliteStore(await options(), ({ writes }) => commits.push(writes));
    await Promise.all(Array.from({ length: 300 }, () => store.add(newJob())));
    expect(commits.reduce((sum, writes) => sum + writes, 0)).toBe(300);
    expect(commits.length).toBeLessThan(100);
    await store.close();
    await expect(store.summary()).rejects.toThrow(/closed/);
  });

  test("with one command that does not fit on the disk: that one fails with the reason, the others succeed", async () => {
    const database = new JobDatabase(await options());
    const [job, other] = [newJob(), newJob()];
    database.add(job);
    database.claim(job.id, "a", HOUR);
    const { pages } = database.db.prepare("SELECT page_count AS pages FROM pragma_page_count()").get() as {
      pages: number;
    };
    database.db.exec(`PRAGMA max_page_count = ${pages + 64}`);
    const batch = runBatch(database, [
      { id: 1, method: "finish", args: ["a", answer("x".repeat(2 << 20))] },
      { id: 2, method: "add", args: [other] },
    ]);
    expect(batch.results[0]).toMatchObject({
      id: 1,
      error: { message: expect.stringMatching(/full/) as string, full: true },
    });
    expect(batch.results[1]).toMatchObject({ id: 2, value: { kind: "added" } });
    expect(database.find("backend", job.id)?.state).toBe("in_progress");
    expect(runBatch(database, [{ id: 3, method: "finish", args: ["a", answer("small")] }]).results).toEqual([
      { id: 3, value: true },
    ]);
    database.close();
  });
});
