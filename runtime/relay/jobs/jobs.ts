/**
 * Durable jobs. Guarantees:
 *
 * - An acknowledged job is synced to disk: it survives `kill -9` and a power cut.
 * - A job is run at least once. It is retried when the relay crashed or the model server dropped it, and fails after
 *   `maxAttempts` attempts with its history. Not counted as attempts: the model server being down, stops of the relay,
 *   disabling its caller, and the first reboot or power cut during it. Further ones count, since the job may cause them.
 * - One answer is committed, by the attempt that holds the job (its id is the fencing token), and never changes.
 * - A direct call is lost with its connection; repeated with the same Idempotency-Key, it gets the answer if the model
 *   server had finished it.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Registry } from "prom-client";
import type { RelayConfig } from "../../config.ts";
import type { Admission, QueueName } from "../admission/admission.ts";
import { backgroundSlots } from "../admission/queue.ts";
import { RelayError } from "../errors.ts";
import type { Router } from "../http/router.ts";
import type { MemoryBudget } from "../memory/budget.ts";
import { answerRule } from "../model/answer-rules.ts";
import { responseIdIn } from "../model/response-id.ts";
import type { Upstream } from "../model/upstream.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tracing } from "../telemetry/trace.ts";
import { createReopener } from "../threads/reopener.ts";
import type { Usages } from "../usage/entry.ts";
import type { Usage } from "../usage/usage.ts";
import { bootId } from "./boot-id.ts";
import { type Changes, createChanges } from "./changes.ts";
import { createJobMetrics, type JobMetrics } from "./metrics.ts";
import type { OwnWork } from "./own-work.ts";
import { type Runner, startRunner } from "./runner.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import { type JobRecord, type JobStore, type Recovered, StoreFailed, type StoreLimits } from "./store.ts";
import { jobUsage } from "./usage.ts";
import type { Live } from "./views.ts";

export interface JobsOptions {
  readonly config: RelayConfig;
  readonly log: Log;
  /** Undefined: traces are off. */
  readonly tracing?: Tracing | undefined;
  /** Wraps the store. @default not at all */
  readonly observeStore?: ((store: JobStore) => JobStore) | undefined;
  readonly registry: Registry;
  readonly upstream: Upstream;
  readonly router: Pick<Router, "dialectOf" | "modelCall">;
  readonly admission: Pick<Admission, "acquire" | "expectedWaitMs">;
  /** Called with the token usage of each job's answer. */
  readonly onUsage: (lane: QueueName, owner: string, usage: Usage) => void;
  /** Told of the ids of responses that the model server keeps. */
  readonly onResponse?: (owner: string, id: string) => void;
  readonly memory: Pick<MemoryBudget, "reserve">;
  /** Ledger and quotas. @default none */
  readonly usages?: Usages | undefined;
  /** Does the jobs that are work of the relay itself. */
  readonly ownWork?: OwnWork;
  /** Id of this boot of the machine. @default the kernel's */
  readonly boot?: string;
  /** Checks the whole file first, after an unclean shutdown. @default false */
  readonly check?: boolean;
  /** Pause before the store is reopened, in ms; doubled each time, up to 30 s. @default 1000 */
  readonly reopenMs?: number;
}

/** Store, runner and waiters. */
export interface Jobs {
  /** False while the store is unavailable: the relay serves without jobs, and is not ready. */
  readonly available: boolean;
  /** The store. Throws `jobs_unavailable`. */
  readonly store: JobStore;
  /** What was running when the relay last ended without giving it back. */
  readonly recovered: Recovered;
  readonly changes: Changes;
  readonly metrics: JobMetrics;
  wake(lane: QueueName): void;
  cancelled(jobId: string): void;
  /** Ids of running direct calls that have claimed their Idempotency-Key. */
  readonly directCalls: Set<string>;
  /** Callers or limits of the config have changed: updates the disk quota, and ends runs of disabled callers. */
  configChanged(): void;
  live(job: JobRecord): Live;
  /** Starts no more jobs, and ends the waits for changes. */
  stop(): void;
  /** Resolves when no job is running, or after `ms`. */
  idle(ms: number): Promise<void>;
  /** Requeues what is still running, without counting an attempt, and closes the store. */
  close(): Promise<void>;
}

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;
/** A relay that hands over cuts its calls at the end of the grace period, and exits a little later. */
const HAND_OVER_MARGIN_MS = 10_000;

/**
 * Opens the store and starts the runner. Never rejects: while the store is unavailable `available` is false, and opening it
 * is retried until it succeeds.
 */
