/**
 * The durable jobs of the relay. What is promised:
 *
 * - A job that was acknowledged is on the disk, synced: it survives `kill -9` and a power cut.
 * - A job is run at least once. One that ran when the relay crashed, or that the model server dropped, is run again; after
 *   `maxAttempts` such ends it has failed and keeps its history. The model server being down, stops of the relay, and
 *   reboots or power cuts of the machine use up no attempt.
 * - One answer is committed, by the attempt that holds the job (its id is the fence), and never changes after.
 * - A call that is no job is lost with its connection; sent again with the same Idempotency-Key, it gets the answer if the
 *   model server had finished it.
 */

import { join } from "node:path";
import type { Registry } from "prom-client";
import type { RelayConfig } from "../../config.ts";
import type { Admission, QueueName } from "../admission/admission.ts";
import { backgroundSlots } from "../admission/queue.ts";
import { RelayError } from "../errors.ts";
import type { Router } from "../http/router.ts";
import type { MemoryBudget } from "../memory/budget.ts";
import { answerRules } from "../model/answer-rules.ts";
import { responseIdIn } from "../model/response-id.ts";
import type { Upstream } from "../model/upstream.ts";
import type { Log } from "../telemetry/log.ts";
import type { Usage } from "../usage/usage.ts";
import { bootId } from "./boot-id.ts";
import { type Changes, createChanges } from "./changes.ts";
import { createJobMetrics, type JobMetrics } from "./metrics.ts";
import { type Runner, startRunner } from "./runner.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import { type JobRecord, type JobStore, type Recovered, StoreFailed } from "./store.ts";
import type { Live } from "./views.ts";

export interface JobsOptions {
  readonly config: RelayConfig;
  readonly log: Log;
  readonly registry: Registry;
  readonly upstream: Upstream;
  readonly router: Pick<Router, "dialectOf" | "modelCall">;
  readonly admission: Pick<Admission, "acquire" | "expectedWaitMs">;
  /** Told of the tokens that a job's answer says it used. */
  readonly onUsage: (lane: QueueName, owner: string, usage: Usage) => void;
  /** Told of the ids of responses that the model server keeps. */
  readonly onResponse?: (owner: string, id: string) => void;
  readonly memory: Pick<MemoryBudget, "reserve">;
  /** Names this run of the machine. @default the kernel's name for it */
  readonly boot?: string;
  /** Looks the file through first: the last run was not stopped. @default false */
  readonly check?: boolean;
}

/** Store, runner and those who wait, put together. */
export interface Jobs {
  /** False if the store could not be opened or has failed: the relay serves without jobs, and is not ready. */
  readonly available: boolean;
  /** The store. Throws `jobs_unavailable`. */
  readonly store: JobStore;
  /** What ran when the relay last ended, without having been given back. */
  readonly recovered: Recovered;
  readonly changes: Changes;
  readonly metrics: JobMetrics;
  wake(lane: QueueName): void;
  cancelled(jobId: string): void;
  /** The callers of the config have changed, and with them the parts of the disk. */
  callersChanged(): void;
  live(job: JobRecord): Live;
  /** Starts no job any more and lets go of all who wait for one. */
  stop(): void;
  /** Resolves when no job runs, or after `ms`. */
  idle(ms: number): Promise<void>;
  /** Gives back what still runs, at no cost of an attempt, and closes the store. */
  close(): Promise<void>;
}

const MIB = 1024 * 1024;

