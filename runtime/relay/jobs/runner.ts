/**
 * Runs jobs: takes them from the store as slots become free, sends each to the model server, commits its answer. Only a few
 * jobs per company and caller queue for a slot at a time, so that slots are shared and memory stays small.
 */

import { randomUUID } from "node:crypto";
import { Semaphore } from "async-mutex";
import type { Caller, Limits } from "../../config.ts";
import { type Admission, type QueueName, type Slot, usedTokens } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { AnswerRule } from "../http/answer-rewriter.ts";
import { ClientDisconnected } from "../http/body.ts";
import type { Router } from "../http/router.ts";
import type { MemoryBudget, Reservation } from "../memory/budget.ts";
import type { Upstream } from "../model/upstream.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tracing } from "../telemetry/trace.ts";
import type { UsageEntry } from "../usage/entry.ts";
import type { QuotaHold } from "../usage/quota-hold.ts";
import { Meter, type Usage } from "../usage/usage.ts";
import { watchAvailability } from "./availability.ts";
import { collectAnswer } from "./capture.ts";
import { dispositionOf, type Ending, type StopReason } from "./disposition.ts";
import { MAX_ANSWER_BYTES, type OwnWork, WORK_HEADER } from "./own-work.ts";
import { type ClaimedJob, type JobStore, StoreFailed, type WaitingJob } from "./store.ts";
import type { JobUsage } from "./usage.ts";

export interface RunnerOptions {
  readonly store: JobStore;
  readonly upstream: Pick<Upstream, "forward" | "look" | "breaker">;
  readonly admission: Pick<Admission, "acquire">;
  /** Accounts for bodies and answers of running jobs. */
  readonly memory: Pick<MemoryBudget, "reserve">;
  /** Owners whose jobs may run now. */
  readonly callers: () => readonly Caller[];
  /** The current limits. */
  readonly limits: () => Limits;
  /** The API that a path belongs to. */
  readonly dialectOf: Router["dialectOf"];
  /** Told of each answer that a job got. */
  readonly onAnswer?: (job: ClaimedJob, body: Uint8Array) => void;
  /** How the model server's answer to a call is rewritten. @default not at all */
  readonly ruleOf?: (path: string, body: Buffer) => AnswerRule | undefined;
  /** Does jobs that are work of the relay itself. Absent: there are none. */
  readonly ownWork?: OwnWork | undefined;
  /** Jobs of that kind that run at a time; the others wait. @default 1 */
  readonly ownWorkAtOnce?: number;
  /** Longest time of an attempt, in ms. */
  readonly attemptMs: () => number;
  /** Pause before the store is retried. @default 2 s */
  readonly storeRetryMs?: number;
  readonly log: Log;
  /** Undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
  /** Called whenever a job has changed. */
  readonly onChange: (jobId: string) => void;
  /** Called at the end of each run that got an answer, with its token usage. */
  readonly onUsage: (lane: QueueName, owner: string, usage: Usage) => void;
  /** Called at the end of each run with its outcome. */
  readonly onEnd: (lane: QueueName, outcome: string, ms: number) => void;
  /** Ledger and quotas. @default none */
  readonly usageOf?: JobUsage | undefined;
}

export interface Runner {
  /** Looks for jobs to run in this lane. */
  wake(lane: QueueName): void;
  /** Ends the run of a job that was cancelled in the store. */
  cancelled(jobId: string): void;
  /** Bytes received of a running job's answer. */
  received(jobId: string): number | undefined;
  /** Jobs of the lane that queue for a slot or run: the store no longer counts them in `ahead`. */
  taken(lane: QueueName): number;
  /** Mean time of a run, in ms; undefined before the first. */
  meanRunMs(lane: QueueName): number | undefined;
  /** False while the model server is unavailable. */
  readonly modelAvailable: boolean;
  /** The callers have changed: ends runs of removed and disabled ones, without counting an attempt; their jobs wait. */
  callersChanged(): void;
  /** Starts no more jobs; running ones continue. */
  stop(): void;
  /** Resolves when no job is running, or after `ms`. */
  idle(ms: number): Promise<void>;
  /** Ends what is still running and requeues it, without counting an attempt. Resolves when that is stored. */
  interrupt(): Promise<void>;
}

