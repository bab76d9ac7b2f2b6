/**
 * A power cut tears only writes that were not yet synced. The store's commands are run group by group; when a COMMIT has
 * returned, everything is synced, so the files at that moment survive. The changes of the next group may be torn: each
 * changed sector may have the old bytes, the new ones, or neither, and new length may be missing.
 */

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runBatch } from "../../../../runtime/relay/jobs/batch.ts";
import { type DatabaseOptions, JobDatabase } from "../../../../runtime/relay/jobs/database.ts";
import type { NewJob } from "../../../../runtime/relay/jobs/store.ts";
import type { Command } from "../../../../runtime/relay/threads/protocol.ts";
import { temporaryFolder } from "../harness.ts";
import { inspect } from "./inspect.ts";
import { type Random, rounds, seeded } from "./seed.ts";

/** The sector size that SQLite assumes to be written atomically, as Apple's disks do. */
const SECTOR = 4096;
const LOG_HEADER = 32;

interface Files {
  readonly db: Buffer;
  readonly log: Buffer;
}

const read = async (file: string): Promise<Files> => ({
  db: await readFile(file),
  log: await readFile(`${file}-wal`).catch(() => Buffer.alloc(0)),
});

/** A state between two: each changed sector is torn at random; growth is cut anywhere. */
function tear(before: Buffer, after: Buffer, random: Random): Buffer {
  const length = after.length > before.length ? random.between(before.length, after.length) : before.length;
  const torn = Buffer.alloc(length);
  before.copy(torn);
  for (let at = 0; at < length; at += SECTOR) {
    const [old, fresh] = [before.subarray(at, at + SECTOR), after.subarray(at, at + SECTOR)];
    if (old.equals(fresh)) continue;
    const kind = random.next();
    if (kind < 0.4) fresh.copy(torn, at);
    else if (kind < 0.6) randomBytes(Math.min(SECTOR, length - at)).copy(torn, at);
  }
  return torn;
}

/**
 * The log between two states. When SQLite restarts it, it writes the header and syncs that before the first frame
 * (`sqlite3WalFrames` in https://www.sqlite.org/src/file/src/wal.c), so either only the header is torn, or it is whole.
 */
function tearLog(before: Buffer, after: Buffer, random: Random): Buffer {
  const header = after.subarray(0, LOG_HEADER);
  if (before.length === 0 || before.subarray(0, LOG_HEADER).equals(header)) return tear(before, after, random);
  const base = Buffer.from(before);
  (random.next() < 0.3 ? randomBytes(LOG_HEADER) : header).copy(base);
  return random.next() < 0.5 ? base : tear(Buffer.concat([header, base.subarray(LOG_HEADER)]), after, random);
}

/** A random group of commands on the existing jobs. */
function group(random: Random, database: JobDatabase, running: string[]): Command[] {
  const asks: Command[] = [];
  const ask = (step: Command["method"], ...args: unknown[]) => asks.push({ id: asks.length, method: step, args });
  for (let i = random.between(1, 8); i > 0; i -= 1) {
    const body = randomBytes(random.between(1, 9000));
    const job: NewJob = {
      id: randomUUID().replaceAll("-", ""),
      owner: random.pick(["alpha", "beta"]),
      lane: "chat",
      path: "/v1/chat/completions",
      query: "",
      headers: {},
      body,
      requestSha256: createHash("sha256").update(body).digest("hex"),
      estimatedTokens: 64,
      idempotencyKey: undefined,
      requestParameters: undefined,
    };
    ask("add", job);
  }
  for (const { id } of database.waiting("chat", ["alpha", "beta"], random.between(0, 3))) {
    const attempt = randomUUID();
    running.push(attempt);
    ask("claim", id, attempt, 3600_000);
  }
  for (const attempt of running.splice(0, random.between(0, 4))) {
    const body = randomBytes(random.between(1, 20_000));
    const sha256 = createHash("sha256").update(body).digest("hex");
    if (random.next() < 0.8) ask("finish", attempt, { status: 200, headers: {}, body, sha256 });
    else ask("failAttempt", attempt, "model_error", "drill", 0);
  }
  return asks;
}

test("torn writes after the last sync: everything acknowledged is intact", async () => {
  const random = seeded("torn writes");
  const folder = await temporaryFolder();
  const live = join(folder, "live");
  const torn = join(folder, "torn");
  await mkdir(live);
  const options = (dir: string): DatabaseOptions => ({
    file: join(dir, "jobs.db"),
    retentionMs: 86_400_000,
    maxBytes: 512 << 20,
    minFreeBytes: 0,
    maxAttempts: 3,
    boot: "drill",
  });
  const database = new JobDatabase(options(live));
  // Frequent checkpoints, so that cuts hit those as well.
  database.db.exec("PRAGMA wal_autocheckpoint = 40");
  const answers = new Map<string, string>();
  const jobs = new Set<string>();
  const running: string[] = [];
  const tally = { groups: rounds(50), cutsInLog: 0, cutsInFile: 0 };

  const cut = async (files: Files, owed: ReadonlySet<string>, owedAnswers: ReadonlyMap<string, string>) => {
    await rm(torn, { recursive: true, force: true });
    await mkdir(torn);
    await writeFile(join(torn, "jobs.db"), files.db);
    await writeFile(join(torn, "jobs.db-wal"), files.log);
    const found = await inspect(torn);
    expect(found.faults).toEqual([]);
    for (const id of owed) expect(found.jobs.has(id), `job ${id}`).toBe(true);
    for (const [id, sha256] of owedAnswers) expect(found.answers.get(id), `answer of ${id}`).toBe(sha256);
    // The relay itself opens it too, and no job is left running.
    const opened = new JobDatabase(options(torn));
    expect(opened.summary().counts.some(({ state }) => state === "in_progress")).toBe(false);
    opened.close();
  };

  let before = await read(join(live, "jobs.db"));
  for (let i = 0; i < tally.groups; i += 1) {
    const owed = new Set(jobs);
    const owedAnswers = new Map(answers);
    const asks = group(random, database, running);
    const { results } = runBatch(database, asks);
    for (const one of results) {
      if ("error" in one) throw new Error(one.error.message);
      const { method: step, args } = asks[one.id]!;
      if (step === "add") jobs.add((args[0] as NewJob).id);
    }
    const after = await read(join(live, "jobs.db"));
    // Power fails while the log is written: the file is unchanged.
    await cut({ db: before.db, log: tearLog(before.log, after.log, random) }, owed, owedAnswers);
    tally.cutsInLog += 1;
    for (const [id, sha256] of (await inspect(live)).answers) answers.set(id, sha256);
    if (!before.db.equals(after.db)) {
      // Power fails while the synced log is checkpointed into the file.
      await cut({ db: tear(before.db, after.db, random), log: after.log }, jobs, answers);
      tally.cutsInFile += 1;
    }
    before = after;
  }
  database.close();
  console.log("torn writes:", JSON.stringify({ ...tally, jobs: jobs.size, answers: answers.size }));
  expect(tally.cutsInFile).toBeGreaterThan(0);
}, 600_000);
