/** The job store's operations on its SQLite file. All of them block; they are durable once the caller has committed. */
import { randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { QueueName } from "../admission/admission.ts";
import { type Sql, statements } from "../sqlite.ts";
import { answerHeadOf, answerOf, answerPieceOf, insertAnswer } from "./answer-rows.ts";
import { AttemptEnds } from "./attempt-ends.ts";
import { DiskQuota } from "./disk-quota.ts";
import { latestOf, summaryOfJob } from "./job-summaries.ts";
import { KeyClaims } from "./key-claims.ts";
import { LeaseClock } from "./lease-clock.ts";
import { insertJob, metadataJson } from "./new-job-row.ts";
import { type JobRow, listOf, recordOf, rowOf, summaryOf, waitingOf } from "./records.ts";
import { boundSize, checkDatabase, openDatabase } from "./schema.ts";
import type {
  Added,
  AnswerHead,
  CancelledBy,
  ClaimedJob,
  JobListing,
  JobRecord,
  JobState,
  JobStore,
  JobSummary,
  KeyClaim,
  NewJob,
  Recovered,
  StoredAnswer,
  StoreLimits,
  StoreSummary,
  WaitingJob,
} from "./store.ts";

/** How the file is opened. */
export interface DatabaseOptions extends StoreLimits {
  readonly file: string;
  /** The owners that share the disk, see `DiskQuota`. */
  readonly callers?: readonly string[];
  /** Id of this boot: an attempt of another boot was ended by a reboot or a power cut, not by a crash. */
  readonly boot: string;
  /** Checks the whole file before it is used: after an unclean shutdown. @default false */
  readonly check?: boolean;
  /** Id of the relay; the same when it reopens the file. @default a random one */
  readonly instance?: string;
  /** Ids of this relay's running direct calls that have a key. @default none */
  readonly runningCalls?: readonly string[];
  /** How long direct calls of the previous relay may still run, in ms. @default 0 */
  readonly foreignCallsMs?: number;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /** Milliseconds of a monotonic clock. @default performance.now */
  readonly monotonicNow?: () => number;
}

/** The operations of `JobStore`, synchronous. */
export type Steps = {
  [K in Exclude<keyof JobStore, "close" | "recovered">]: JobStore[K] extends (...args: infer A) => Promise<infer R>
    ? (...args: A) => R
    : never;
};

interface ClaimRow extends JobRow {
  readonly headers: string;
  readonly query: string;
  readonly estimated_tokens: number;
  readonly company: string | null;
}

/** Lease of an attempt without a deadline in memory. */
const LEASE_MS = 120_000;
/** Jobs deleted in one step, bounded because other commands wait behind it. */
const SWEPT = 200;

export class JobDatabase implements Steps {
  readonly db: DatabaseSync;
  readonly recovered: Recovered;
  readonly #sql: Sql;
  readonly #quota: DiskQuota;
  readonly #keyClaims: KeyClaims;
  readonly #leases: LeaseClock;
  readonly #ends: AttemptEnds;
  #options: DatabaseOptions;
  readonly #now: () => number;

  /** Opens the file and requeues what was running when it was last open. @throws StoreFailed */
  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.db = openDatabase(options.file, options.maxBytes);
    if (options.check) checkDatabase(this.db, options.file);
    this.#sql = statements(this.db);
    this.#quota = new DiskQuota(this.#sql, options, options.callers);
    this.#ends = new AttemptEnds(this.#sql, this.#quota, () => this.#options, this.#now);
    const { monotonicNow = () => performance.now(), instance = randomUUID() } = options;
    this.#leases = new LeaseClock(monotonicNow, LEASE_MS);
    this.db.exec("BEGIN IMMEDIATE");
    const { runningCalls: running = [], foreignCallsMs: foreignMs = 0 } = options;
    this.#keyClaims = new KeyClaims(this.#sql, { instance, running, foreignMs, monotonicNow });
    this.recovered = this.#recover();
    this.db.exec("COMMIT");
  }

  // The file is locked exclusively, so no other process can still be running what is marked in progress.
  #recover(): Recovered {
    const again: string[] = [];
    const failed: string[] = [];
    const rows = this.#sql(
      "SELECT a.id, a.boot, j.id AS job FROM jobs j JOIN attempts a ON a.id = j.attempt_id WHERE j.state = 'in_progress'",
    ).all() as unknown as { id: string; boot: string; job: string }[];
    for (const { id, boot, job } of rows) {
      const state =
        boot !== this.#options.boot
          ? this.failAttempt(id, "machine_restarted", "the Mac was restarted or lost power", 0)
          : this.failAttempt(id, "relay_crashed", "the relay ended while the job ran", 0);
      (state === "queued" ? again : failed).push(job);
    }
    return { again, failed };
  }

  add(job: NewJob): Added {
    const inUse = this.#keyClaims.find(job);
    if (inUse !== undefined) return inUse;
    const notes = (job.requestParameters?.length ?? 0) + (metadataJson(job)?.length ?? 0);
    const refused = this.#quota.refuseWork(job.owner, job.body.length + notes);
    if (refused !== undefined) return refused;
    const now = this.#now();
    const row = insertJob(this.#sql, job, "queued", { now, expiresAt: now + this.#options.retentionMs });
    this.#sql("INSERT INTO bodies VALUES (?, ?)").run(row.seq, job.body);
    return { kind: "added", job: recordOf(this.#sql, row) };
  }

  keepAnswer(call: NewJob, answer: StoredAnswer, keepMs: number): void {
    this.#keyClaims.release(call.id);
    if (call.idempotencyKey === undefined || this.#keyClaims.find(call) !== undefined) return;
    if (this.#quota.refuseWork(call.owner, answer.body.length) !== undefined) return;
    const now = this.#now();
    const { seq } = insertJob(this.#sql, call, "completed", { now, expiresAt: now + keepMs });
    this.#sql("UPDATE jobs SET started_at = created_at, finished_at = created_at WHERE seq = ?").run(seq);
    insertAnswer(this.#sql, seq, null, answer);
  }

  setCallers(names: readonly string[]): void {
    this.#quota.setCallers(names);
  }

  setLimits({ retentionMs, maxBytes, minFreeBytes, maxAttempts }: StoreLimits): void {
    this.#options = { ...this.#options, retentionMs, maxBytes, minFreeBytes, maxAttempts };
    this.#quota.setLimits({ maxBytes, minFreeBytes });
    boundSize(this.db, maxBytes);
  }

  claimKey(call: Parameters<JobStore["claimKey"]>[0]): KeyClaim {
    return this.#keyClaims.claim(call);
  }

  releaseKey(callId: string): void {
    this.#keyClaims.release(callId);
  }

  find(owner: string, id: string): JobRecord | undefined {
    const row = rowOf(this.#sql, owner, id);
    return row && recordOf(this.#sql, row);
  }

  list(owner: string, listing: JobListing): readonly JobRecord[] | undefined {
    return listOf(this.#sql, owner, listing);
  }

  latest(limit: number): readonly JobSummary[] {
    return latestOf(this.#sql, limit);
  }

  findAny(id: string): JobSummary | undefined {
    return summaryOfJob(this.#sql, id);
  }

  answer(owner: string, id: string): StoredAnswer | undefined {
    const row = rowOf(this.#sql, owner, id);
    return row && answerOf(this.#sql, row.seq);
  }

  answerHead(owner: string, id: string): AnswerHead | undefined {
    const row = rowOf(this.#sql, owner, id);
    return row && answerHeadOf(this.#sql, row.seq);
  }

  answerPiece(owner: string, id: string, from: number): Uint8Array | undefined {
    const row = rowOf(this.#sql, owner, id);
    const head = row && answerHeadOf(this.#sql, row.seq);
    return head && answerPieceOf(this.#sql, row.seq, from, head);
  }

  waiting(lane: QueueName, owners: readonly string[], perFlow: number): readonly WaitingJob[] {
    return owners.flatMap((owner) => waitingOf(this.#sql, lane, owner, perFlow, this.#now()));
  }

  claim(id: string, attemptId: string, leaseMs: number): ClaimedJob | undefined {
    const now = this.#now();
    const row = this.#sql(
      `UPDATE jobs SET state = 'in_progress', attempt_id = ?, lease_until = ?, started_at = ?
       WHERE id = ? AND state = 'queued' RETURNING *`,
    ).get(attemptId, now + leaseMs, now, id) as ClaimRow | undefined;
    if (row === undefined) return undefined;
    this.#leases.set(attemptId, leaseMs);
    this.#sql("INSERT INTO attempts (id, seq, boot, started_at) VALUES (?, ?, ?, ?)").run(
      attemptId,
      row.seq,
      this.#options.boot,
      now,
    );
    const { body } = this.#sql("SELECT body FROM bodies WHERE seq = ?").get(row.seq) as { body: Uint8Array };
    const { owner, lane, path, query, estimated_tokens: estimatedTokens } = row;
    const company = row.company ?? undefined;
    const headers = JSON.parse(row.headers) as Record<string, string>;
    return { id, attemptId, owner, company, lane, path, query, headers, body, estimatedTokens };
  }

  renew(attemptIds: readonly string[], leaseMs: number): readonly string[] {
    const until = this.#now() + leaseMs;
    const renew = this.#sql("UPDATE jobs SET lease_until = ? WHERE attempt_id = ?");
    const held = attemptIds.filter((id) => renew.run(until, id).changes === 1);
    for (const id of held) this.#leases.set(id, leaseMs);
    return held;
  }

  finish(attemptId: string, answer: StoredAnswer): boolean | "no_room" {
    return this.#ends.finish(attemptId, answer);
  }

  failForRoom(attemptId: string, detail: string): boolean {
    return this.#ends.failForRoom(attemptId, detail);
  }

  failAttempt(...end: Parameters<AttemptEnds["failAttempt"]>): JobState | undefined {
    return this.#ends.failAttempt(...end);
  }

  cancel(owner: string, id: string, by: CancelledBy = "owner"): JobRecord | undefined {
    const row = rowOf(this.#sql, owner, id) as (JobRow & { attempt_id: string | null }) | undefined;
    if (row === undefined) return undefined;
    if (row.state === "queued" || row.state === "in_progress") {
      const who = by === "owner" ? "its owner" : "an operator";
      if (row.attempt_id !== null) this.#ends.end(row.attempt_id, "cancelled", `cancelled by ${who}`);
      this.#ends.closeJob(row.seq, "cancelled", { code: "job_cancelled", message: `The job was cancelled by ${who}.` });
    }
    return this.find(owner, id);
  }

  remove(owner: string, id: string): boolean {
    const removed = this.#sql(
      "DELETE FROM jobs WHERE id = ? AND owner = ? AND state IN ('completed', 'failed', 'cancelled')",
    ).run(id, owner);
    return removed.changes > 0;
  }

  sweep(): boolean {
    const now = this.#now();
    const running = this.#sql("SELECT attempt_id AS id FROM jobs WHERE state = 'in_progress'").all() as unknown as {
      id: string;
    }[];
    for (const id of this.#leases.expired(running.map(({ id }) => id)))
      this.failAttempt(id, "lease_lost", "its lease was not renewed in time", 0);
    const old = this.#sql(
      "SELECT seq, state FROM jobs WHERE expires_at < ? AND state <> 'in_progress' ORDER BY expires_at LIMIT ?",
    ).all(now, SWEPT) as unknown as { seq: number; state: JobState }[];
    for (const { seq, state } of old) {
      const message = "It waited longer than jobs are kept.";
      if (state === "queued") this.#ends.closeJob(seq, "failed", { code: "waited_too_long", message });
      else this.#sql("DELETE FROM jobs WHERE seq = ?").run(seq);
    }
    this.#sql("PRAGMA incremental_vacuum(2000)").all();
    return old.length === SWEPT;
  }

  summary(): StoreSummary {
    return summaryOf(this.#sql);
  }

  /** Closes the file. */
  close(): void {
    this.db.close();
  }
}