const LANES: readonly QueueName[] = ["chat", "embeddings"];
const LEASE_MS = 120_000;
const RENEW_MS = 30_000;
const SWEEP_MS = 60_000;
/** Polling interval for jobs that wait for their next attempt; everything else wakes the runner. */
const LOOK_MS = 1000;
const STORE_RETRY_MS = 2000;
/** How often storing an answer is tried while the store is full; then its job fails. */
const STORE_TRIES = 5;
/** Longest pause between two tries to store the end of an attempt. */
const LONGEST_RETRY_MS = 30_000;
/** Run times are averaged over about this many jobs. */
const MEMORY = 20;

/** Of the relay's own work: its calls to the model server have been counted one by one. */
const NO_USAGE: Usage = { prompt: undefined, output: undefined };

/** A job that queues for a slot or runs. */
interface Run {
  readonly owner: string;
  readonly lane: QueueName;
  readonly stop: AbortController;
  attemptId: string | undefined;
  received: number;
  /** When its first byte came, by the clock of `performance`. */
  firstAt: number | undefined;
  /** Reads what its answer uses; undefined for the relay's own work. */
  meter: Meter | undefined;
  /** Its row of the ledger. */
  entry: UsageEntry | undefined;
}

/** A run that has ended; times by the clock of `performance`. */
interface EndedRun {
  readonly job: ClaimedJob;
  readonly ending: Ending;
  readonly run: Run;
  readonly slot: Slot;
  readonly begun: number;
  readonly ms: number;
}

