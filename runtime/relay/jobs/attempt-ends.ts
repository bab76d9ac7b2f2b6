/** How attempts end in the jobs' file, and what that means for their jobs. Each runs in the caller's transaction. */
import type { Sql } from "../sqlite.ts";
import { insertAnswer } from "./answer-rows.ts";
import type { DiskQuota } from "./disk-quota.ts";
import type { JobRow } from "./records.ts";
import {
  type AttemptOutcome,
  type DiskRefusal,
  type JobRecord,
  type JobState,
  type StoredAnswer,
  type StoreLimits,
  usesUp,
} from "./store.ts";

/** How many ends that do not count as attempts are kept per job. */
const REMEMBERED = 20;

export class AttemptEnds {
  readonly #sql: Sql;
  readonly #quota: DiskQuota;
  readonly #limits: () => Pick<StoreLimits, "maxAttempts" | "retentionMs">;
  readonly #now: () => number;

  constructor(
    sql: Sql,
    quota: DiskQuota,
    limits: () => Pick<StoreLimits, "maxAttempts" | "retentionMs">,
    now: () => number,
  ) {
    this.#sql = sql;
    this.#quota = quota;
    this.#limits = limits;
    this.#now = now;
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
    this.end(attemptId, "answered", `status ${answer.status}`);
    insertAnswer(this.#sql, row.seq, attemptId, answer);
    const error = { code: "model_refused", message: `The model server answered ${answer.status}.` };
    this.closeJob(row.seq, refused ? "failed" : "completed", refused ? error : undefined);
    return true;
  }

  failForRoom(attemptId: string, detail: string): boolean {
    const row = this.#held(attemptId);
    if (row === undefined) return false;
    this.end(attemptId, "no_room", detail);
    const message = `The model server has answered, but its answer could not be stored: ${detail}. Wait until older results expire (jobs.retentionDays), or call without a job.`;
    this.closeJob(row.seq, "failed", { code: "answer_not_stored", message });
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
    this.end(attemptId, outcome, detail);
    const { used } = this.#sql("SELECT count(*) AS used FROM attempts WHERE seq = ? AND counted = 1").get(row.seq) as {
      used: number;
    };
    if (used >= this.#limits().maxAttempts) {
      const fits = answer !== undefined && this.#quota.refuseAnswer(row.owner, answer.body.length) === undefined;
      if (fits) insertAnswer(this.#sql, row.seq, attemptId, answer);
      const message = `It was tried ${used} times. The last time: ${outcome} (${detail}).`;
      this.closeJob(row.seq, "failed", { code: "attempts_used_up", message });
      return "failed";
    }
    this.#sql(
      "UPDATE jobs SET state = 'queued', attempt_id = NULL, lease_until = NULL, run_after = ? WHERE seq = ?",
    ).run(this.#now() + delayMs, row.seq);
    return "queued";
  }

  /** The job that the attempt holds; undefined if it holds none any more. */
  #held(attemptId: string): JobRow | undefined {
    return this.#sql("SELECT * FROM jobs WHERE attempt_id = ?").get(attemptId) as JobRow | undefined;
  }

  /** Ends an attempt, whatever becomes of its job. */
  end(attemptId: string, outcome: AttemptOutcome, detail: string): void {
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

  /** Ends a job. */
  closeJob(seq: number, state: JobState, error: JobRecord["error"]): void {
    const now = this.#now();
    this.#sql(
      `UPDATE jobs SET state = ?, attempt_id = NULL, lease_until = NULL, finished_at = ?, expires_at = ?, error_code = ?,
         error_message = ? WHERE seq = ?`,
    ).run(state, now, now + this.#limits().retentionMs, error?.code ?? null, error?.message ?? null, seq);
    this.#sql("DELETE FROM bodies WHERE seq = ?").run(seq);
  }
}

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
