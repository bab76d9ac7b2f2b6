/** Stores jobs, and claims the Idempotency-Keys of direct calls: what every kind of request for a job has in common. */
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import type { Reservation } from "../memory/budget.ts";
import type { Tracing } from "../telemetry/trace.ts";
import { keyInProgress, keyMismatch } from "./idempotency.ts";
import { fromStore, type Jobs } from "./jobs.ts";
import type { Prefer } from "./prefer.ts";
import { replyWithJob, replyWithResponseObject, streamResult, waitForEnd } from "./replies.ts";
import type { KeyInUse, NewJob, StoredAnswer } from "./store.ts";
import { isFinal, jobName } from "./views.ts";

/** How long answers of direct calls with a key are kept: as long as a client may repeat them. */
const KEEP_MS = 24 * 3600_000;
/** Longest answer that is kept for a repeated key. */
export const MAX_KEPT_BYTES = 8 * 1024 * 1024;
/** Cloudflare ends a request after 100 s without a byte. */
export const LONGEST_WAIT_S = 60;

/** A claimed key of a direct call. */
export interface KeyedCall {
  /** Of the call's caller, for a copy of the answer; held until `done`, even if the exchange has ended by then. */
  readonly memory: Reservation;
  /** Must be called at the end: keeps an answer with a status below 400, else releases the key. Never rejects. */
  done(answer: StoredAnswer | undefined): Promise<void>;
}

export interface Submission {
  /**
   * Stores the job, or finds the one of its key, and answers with it, or with its result if it ends within `prefer.wait`.
   * Throws `idempotency_*`, `jobs_full`, `jobs_share_full`, `disk_low`, `jobs_unavailable`.
   */
  submit(exchange: HeldExchange, job: NewJob, prefer: Prefer): Promise<void>;
  /**
   * Claims the key of a direct call. "answered": it was used for this request before, and that answer has been sent.
   * Throws `idempotency_*`, `jobs_unavailable`.
   */
  claim(exchange: HeldExchange, job: NewJob): Promise<KeyedCall | "answered">;
}

/** @param tracing undefined: traces are off */
export function createSubmission(jobs: Jobs, tracing?: Tracing): Submission {
  // Calls that have ended while their key could not be released, as on a full disk: their repetitions would get 409 until the
  // store is opened anew.
  const unreleased = new Set<string>();
  return {
    async submit(exchange, submitted, prefer) {
      const job = tracing === undefined ? submitted : withContext(submitted, tracing);
      if (job.idempotencyKey !== undefined) await releaseEnded();
      const added = await fromStore(jobs.store.add(job));
      if (added.kind === "mismatch") throw keyMismatch();
      if (added.kind === "running") throw keyInProgress();
      if (added.kind === "store_full") {
        throw new RelayError("jobs_full", "Stored jobs use all the space they may. Call without a job, or try later.", {
          detail: `${added.usedBytes} bytes used`,
        });
      }
      if (added.kind === "share_full") {
        throw new RelayError(
          "jobs_share_full",
          "Your stored jobs use all the space that one caller may use. Call without a job, or wait until older results expire.",
          { detail: `${added.usedBytes} of at most ${Math.floor(added.shareBytes)} bytes used` },
        );
      }
      if (added.kind === "disk_low") {
        throw new RelayError("disk_low", "The Mac's disk is nearly full, so no new jobs are accepted.", {
          detail: `${added.freeBytes} bytes free`,
        });
      }
      if (added.kind === "added") {
        jobs.metrics.added(job.lane);
        jobs.wake(job.lane);
      } else exchange.res.setHeader("Idempotency-Replayed", "true");
      if (job.requestParameters !== undefined) return replyWithResponseObject(exchange, jobs, added.job);
      const waited = prefer.wait === undefined ? undefined : Math.min(prefer.wait, LONGEST_WAIT_S);
      const applied = waited === undefined ? "respond-async" : `respond-async, wait=${waited}`;
      exchange.res.setHeader("Preference-Applied", applied);
      exchange.res.setHeader("Location", `/v1/jobs/${jobName(added.job.id)}`);
      const last = waited ? await waitForEnd(exchange, jobs, added.job, waited) : added.job;
      await replyWithJob(exchange, jobs, last, waited !== undefined && isFinal(last) ? "result" : "accepted");
    },
    async claim(exchange, job) {
      const { id } = job;
      await releaseEnded();
      jobs.directCalls.add(id);
      try {
        const claim = await fromStore(jobs.store.claimKey(withoutBody(job)));
        if (claim.kind !== "claimed") {
          jobs.directCalls.delete(id);
          await repeat(exchange, claim);
          return "answered";
        }
      } catch (cause) {
        jobs.directCalls.delete(id);
        throw cause;
      }
      const holding = exchange.holding.retain();
      let done = false;
      return {
        memory: holding.memory,
        async done(answer) {
          if (done) return;
          done = true;
          try {
            // Only a successful answer is kept: after an error the client may try again.
            if (answer !== undefined && answer.status < 400) await keep(job, answer);
            else await release(id);
          } finally {
            jobs.directCalls.delete(id);
            holding.release();
          }
        },
      };
    },
  };

  /** The client has its answer, so if storing fails only the replay is lost. */
  async function keep(job: NewJob, answer: StoredAnswer): Promise<void> {
    try {
      await jobs.store.keepAnswer(withoutBody(job), answer, KEEP_MS);
    } catch {
      await release(job.id);
    }
  }

  async function release(callId: string): Promise<void> {
    try {
      await jobs.store.releaseKey(callId);
      unreleased.delete(callId);
    } catch {
      unreleased.add(callId); // a store that is reopened drops claims of calls that are not running
    }
  }

  async function releaseEnded(): Promise<void> {
    for (const callId of [...unreleased]) await release(callId);
  }

  async function repeat(exchange: HeldExchange, inUse: KeyInUse): Promise<void> {
    if (inUse.kind === "mismatch") throw keyMismatch();
    if (inUse.kind === "running") throw keyInProgress();
    const { job } = inUse;
    if (!isFinal(job)) throw keyInProgress({ Location: `/v1/jobs/${jobName(job.id)}` });
    await streamResult(exchange, jobs, job, { "Idempotency-Replayed": "true" });
  }
}

/** The run of a job is linked to the request that submitted it. */
function withContext(job: NewJob, tracing: Tracing): NewJob {
  const headers = { ...job.headers };
  tracing.inject(headers);
  return { ...job, headers };
}

/** The store does not run direct calls, so it needs no body. */
const withoutBody = (job: NewJob): NewJob => ({ ...job, body: new Uint8Array(0) });