export async function openJobs(options: JobsOptions): Promise<Jobs> {
  const { config, log, registry, admission } = options;
  const changes = createChanges();
  let open: OpenStore | undefined;
  const metrics = createJobMetrics(registry, async () => {
    try {
      return await open?.store.summary();
    } catch {
      return undefined; // the other metrics must not fail with these
    }
  });
  const enabled = () => config.callers.filter((caller) => caller.enabled);
  const names = () => enabled().map(({ name }) => name);
  const directCalls = new Set<string>();
  const boot = options.boot ?? bootId();
  const instance = randomUUID();
  let { check = false } = options;

  const openOnce = async (onFail: (cause: Error) => void): Promise<OpenStore> => {
    const opened = await openSqliteStore(
      {
        file: join(config.dataDir, "jobs.db"),
        ...storeLimits(config.jobs),
        callers: names(),
        boot,
        instance,
        runningCalls: [...directCalls],
        foreignCallsMs: config.graceSeconds * 1000 + HAND_OVER_MARGIN_MS,
        ...(check && { check: true }),
      },
      metrics.onCommit,
      onFail,
    );
    check = false;
    const store = options.observeStore?.(opened) ?? opened;
    const runner = startRunner({
      store,
      upstream: options.upstream,
      admission,
      memory: options.memory,
      callers: enabled,
      limits: () => config.limits,
      dialectOf: options.router.dialectOf,
      ruleOf: (path, body) => {
        const route = options.router.modelCall(path);
        return route && answerRule({ route, method: "POST", body, model: config.model });
      },
      ownWork: options.ownWork,
      ownWorkAtOnce: Math.max(1, backgroundSlots(config.limits.embeddings, config.jobs.slots)),
      attemptMs: () => config.jobs.attemptMinutes * 60_000,
      log,
      tracing: options.tracing,
      onChange: changes.changed,
      onUsage: options.onUsage,
      onAnswer: ({ owner, path }, body) => {
        const id = options.router.modelCall(path)?.makesResponse === true ? responseIdIn(body) : undefined;
        if (id !== undefined) options.onResponse?.(owner, id);
      },
      onEnd: metrics.ended,
      usageOf: options.usages && jobUsage(options.usages, options.router),
    });
    return { store, runner };
  };
  const reopener = createReopener<OpenStore>({
    open: openOnce,
    onOpen: (opened) => {
      open = opened;
    },
    onFail: (cause, isNew) => {
      if (isNew) {
        log.error({ reason: cause.message, err: cause.cause }, "the job store cannot be used; serving without jobs");
      }
      open?.runner.stop();
      void open?.runner.interrupt();
      open = undefined;
    },
    onReopen: () => log.info("the job store can be used again"),
    pauseMs: options.reopenMs,
  });
  await reopener.start();

  const jobs: Jobs = {
    recovered: open?.store.recovered ?? { again: [], failed: [] },
    changes,
    metrics,
    directCalls,
    get available() {
      return open !== undefined;
    },
    get store() {
      if (open === undefined) throw unavailable("the store is not open");
      return open.store;
    },
    wake: (lane) => open?.runner.wake(lane),
    cancelled: (jobId) => open?.runner.cancelled(jobId),
    configChanged() {
      // A failure here is a failure of the store's thread, which is reported and reopened.
      open?.store.setCallers(names()).catch(() => {});
      open?.store.setLimits(storeLimits(config.jobs)).catch(() => {});
      open?.runner.callersChanged();
    },
    live: (job) => ({
      maxAttempts: config.jobs.maxAttempts,
      expectedWaitMs:
        open && expectedWait(job, open.runner, backgroundSlots(config.limits[job.lane], config.jobs.slots), admission),
      receivedBytes: open?.runner.received(job.id),
    }),
    stop() {
      reopener.stop();
      open?.runner.stop();
      changes.close();
    },
    idle: async (ms) => open?.runner.idle(ms),
    async close() {
      jobs.stop();
      await reopener.settled();
      await open?.runner.interrupt();
      await open?.store.close();
      open = undefined;
    },
  };
  return jobs;
}

interface OpenStore {
  readonly store: JobStore;
  readonly runner: Runner;
}

function storeLimits({ retentionDays, maxDiskMiB, minFreeMiB, maxAttempts }: RelayConfig["jobs"]): StoreLimits {
  return {
    retentionMs: retentionDays * DAY_MS,
    maxBytes: maxDiskMiB * MIB,
    minFreeBytes: minFreeMiB * MIB,
    maxAttempts,
  };
}

/** Wait in the admission queue plus that of the jobs still on disk, in ms. @param slots that jobs can hold */
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
  return new RelayError("jobs_unavailable", "The job store is unavailable.", {
    headers: { "Retry-After": "5" },
    detail,
  });
}

/** Maps a failure of the store to `jobs_unavailable` or `disk_low`; the reason is logged. */
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
