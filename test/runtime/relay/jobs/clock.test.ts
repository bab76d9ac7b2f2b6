/** Clock jumps, restarts of the machine, and files of the previous release. */
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { type DatabaseOptions, JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import { MIGRATIONS, migrate } from "../../../../runtime/relay/jobs/schema.ts";
import type { NewJob } from "../../../../runtime/relay/jobs/store.ts";
import { temporaryFolder } from "../harness.ts";

const HOUR = 3600_000;

function newJob(changes: Partial<NewJob> = {}): NewJob {
  const body = Buffer.from(randomUUID());
  return {
    id: randomUUID().replaceAll("-", ""),
    owner: "backend",
    lane: "chat",
    path: "/v1/chat/completions",
    query: "",
    headers: {},
    body,
    requestSha256: createHash("sha256").update(body).digest("hex"),
    estimatedTokens: 64,
    idempotencyKey: undefined,
    requestParameters: undefined,
    ...changes,
  };
}

const base = { retentionMs: 24 * HOUR, maxBytes: 64 << 20, minFreeBytes: 0, maxAttempts: 3, boot: "b1" };
const inFolder = async (changes: Partial<DatabaseOptions> = {}): Promise<DatabaseOptions> => ({
  ...base,
  file: join(await temporaryFolder(), "jobs.db"),
  ...changes,
});

describe("when the wall clock is set", () => {
  test.each([-HOUR, -24 * HOUR, HOUR])(
    "by %d ms, waiting jobs stay due, also those that wait for another attempt",
    async (jump) => {
      let wall = 1_800_000_000_000;
      const database = new JobDatabase(await inFolder({ now: () => wall }));
      const [waiting, failed] = [newJob(), newJob()];
      database.add(waiting);
      database.add(failed);
      database.claim(failed.id, "a1", 120_000);
      database.failAttempt("a1", "model_error", "x", 30_000);
      const due = () => database.waiting("chat", ["backend"], 10).map(({ id }) => id);
      expect(due()).toEqual([waiting.id]); // the other job's pause is not over
      wall += jump;
      expect(due()).toEqual([waiting.id, failed.id]);
      database.close();
    },
  );

  test("forward by an hour, a running attempt keeps its lease, which expires on the monotonic clock", async () => {
    let [wall, monotonic] = [1_800_000_000_000, 0];
    const database = new JobDatabase(await inFolder({ now: () => wall, monotonicNow: () => monotonic }));
    const job = newJob();
    database.add(job);
    database.claim(job.id, "a1", 120_000);
    wall += HOUR;
    database.sweep();
    expect(database.find("backend", job.id)?.state).toBe("in_progress");
    monotonic += 100_000;
    expect(database.renew(["a1"], 120_000)).toEqual(["a1"]);
    monotonic += 100_000;
    database.sweep();
    expect(database.find("backend", job.id)?.state).toBe("in_progress");
    [wall, monotonic] = [wall - 2 * HOUR, monotonic + 121_000];
    database.sweep();
    expect(database.find("backend", job.id)).toMatchObject({ state: "queued", attempts: [{ outcome: "lease_lost" }] });
    database.close();
  });
});

test("a job during which the machine goes down repeatedly uses up its attempts; the first time does not count", async () => {
  const options = await inFolder({ boot: "boot 0" });
  const job = newJob();
  const first = new JobDatabase(options);
  first.add(job);
  first.claim(job.id, "attempt 0", 120_000);
  first.close();
  const used: (number | string)[] = [];
  for (let boot = 1; boot <= 4; boot++) {
    const database = new JobDatabase({ ...options, boot: `boot ${boot}` });
    const found = database.find("backend", job.id);
    used.push(
      found?.state === "queued" ? found.attempts.filter(({ counted }) => counted).length : String(found?.state),
    );
    database.claim(job.id, `attempt ${boot}`, 120_000);
    database.close();
  }
  expect(used).toEqual([0, 1, 2, "failed"]);
});

test("a file of the previous release is migrated with its jobs", async () => {
  const options = await inFolder();
  const old = new DatabaseSync(options.file);
  migrate(old, MIGRATIONS.slice(0, 3));
  old.exec(
    `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, idempotency_key, state,
       created_at, run_after, expires_at)
     VALUES ('a', 'backend', 'chat', '/p', '', '{}', 'h', 0, 0, 'k', 'queued', 0, 0, ${Date.now() + HOUR})`,
  );
  old.close();
  const database = new JobDatabase(options);
  expect(database.db.prepare("SELECT version FROM schema").get()).toEqual({ version: MIGRATIONS.at(-1)?.version });
  expect(database.find("backend", "a")?.state).toBe("queued");
  const call = { owner: "backend", path: "/p", idempotencyKey: "k" };
  expect(database.claimKey({ ...call, id: "c", requestSha256: "h" }).kind).toBe("existing");
  expect(database.claimKey({ ...call, id: "c", requestSha256: "other" }).kind).toBe("mismatch");
  database.close();
});

test("changed limits apply to an open file", async () => {
  const database = new JobDatabase(await inFolder());
  const job = newJob();
  database.add(job);
  database.setLimits({ retentionMs: HOUR, maxBytes: 1, minFreeBytes: 0, maxAttempts: 1 });
  expect(database.add(newJob()).kind).toBe("store_full");
  database.claim(job.id, "a1", 120_000);
  expect(database.failAttempt("a1", "model_error", "x", 0)).toBe("failed");
  database.setLimits({ ...base, minFreeBytes: Number.MAX_SAFE_INTEGER });
  expect(database.add(newJob()).kind).toBe("disk_low");
  database.close();
});

describe("a direct call with a key", () => {
  const call = { id: "one", owner: "backend", path: "/p", idempotencyKey: "k", requestSha256: "h" };
  const again = { ...call, id: "two" };
  const answer = { status: 200, headers: {}, body: Buffer.from("x"), sha256: "" };

  test("holds its key, against jobs too, until its answer is kept or the key is released", async () => {
    const database = new JobDatabase(await inFolder());
    expect(database.claimKey(call).kind).toBe("claimed");
    expect(database.claimKey(again).kind).toBe("running");
    expect(database.claimKey({ ...again, requestSha256: "other" }).kind).toBe("mismatch");
    expect(database.add(newJob(again)).kind).toBe("running");
    expect(database.claimKey({ ...again, id: "three", path: "/q" }).kind).toBe("claimed");
    database.releaseKey("one");
    expect(database.claimKey(again).kind).toBe("claimed");
    database.keepAnswer(newJob(again), answer, HOUR);
    expect(database.claimKey(call).kind).toBe("existing");
    database.close();
  });

  test("of a relay that hands over holds its key while that relay lives, within its grace period", async () => {
    let monotonic = 7_000;
    const options = await inFolder({ monotonicNow: () => monotonic, foreignCallsMs: 60_000 });
    const old = new JobDatabase({ ...options, instance: "old" });
    old.claimKey(call);
    old.close();
    const next = new JobDatabase({ ...options, instance: "next" });
    monotonic += 59_999;
    expect(next.claimKey(again).kind).toBe("running");
    monotonic += 1;
    expect(next.claimKey(again).kind).toBe("claimed");
    next.close();
  });

  test("of a dead relay, or one that this relay has lost, releases its key", async () => {
    const options = await inFolder({ foreignCallsMs: 60_000, instance: "me" });
    const database = new JobDatabase(options);
    database.claimKey(call);
    database.db.exec("UPDATE running_calls SET instance = 'other', pid = 999999999");
    expect(database.claimKey(again).kind).toBe("claimed");
    database.close();
    const running = new JobDatabase({ ...options, runningCalls: ["two"] });
    expect(running.claimKey(call).kind).toBe("running");
    running.close();
    const lost = new JobDatabase(options);
    expect(lost.claimKey(call).kind).toBe("claimed");
    lost.close();
  });
});
