/** Jobs whose answers do not fit: on the disk, or in memory. */
import { createHash, randomUUID } from "node:crypto";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import { startRunner } from "../../../../runtime/relay/jobs/runner.ts";
import { MIGRATIONS, openDatabase } from "../../../../runtime/relay/jobs/schema.ts";
import { openSqliteStore } from "../../../../runtime/relay/jobs/sqlite-store.ts";
import { type JobStore, type NewJob, StoreFailed } from "../../../../runtime/relay/jobs/store.ts";
import { createMemoryBudget } from "../../../../runtime/relay/memory/budget.ts";
import { createBreaker } from "../../../../runtime/relay/model/breaker.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { router } from "../dialects/model-call.ts";
import { temporaryFolder } from "../harness.ts";

const MIB = 1024 * 1024;
const caller = { name: "backend", clientId: "c", companies: ["*"], weight: 1, enabled: true };

async function openStore(): Promise<JobStore> {
  const file = join(await temporaryFolder(), "jobs.db");
  const store = await openSqliteStore({
    file,
    retentionMs: 3_600_000,
    maxBytes: 64 * MIB,
    minFreeBytes: 0,
    maxAttempts: 3,
    callers: ["backend"],
    boot: "b",
  });
  onTestFinished(() => store.close());
  return store;
}

function newJob(): NewJob {
  const body = Buffer.from("{}");
  return {
    id: randomUUID().replaceAll("-", ""),
    owner: "backend",
    lane: "chat",
    path: "/v1/chat/completions",
    query: "",
    headers: {},
    body,
    requestSha256: createHash("sha256").update(body).digest("hex"),
    estimatedTokens: 1,
    idempotencyKey: undefined,
    requestParameters: undefined,
  };
}

/** A runner on that store whose model answers every request with `bytes` bytes. */
function run(store: JobStore, bytes: number, memoryMiB = 64) {
  const memory = createMemoryBudget({ memoryMiB }, ["backend"]);
  const ends: string[] = [];
  let answered = 0;
  const runner = startRunner({
    dialectOf: router.dialectOf,
    store,
    memory,
    upstream: {
      breaker: createBreaker({ probe: async () => true }),
      look: async () => ({ reachable: true, models: [], checkedAt: "" }),
      async forward(_call, to) {
        answered += 1;
        to.head(200, { "content-type": "application/octet-stream" });
        to.write(Buffer.alloc(bytes, "y"));
        to.end();
      },
    },
    admission: { acquire: async () => ({ waitedMs: 0, release: () => {}, abandon: () => {} }) },
    callers: () => [caller],
    limits: () => limitsSchema.parse({}),
    attemptMs: () => 60_000,
    storeRetryMs: 5,
    log: createLog({ write: () => {} }),
    onChange: () => {},
    onUsage: () => {},
    onEnd: (_lane, outcome) => void ends.push(outcome),
  });
  onTestFinished(async () => {
    runner.stop();
    await runner.interrupt();
  });
  return { runner, memory, ends, answered: () => answered };
}

const ended = (store: JobStore, id: string) =>
  vi.waitFor(
    async () => {
      const job = await store.find("backend", id);
      expect(job?.state).toMatch(/completed|failed/);
      return job!;
    },
    { timeout: 20_000, interval: 20 },
  );

test("an answer that a full disk keeps refusing fails its job, after a few tries and one run", async () => {
  const real = await openStore();
  let tries = 0;
  let failures = 0;
  const store: JobStore = {
    ...real,
    async finish() {
      tries += 1;
      throw new StoreFailed("database or disk is full", { full: true });
    },
    async failForRoom(...args) {
      failures += 1;
      if (failures < 3) throw new StoreFailed("database or disk is full", { full: true }); // at first the failure cannot be stored either
      return real.failForRoom(...args);
    },
  };
  const job = newJob();
  await real.add(job);
  const { ends, memory, answered } = run(store, 1000);
  const last = await ended(real, job.id);
  expect(last).toMatchObject({ state: "failed", error: { code: "answer_not_stored" }, answer: undefined });
  expect(last.attempts).toMatchObject([{ outcome: "no_room", counted: true }]);
  await vi.waitFor(() => expect(memory.held).toBe(0));
  expect([tries, failures, answered(), ends]).toEqual([5, 3, 1, ["no_room"]]);
});

test("an answer is stored if the disk has room again in time", async () => {
  const real = await openStore();
  let tries = 0;
  const store: JobStore = {
    ...real,
    async finish(...args) {
      tries += 1;
      if (tries < 4) throw new StoreFailed("database or disk is full", { full: true });
      return real.finish(...args);
    },
  };
  const job = newJob();
  await real.add(job);
  run(store, 1000);
  expect(await ended(real, job.id)).toMatchObject({ state: "completed", answer: { bytes: 1000 } });
});

test("an answer for which its owner has no memory left ends that run, with the reason", async () => {
  const store = await openStore();
  const job = newJob();
  await store.add(job);
  const { memory, ends } = run(store, 60 * MIB);
  await vi.waitFor(() => expect(ends).toEqual(["memory_full"]), { timeout: 10_000 });
  expect((await store.find("backend", job.id))?.attempts).toMatchObject([{ outcome: "memory_full", counted: true }]);
  await vi.waitFor(() => expect(memory.held).toBe(0));
});

test("a file that an older release filled to its last page is migrated, and is usable again once old jobs expire", async () => {
  const file = join(await temporaryFolder(), "jobs.db");
  const maxBytes = 16 * MIB;
  const old = openDatabase(file, maxBytes, MIGRATIONS.slice(0, 1));
  const job = old.prepare(
    `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, state, created_at, run_after, expires_at)
     VALUES (?, 'backend', 'chat', '/v1/chat/completions', '', '{}', 'x', 2, 1, ?, 1, 1, ?)`,
  );
  const body = old.prepare("INSERT INTO bodies VALUES (?, ?)");
  body.run(job.run("waits", "queued", Number.MAX_SAFE_INTEGER).lastInsertRowid, Buffer.from("{}"));
  const answer = old.prepare("INSERT INTO answers VALUES (?, NULL, 200, '{}', 'x', ?)");
  for (const bytes of [500_000, 3000, 1]) {
    expect(() => {
      for (;;) answer.run(job.run(randomUUID(), "completed", 2).lastInsertRowid, Buffer.alloc(bytes));
    }).toThrow("full");
  }
  expect(Object.values(old.prepare("PRAGMA page_count").get() as object)[0]).toBe(maxBytes / 4096);
  old.close();

  const options = { file, retentionMs: 1000, maxBytes, minFreeBytes: 0, maxAttempts: 3, callers: ["backend"] };
  const database = new JobDatabase({ ...options, boot: "b" });
  onTestFinished(() => database.db.close());
  expect(database.add(newJob()).kind).toBe("store_full");
  expect(database.claim("waits", "attempt", 1000)).toBeDefined();
  for (let more = true; more; ) more = database.sweep();
  expect(database.add(newJob()).kind).toBe("added");
});
