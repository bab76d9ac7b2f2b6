/** Stores how runs end, however often the store must be asked, and keeps the mean of their times. */
import type { QueueName } from "../admission/admission.ts";
import type { Log } from "../telemetry/log.ts";
import { dispositionOf, type Ending } from "./disposition.ts";
import { type ClaimedJob, type JobStore, StoreFailed } from "./store.ts";

export interface SettleParts {
  readonly store: Pick<JobStore, "finish" | "failForRoom" | "failAttempt" | "summary">;
  readonly log: Log;
  /** Pause before the store is retried, in ms. @default 2 s */
  readonly storeRetryMs?: number;
  readonly onChange: (jobId: string) => void;
  readonly onEnd: (lane: QueueName, outcome: string, ms: number) => void;
}

export interface Settling {
  /** Called when the model server turns out to be unavailable. */
  readonly onModelDown: () => void;
  /** Whether the relay stops: nothing is retried any more. */
  readonly isStopped: () => boolean;
}

export interface Settler {
  /**
   * Stores the end of an attempt; retries until the store accepts it, since the work is done. An answer that does not fit on
   * the disk is dropped after some tries, and its job fails. @returns the outcome; undefined if nothing was stored
   */
  settle(job: ClaimedJob, ending: Ending, ms: number, signal: AbortSignal): Promise<string | undefined>;
  /** Mean time of a run that was answered, in ms; undefined before the first. */
  meanRunMs(lane: QueueName): number | undefined;
}

const LANES: readonly QueueName[] = ["chat", "embeddings"];
export const STORE_RETRY_MS = 2000;
/** How often storing an answer is tried while the store is full; then its job fails. */
const STORE_TRIES = 5;
/** Longest pause between two tries to store the end of an attempt. */
const LONGEST_RETRY_MS = 30_000;
/** Run times are averaged over about this many jobs. */
const MEMORY = 20;

export function createSettler(
  { store, log, storeRetryMs = STORE_RETRY_MS, onChange, onEnd }: SettleParts,
  { onModelDown, isStopped }: Settling,
): Settler {
  const mean: Partial<Record<QueueName, number>> = {};
  store.summary().then(
    ({ meanRunMs }) => {
      for (const lane of LANES) mean[lane] ??= meanRunMs[lane];
    },
    () => {}, // only an initial estimate
  );
  return {
    meanRunMs: (lane) => mean[lane],
    async settle(job, ending, ms, signal) {
      const { id, lane, attemptId } = job;
      const decided = dispositionOf(ending);
      if (decided.kind === "nothing") return undefined;
      if (decided.kind === "fail_attempt" && decided.down) onModelDown();
      let answer = ending.kind === "answer" ? ending.answer : undefined;
      const write = async (): Promise<string> => {
        if (decided.kind === "finish") {
          const kept =
            answer === undefined
              ? (await store.failForRoom(attemptId, "the disk is full")) && ("no_room" as const)
              : await store.finish(attemptId, answer);
          if (kept === true && answer!.status < 400)
            mean[lane] = (mean[lane] ?? ms) + (ms - (mean[lane] ?? ms)) / MEMORY;
          if (kept === "no_room")
            log.error({ job: id }, "a job has failed: there is no room for its answer on the disk");
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
          log.error({ job: id, reason: reasonOf(cause) }, "the end of a job's run cannot be stored; trying again");
          if (isStopped() || signal.aborted || !(cause instanceof StoreFailed)) return undefined;
          if (cause.full && tries >= STORE_TRIES) answer = undefined; // from here on only the failure is stored
          const pauseMs = Math.min(storeRetryMs * 2 ** Math.max(0, tries - STORE_TRIES), LONGEST_RETRY_MS);
          await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
      }
    },
  };
}

/** What went wrong, for the log. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