/** Opens the store and starts the runner. Never rejects: a store that can not be used is logged, and `available` is false. */
export async function openJobs(options: JobsOptions): Promise<Jobs> {
  const { config, log, registry, upstream, admission, memory } = options;
  const { jobs: limits, dataDir } = config;
  const changes = createChanges();
  let store: JobStore | undefined;
  let runner: Runner | undefined;
  const metrics = createJobMetrics(registry, async () => {
    try {
      return await store?.summary();
    } catch {
      return undefined; // the metrics of everything else must not fail with it
    }
  });
  const enabled = () => config.callers.filter((caller) => caller.enabled);
  const names = () => enabled().map(({ name }) => name);
  const fail = (cause: Error) => {
    log.error({ reason: cause.message, err: cause.cause }, "the job store can not be used; serving without jobs");
    runner?.stop();
    store = undefined;
  };
  try {
    store = await openSqliteStore(
      {
        file: join(dataDir, "jobs.db"),
        retentionMs: limits.retentionDays * 86_400_000,
        maxBytes: limits.maxDiskMiB * MIB,
        minFreeBytes: limits.minFreeMiB * MIB,
        maxAttempts: limits.maxAttempts,
        callers: names(),
        boot: options.boot ?? bootId(),
        ...(options.check && { check: true }),
      },
      metrics.onCommit,
      fail,
    );
    runner = startRunner({
      store,
      upstream,
      admission,
      memory,
      callers: enabled,
      limits: () => config.limits,
      dialectOf: options.router.dialectOf,
      ruleOf: (path, body) => {
        const route = options.router.modelCall(path);
        return route && answerRules({ route, method: "POST", body, model: config.model });
      },
      attemptMs: limits.attemptMinutes * 60_000,
      log,
      onChange: changes.changed,
      onUsage: options.onUsage,
      onAnswer: ({ owner, path }, body) => {
        const id = options.router.modelCall(path)?.makesResponse === true ? responseIdIn(body) : undefined;
        if (id !== undefined) options.onResponse?.(owner, id);
      },
      onEnd: metrics.ended,
    });
  } catch (cause) {
    fail(cause instanceof Error ? cause : new Error(String(cause)));
  }

  const jobs: Jobs = {
    recovered: store?.recovered ?? { again: [], failed: [] },
    changes,
    metrics,
    get available() {
      return store !== undefined;
    },
    get store() {
      if (store === undefined) throw unavailable("the store is not open");
      return store;
    },
    wake: (lane) => runner?.wake(lane),
    cancelled: (jobId) => runner?.cancelled(jobId),
    callersChanged() {
      // The store fails by itself then, and says so.
      store?.setCallers(names()).catch(() => {});
    },
    live: (job) => ({
      maxAttempts: limits.maxAttempts,
      expectedWaitMs:
        runner && expectedWait(job, runner, backgroundSlots(config.limits[job.lane], limits.slots), admission),
      receivedBytes: runner?.received(job.id),
    }),
    stop() {
      runner?.stop();
      changes.close();
    },
    idle: async (ms) => runner?.idle(ms),
    async close() {
      jobs.stop();
      await runner?.interrupt();
      await store?.close();
      store = undefined;
    },
  };
  return jobs;
}

/** The slots' own queue, and before it the jobs that do not queue there yet. @param slots that jobs can hold */
function expectedWait(
  { lane, ahead = 0 }: JobRecord,
  runner: Runner,
  slots: number,
  admission: Pick<Admission, "expectedWaitMs">,
): number | undefined {
  if (!runner.modelAvailable) return undefined;
  const behind = Math.max(0, ahead - runner.taken(lane));
  const mean = runner.meanRunMs(lane);
  if (behind > 0 && mean === undefined) return undefined;
  return admission.expectedWaitMs(lane) + (behind * (mean ?? 0)) / slots;
}

function unavailable(detail: string): RelayError {
  return new RelayError("jobs_unavailable", "The relay can not get at its jobs at the moment.", {
    headers: { "Retry-After": "5" },
    detail,
  });
}

/** What goes wrong in the store is told to the caller as `jobs_unavailable`; the reason goes to the log. */
export async function fromStore<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof StoreFailed && cause.full) {
      throw new RelayError("disk_low", "The Mac's disk is full, so nothing more is stored.", { detail: cause.message });
    }
    throw cause instanceof StoreFailed ? unavailable(cause.message) : cause;
  }
}
