/** One run of a job: its call to the model server, or the relay's own work. */
import type { Caller } from "../../config.ts";
import { type QueueName, type Slot, usedTokens } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { AnswerRule } from "../http/answer-rewriter.ts";
import type { Router } from "../http/router.ts";
import type { Reservation } from "../memory/budget.ts";
import type { Upstream } from "../model/upstream.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { Meter, type Usage } from "../usage/usage.ts";
import { collectAnswer } from "./capture.ts";
import type { Ending, StopReason } from "./disposition.ts";
import { MAX_ANSWER_BYTES, type OwnWork, WORK_HEADER } from "./own-work.ts";
import type { ClaimedJob } from "./store.ts";

/** Of the relay's own work: its calls to the model server have been counted one by one. */
const NO_USAGE: Usage = { prompt: undefined, output: undefined };

/** A job that queues for a slot or runs. */
export interface Run {
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

export const newRun = (owner: string, lane: QueueName): Run => ({
  owner,
  lane,
  stop: new AbortController(),
  attemptId: undefined,
  received: 0,
  firstAt: undefined,
  meter: undefined,
  entry: undefined,
});

/** What a run works with. */
export interface RunParts {
  readonly upstream: Pick<Upstream, "forward">;
  /** The API that a path belongs to. */
  readonly dialectOf: Router["dialectOf"];
  /** Told of each answer that a job got. */
  readonly onAnswer?: (job: ClaimedJob, body: Uint8Array) => void;
  /** How the model server's answer to a call is rewritten. @default not at all */
  readonly ruleOf?: (path: string, body: Buffer) => AnswerRule | undefined;
  /** Does jobs that are work of the relay itself. Absent: there are none. */
  readonly ownWork?: OwnWork | undefined;
  /** Longest time of an attempt, in ms. */
  readonly attemptMs: () => number;
}

/** Never rejects. */
export async function attempt(
  job: ClaimedJob,
  caller: Caller,
  run: Run,
  memory: Reservation,
  parts: RunParts,
): Promise<Ending> {
  const body = Buffer.from(job.body.buffer, job.body.byteOffset, job.body.length);
  const { signal } = run.stop;
  const late = setTimeout(() => run.stop.abort("timed_out" satisfies StopReason), parts.attemptMs());
  try {
    if (parts.ownWork !== undefined && WORK_HEADER in job.headers) {
      const answer = await parts.ownWork(job, caller, { signal, memory, usage: run.entry });
      return { kind: "answer", answer, usage: NO_USAGE };
    }
    const dialect = parts.dialectOf(job.path);
    run.meter = new Meter(dialect.usage);
    const collected = await collectAnswer(
      parts.upstream,
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
      parts.ruleOf?.(job.path, body),
      run.meter,
    );
    parts.onAnswer?.(job, collected.answer.body);
    return { kind: "answer", ...collected };
  } catch (cause) {
    if (run.stop.signal.aborted) return { kind: "stopped", reason: run.stop.signal.reason as StopReason };
    return { kind: "failed", cause };
  } finally {
    clearTimeout(late);
  }
}

/** Releases a slot, charging the run's cost; see `Slot`. */
export function settleSlot(slot: Slot, ending: Ending, { lane, body }: ClaimedJob): void {
  const cause = ending.kind === "failed" ? ending.cause : undefined;
  const notSent = cause instanceof RelayError && (cause.code === "model_unreachable" || cause.code === "model_down");
  if (notSent) slot.release(0);
  else if (ending.kind === "answer" && ending.answer.status < 400) {
    slot.release(usedTokens(lane, body.length, ending.usage));
  } else slot.abandon();
}