export function startRunner(options: RunnerOptions): Runner {
  const {
    store,
    upstream,
    admission,
    limits,
    dialectOf,
    log,
    onChange,
    onUsage,
    onEnd,
    usageOf,
    storeRetryMs = STORE_RETRY_MS,
  } = options;
  const runs = new Map<string, Run>();
  const mean: Partial<Record<QueueName, number>> = {};
  const looking: Record<QueueName, "no" | "yes" | "again"> = { chat: "no", embeddings: "no" };
  const ownTurns = new Semaphore(options.ownWorkAtOnce ?? 1);
  let stopped = false;
  let onIdle: (() => void) | undefined;
  const availability = watchAvailability(upstream, () => LANES.forEach(wake));

  function wake(lane: QueueName): void {
    if (stopped || !availability.available) return;
    if (looking[lane] !== "no") {
      looking[lane] = "again";
      return;
    }
    looking[lane] = "yes";
    const { tracing } = options;
    // A request that submits a job wakes the runner: the job's run is not a part of its trace.
    const looked = tracing === undefined ? look(lane) : tracing.detached(() => look(lane));
    void looked.finally(() => {
      const again = looking[lane] === "again";
      looking[lane] = "no";
      if (again) wake(lane);
    });
  }

  async function look(lane: QueueName): Promise<void> {
    const callers = new Map(options.callers().map((caller) => [caller.name, caller]));
    let found: readonly WaitingJob[];
    try {
      found = await store.waiting(lane, [...callers.keys()], limits()[lane]);
    } catch (cause) {
      log.warn({ reason: reason(cause) }, "the waiting jobs cannot be read");
      return;
    }
    for (const job of found) {
      const caller = callers.get(job.owner);
      if (stopped || caller === undefined || runs.has(job.id)) continue;
      const hold = usageOf?.admit(job, caller);
      if (usageOf !== undefined && hold === undefined) continue; // its quota is used up: it waits
      const run = newRun(job.owner, lane);
      runs.set(job.id, run);
      void take(job, caller, run, hold).finally(() => {
        hold?.settle(0, 0); // has no effect after its run was recorded
        runs.delete(job.id);
        if (runs.size === 0) onIdle?.();
        wake(lane);
      });
    }
  }

  async function take(job: WaitingJob, caller: Caller, run: Run, hold: QuotaHold | undefined): Promise<void> {
    const { lane, stop } = run;
    let memory: Reservation | undefined;
    try {
      const { estimatedTokens } = job;
      const waitedFrom = performance.now();
      // The job is still on disk only: no memory is held for it.
      const slot = await admission.acquire({
        queue: lane,
        caller,
        company: job.flow,
        estimatedTokens,
        bytes: 0,
        signal: stop.signal,
        background: true,
      });
      let commit: (() => Promise<void>) | undefined;
      let giveBack = () => slot.release(0); // costs nothing until something runs
      try {
        if (job.work) {
          // It takes a slot for each of its calls: with one held all the time it could wait for itself.
          giveBack();
          giveBack = () => {};
          [, giveBack] = await ownTurns.acquire();
        }
        if (stopped || !availability.available || stop.signal.aborted) return;
        memory = options.memory.reserve(job.owner, job.bytes);
        const attemptId = randomUUID();
        const claimed = await store.claim(job.id, attemptId, LEASE_MS);
        if (claimed === undefined) return;
        run.attemptId = attemptId;
        onChange(job.id);
        const begun = performance.now();
        if (hold !== undefined) run.entry = usageOf?.begin(claimed, caller, hold);
        const gotSlotAt = waitedFrom + slot.waitedMs;
        const { id, path, headers } = claimed;
        const trace = options.tracing?.job({ id, owner: job.owner, lane, path, headers, waitedFrom, gotSlotAt });
        const traced = <T>(work: () => T): T => (trace === undefined ? work() : trace.run(work));
        const reserved = memory;
        const ending = await traced(() => attempt(claimed, caller, run, reserved));
        if (!job.work) giveBack = () => settleSlot(slot, ending, claimed);
        if (ending.kind === "answer") onUsage(lane, claimed.owner, ending.usage);
        const ms = performance.now() - begun;
        commit = async () => {
          await recordRun({ job: claimed, ending, run, slot, begun, ms });
          const settled = await traced(() => settle(claimed, ending, ms, stop.signal));
          trace?.end(settled);
        };
      } finally {
        giveBack(); // the model server is free, even if the store is slow
      }
      await commit();
    } catch (cause) {
      if (cause instanceof ClientDisconnected || stopped) return;
      log.warn({ job: job.id, reason: reason(cause) }, "a job could not be started; it waits");
      await new Promise((resolve) => setTimeout(resolve, storeRetryMs));
    } finally {
      memory?.release();
    }
  }

  async function recordRun({ job, ending, run, slot: { waitedMs }, begun, ms }: EndedRun): Promise<void> {
    const { entry, meter, firstAt } = run;
    if (entry === undefined) return;
    const firstMs = firstAt === undefined ? undefined : firstAt - begun;
    await usageOf?.ended(entry, { job, ending, usage: meter?.usage(), waitedMs, firstMs, ms });
  }

  async function attempt(job: ClaimedJob, caller: Caller, run: Run, memory: Reservation): Promise<Ending> {
    const body = Buffer.from(job.body.buffer, job.body.byteOffset, job.body.length);
    const { signal } = run.stop;
    const late = setTimeout(() => run.stop.abort("timed_out" satisfies StopReason), options.attemptMs());
    try {
      if (options.ownWork !== undefined && WORK_HEADER in job.headers) {
        const answer = await options.ownWork(job, caller, { signal, memory, usage: run.entry });
        return { kind: "answer", answer, usage: NO_USAGE };
      }
      const dialect = dialectOf(job.path);
      run.meter = new Meter(dialect.usage);
      const collected = await collectAnswer(
        upstream,
        {
          method: "POST",
          target: job.path + job.query,
          headers: { ...job.headers },
          body,
          signal: run.stop.signal,
          dialect,
        },
        MAX_ANSWER_BYTES,
        memory,
        (bytes) => {
          run.firstAt ??= performance.now();
          run.received += bytes;
        },
        options.ruleOf?.(job.path, body),
        run.meter,
      );
      options.onAnswer?.(job, collected.answer.body);
      return { kind: "answer", ...collected };
    } catch (cause) {
      if (run.stop.signal.aborted) return { kind: "stopped", reason: run.stop.signal.reason as StopReason };
      return { kind: "failed", cause };
    } finally {
      clearTimeout(late);
    }
  }

  /**
   * Stores the end of an attempt; retries until the store accepts it, since the work is done. An answer that does not fit on
   * the disk is dropped after some tries, and its job fails. @returns the outcome; undefined if nothing was stored
   */
  async function settle(job: ClaimedJob, ending: Ending, ms: number, signal: AbortSignal): Promise<string | undefined> {
    const { id, lane, attemptId } = job;
    const decided = dispositionOf(ending);
    if (decided.kind === "nothing") return undefined;
    if (decided.kind === "fail_attempt" && decided.down) availability.markUnavailable();
    let answer = ending.kind === "answer" ? ending.answer : undefined;
    const write = async (): Promise<string> => {
      if (decided.kind === "finish") {
        const kept =
          answer === undefined
            ? (await store.failForRoom(attemptId, "the disk is full")) && ("no_room" as const)
            : await store.finish(attemptId, answer);
        if (kept === true && answer!.status < 400) mean[lane] = (mean[lane] ?? ms) + (ms - (mean[lane] ?? ms)) / MEMORY;
        if (kept === "no_room") log.error({ job: id }, "a job has failed: there is no room for its answer on the disk");
        return kept === true ? "answered" : kept === false ? "fenced" : kept;
      }
      const state = await store.failAttempt(attemptId, decided.outcome, decided.detail, decided.delayMs, answer);
      const { outcome, detail, reason: why = detail } = decided;
      log.warn({ job: id, outcome, detail: why, state }, "an attempt at a job ended");
      return state === undefined ? "fenced" : decided.outcome;
    };
    for (let tries = 1; ; tries += 1) {
      try {
        const outcome = await write();
        onEnd(lane, outcome, ms);
        onChange(id);
        return outcome;
      } catch (cause) {
        log.error({ job: id, reason: reason(cause) }, "the end of a job's run cannot be stored; trying again");
        if (stopped || signal.aborted || !(cause instanceof StoreFailed)) return undefined;
        if (cause.full && tries >= STORE_TRIES) answer = undefined; // from here on only the failure is stored
        const pauseMs = Math.min(storeRetryMs * 2 ** Math.max(0, tries - STORE_TRIES), LONGEST_RETRY_MS);
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  async function renew(): Promise<void> {
    const held = [...runs.values()].flatMap(({ attemptId }) => attemptId ?? []);
    if (held.length === 0) return;
    try {
      const still = new Set(await store.renew(held, LEASE_MS));
      for (const run of runs.values()) {
        const { attemptId } = run;
        if (attemptId === undefined || !held.includes(attemptId) || still.has(attemptId)) continue;
        run.stop.abort("lease_lost" satisfies StopReason);
      }
    } catch (cause) {
      log.warn({ reason: reason(cause) }, "leases of running jobs not renewed");
    }
  }

  async function sweep(): Promise<void> {
    try {
      while (!stopped && (await store.sweep()));
    } catch (cause) {
      log.warn({ reason: reason(cause) }, "old jobs not removed");
    }
  }

  const timers = [
    setInterval(() => LANES.forEach(wake), LOOK_MS),
    setInterval(() => void renew(), RENEW_MS),
    setInterval(() => void sweep(), SWEEP_MS),
  ];
  for (const timer of timers) timer.unref();
  void sweep();
  store.summary().then(
    ({ meanRunMs }) => {
      for (const lane of LANES) mean[lane] ??= meanRunMs[lane];
    },
    () => {}, // only an initial estimate
  );
  LANES.forEach(wake);

  return {
    wake,
    cancelled: (jobId) => runs.get(jobId)?.stop.abort("cancelled" satisfies StopReason),
    received: (jobId) => runs.get(jobId)?.received,
    taken: (lane) => [...runs.values()].filter((run) => run.lane === lane).length,
    meanRunMs: (lane) => mean[lane],
    get modelAvailable() {
      return availability.available;
    },
    callersChanged() {
      const names = new Set(options.callers().map(({ name }) => name));
      for (const { owner, stop } of runs.values()) {
        if (!names.has(owner)) stop.abort("caller_disabled" satisfies StopReason);
      }
      LANES.forEach(wake);
    },
    stop() {
      stopped = true;
      availability.close();
      for (const timer of timers) clearInterval(timer);
      // Jobs that queue for a slot leave the queue; the store still has them as queued.
      for (const { attemptId, stop } of runs.values()) {
        if (attemptId === undefined) stop.abort("stopping" satisfies StopReason);
      }
    },
    async idle(ms) {
      if (runs.size === 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    async interrupt() {
      for (const { stop } of runs.values()) stop.abort("stopping" satisfies StopReason);
      await this.idle(5000);
    },
  };
}

const newRun = (owner: string, lane: QueueName): Run => ({
  owner,
  lane,
  stop: new AbortController(),
  attemptId: undefined,
  received: 0,
  firstAt: undefined,
  meter: undefined,
  entry: undefined,
});

/** Releases a slot, charging the run's cost; see `Slot`. */
function settleSlot(slot: Slot, ending: Ending, { lane, body }: ClaimedJob): void {
  const cause = ending.kind === "failed" ? ending.cause : undefined;
  const notSent = cause instanceof RelayError && (cause.code === "model_unreachable" || cause.code === "model_down");
  if (notSent) slot.release(0);
  else if (ending.kind === "answer" && ending.answer.status < 400) {
    slot.release(usedTokens(lane, body.length, ending.usage));
  } else slot.abandon();
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
