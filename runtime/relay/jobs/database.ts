/** The job store's operations on its SQLite file. All of them block; they are durable once the caller has committed. */
import { randomUUID } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { QueueName } from "../admission/admission.ts";
import { type Sql, statements } from "../sqlite.ts";
import { answerHeadOf, answerOf, answerPieceOf, insertAnswer } from "./answer-rows.ts";
import { DiskQuota } from "./disk-quota.ts";
import { latestOf, summaryOfJob } from "./job-summaries.ts";
import { KeyClaims } from "./key-claims.ts";
import { LeaseClock } from "./lease-clock.ts";
import { flowOf, type JobRow, listOf, recordOf, rowOf, summaryOf, waitingOf } from "./records.ts";
import { boundSize, checkDatabase, openDatabase } from "./schema.ts";
import {
  type Added,
  type AnswerHead,
  type AttemptOutcome,
  type CancelledBy,
  type ClaimedJob,
  type DiskRefusal,
  type JobListing,
  type JobRecord,
  type JobState,
  type JobStore,
  type JobSummary,
  type KeyClaim,
  type NewJob,
  type Recovered,
  type StoredAnswer,
  type StoreLimits,
  type StoreSummary,
  usesUp,
  type WaitingJob,
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

/** How many ends that do not count as attempts are kept per job. */
const REMEMBERED = 20;
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
    const row = this.#insert(job, "queued", this.#now() + this.#options.retentionMs);
    this.#sql("INSERT INTO bodies VALUES (?, ?)").run(row.seq, job.body);
    return { kind: "added", job: recordOf(this.#sql, row) };
  }

  keepAnswer(call: NewJob, answer: StoredAnswer, keepMs: number): void {
    this.#keyClaims.release(call.id);
    if (call.idempotencyKey === undefined || this.#keyClaims.find(call) !== undefined) return;
    if (this.#quota.refuseWork(call.owner, answer.body.length) !== undefined) return;
    const { seq } = this.#insert(call, "completed", this.#now() + keepMs);
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
    const row = this.#held(attemptId);
    if (row === undefined) return false;
    const noRoom = this.#quota.refuseAnswer(row.owner, answer.body.length);
    if (noRoom !== undefined) {
      this.failForRoom(attemptId, `${answer.body.length} bytes, ${reasonOf(noRoom)}`);
      return "no_room";
    }
    const refused = answer.status >= 400;
    this.#end(attemptId, "answered", `status ${answer.status}`);
    insertAnswer(this.#sql, row.seq, attemptId, answer);
    const error = { code: "model_refused", message: `The model server answered ${answer.status}.` };
    this.#close(row.seq, refused ? "failed" : "completed", refused ? error : undefined);
    return true;
  }

  failForRoom(attemptId: string, detail: string): boolean {
    const row = this.#held(attemptId);
    if (row === undefined) return false;
    this.#end(attemptId, "no_room", detail);
    const message = `The model server has answered, but its answer could not be stored: ${detail}. Wait until older results expire (jobs.retentionDays), or call without a job.`;
    this.#close(row.seq, "failed", { code: "answer_not_stored", message });
    return true;
  }

  failAttempt(
    attemptId: string,
    outcome: AttemptOutcome,
    detail: string,
    delayMs: number,
    answer?: StoredAnswer,
  ): JobState | undefined {
    const row = this.#held(attemptId);
    if (row === undefined) return undefined;
    this.#end(attemptId, outcome, detail);
    const { used } = this.#sql("SELECT count(*) AS used FROM attempts WHERE seq = ? AND counted = 1").get(row.seq) as {
      used: number;
    };
    if (used >= this.#options.maxAttempts) {
      const fits = answer !== undefined && this.#quota.refuseAnswer(row.owner, answer.body.length) === undefined;
      if (fits) insertAnswer(this.#sql, row.seq, attemptId, answer);
      const message = `It was tried ${used} times. The last time: ${outcome} (${detail}).`;
      this.#close(row.seq, "failed", { code: "attempts_used_up", message });
      return "failed";
    }
    this.#sql(
      "UPDATE jobs SET state = 'queued', attempt_id = NULL, lease_until = NULL, run_after = ? WHERE seq = ?",
    ).run(this.#now() + delayMs, row.seq);
    return "queued";
  }

  cancel(owner: string, id: string, by: CancelledBy = "owner"): JobRecord | undefined {
    const row = rowOf(this.#sql, owner, id) as (JobRow & { attempt_id: string | null }) | undefined;
    if (row === undefined) return undefined;
    if (row.state === "queued" || row.state === "in_progress") {
      const who = by === "owner" ? "its owner" : "an operator";
      if (row.attempt_id !== null) this.#end(row.attempt_id, "cancelled", `cancelled by ${who}`);
      this.#close(row.seq, "cancelled", { code: "job_cancelled", message: `The job was cancelled by ${who}.` });
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
      if (state === "queued") this.#close(seq, "failed", { code: "waited_too_long", message });
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

  #held(attemptId: string): JobRow | undefined {
    return this.#sql("SELECT * FROM jobs WHERE attempt_id = ?").get(attemptId) as JobRow | undefined;
  }

  #insert(job: NewJob, state: JobState, expiresAt: number): JobRow {
    const now = this.#now();
    return this.#sql(
      `INSERT INTO jobs (id, owner, lane, path, query, headers, request_sha256, bytes, estimated_tokens, idempotency_key,
         echo, state, created_at, run_after, expires_at, company, flow, metadata)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
    ).get(
      job.id,
      job.owner,
      job.lane,
      job.path,
      job.query,
      JSON.stringify(job.headers),
      job.requestSha256,
      job.body.length,
      job.estimatedTokens,
      job.idempotencyKey ?? null,
      job.requestParameters ?? null,
      state,
      now,
      now,
      expiresAt,
      job.company ?? null,
      flowOf(this.#sql, job),
      metadataJson(job) ?? null,
    ) as unknown as JobRow;
  }

  #end(attemptId: string, outcome: AttemptOutcome, detail: string): void {
    const counted = outcome !== "cancelled" && (usesUp(outcome) || this.#bringsDown(attemptId, outcome)) ? 1 : 0;
    const { seq } = this.#sql(
      "UPDATE attempts SET ended_at = ?, outcome = ?, detail = ?, counted = ? WHERE id = ? RETURNING seq",
    ).get(this.#now(), outcome, detail.slice(0, 500), counted, attemptId) as { seq: number };
    this.#sql(
      `DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE seq = ? AND counted = 0 AND ended_at IS NOT NULL
       ORDER BY started_at DESC LIMIT -1 OFFSET ?)`,
    ).run(seq, REMEMBERED);
  }

  /**
   * Whether the machine has gone down during this job before. Once is a power cut; a job that runs each time may be the cause,
   * and must not restart the machine again and again.
   */
  #bringsDown(attemptId: string, outcome: AttemptOutcome): boolean {
    if (outcome !== "machine_restarted") return false;
    const { before } = this.#sql(
      `SELECT count(*) AS before FROM attempts WHERE outcome = 'machine_restarted'
       AND seq = (SELECT seq FROM attempts WHERE id = ?)`,
    ).get(attemptId) as { before: number };
    return before > 0;
  }

  #close(seq: number, state: JobState, error: JobRecord["error"]): void {
    const now = this.#now();
    this.#sql(
      `UPDATE jobs SET state = ?, attempt_id = NULL, lease_until = NULL, finished_at = ?, expires_at = ?, error_code = ?,
         error_message = ? WHERE seq = ?`,
    ).run(state, now, now + this.#options.retentionMs, error?.code ?? null, error?.message ?? null, seq);
    this.#sql("DELETE FROM bodies WHERE seq = ?").run(seq);
  }
}

const metadataJson = ({ metadata }: NewJob): string | undefined => metadata && JSON.stringify(metadata);

function reasonOf(refusal: DiskRefusal): string {
  switch (refusal.kind) {
    case "disk_low":
      return `and the disk has ${refusal.freeBytes} free`;
    case "store_full":
      return `and the jobs take ${refusal.usedBytes} of jobs.maxDiskMiB`;
    case "share_full":
      return `and this caller's jobs take ${refusal.usedBytes} of at most ${Math.floor(refusal.shareBytes)}`;
  }
}
