/**
 * Runs jobs: takes them from the store as slots become free, sends each to the model server, commits its answer. Only a few
 * jobs per company and caller queue for a slot at a time, so that slots are shared and memory stays small.
 */
import { randomUUID } from "node:crypto";
import { Semaphore } from "async-mutex";
import type { Caller } from "../../config.ts";
import type { Limits } from "../../limits-config.ts";
import type { Admission, QueueName, Slot } from "../admission/admission.ts";
import { ClientDisconnected } from "../http/body.ts";
import type { MemoryBudget, Reservation } from "../memory/budget.ts";
import type { Upstream } from "../model/upstream.ts";
import type { Tracing } from "../telemetry/trace.ts";
import type { QuotaHold } from "../usage/quota-hold.ts";
import type { Usage } from "../usage/usage.ts";
import { watchAvailability } from "./availability.ts";
import type { Ending, StopReason } from "./disposition.ts";
import { attempt, newRun, type Run, type RunParts, settleSlot } from "./run.ts";
import { createSettler, reasonOf, type SettleParts, STORE_RETRY_MS } from "./settle.ts";
import type { ClaimedJob, JobStore, WaitingJob } from "./store.ts";
import { LEASE_MS, startUpkeep } from "./upkeep.ts";
import type { JobUsage } from "./usage.ts";

export interface RunnerOptions extends RunParts, SettleParts {
  readonly store: JobStore;
  readonly upstream: Pick<Upstream, "forward" | "look" | "breaker">;
  readonly admission: Pick<Admission, "acquire">;
  /** Accounts for bodies and answers of running jobs. */
  readonly memory: Pick<MemoryBudget, "reserve">;
  /** Owners whose jobs may run now. */
  readonly callers: () => readonly Caller[];
  /** The current limits. */
  readonly limits: () => Limits;
  /** Jobs of that kind that run at a time; the others wait. @default 1 */
  readonly ownWorkAtOnce?: number;
  /** Undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
  /** Called whenever a job has changed. */
  readonly onChange: (jobId: string) => void;
  /** Called at the end of each run that got an answer, with its token usage. */
  readonly onUsage: (lane: QueueName, owner: string, usage: Usage) => void;
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
/** Polling interval for jobs that wait for their next attempt; everything else wakes the runner. */
const LOOK_MS = 1000;

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
  const { store, upstream, admission, limits, log, onChange, onUsage, usageOf } = options;
  const { storeRetryMs = STORE_RETRY_MS } = options;
  const runs = new Map<string, Run>();
  const looking: Record<QueueName, "no" | "yes" | "again"> = { chat: "no", embeddings: "no" };
  const ownTurns = new Semaphore(options.ownWorkAtOnce ?? 1);
  let stopped = false;
  let onIdle: (() => void) | undefined;
  const availability = watchAvailability(upstream, () => LANES.forEach(wake));
  const settler = createSettler(options, {
    onModelDown: () => availability.markUnavailable(),
    isStopped: () => stopped,
  });

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
      log.warn({ reason: reasonOf(cause) }, "the waiting jobs cannot be read");
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
        const ending = await traced(() => attempt(claimed, caller, run, reserved, options));
        if (!job.work) giveBack = () => settleSlot(slot, ending, claimed);
        if (ending.kind === "answer") onUsage(lane, claimed.owner, ending.usage);
        const ms = performance.now() - begun;
        commit = async () => {
          await recordRun({ job: claimed, ending, run, slot, begun, ms });
          const settled = await traced(() => settler.settle(claimed, ending, ms, stop.signal));
          trace?.end(settled);
        };
      } finally {
        giveBack(); // the model server is free, even if the store is slow
      }
      await commit();
    } catch (cause) {
      if (cause instanceof ClientDisconnected || stopped) return;
      log.warn({ job: job.id, reason: reasonOf(cause) }, "a job could not be started; it waits");
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

  const timer = setInterval(() => LANES.forEach(wake), LOOK_MS).unref();
  const stopUpkeep = startUpkeep(store, () => runs.values(), log);
  LANES.forEach(wake);

  return {
    wake,
    cancelled: (jobId) => runs.get(jobId)?.stop.abort("cancelled" satisfies StopReason),
    received: (jobId) => runs.get(jobId)?.received,
    taken: (lane) => [...runs.values()].filter((run) => run.lane === lane).length,
    meanRunMs: settler.meanRunMs,
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
      clearInterval(timer);
      stopUpkeep();
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
