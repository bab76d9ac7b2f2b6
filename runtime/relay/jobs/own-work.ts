/**
 * Jobs that are not one call to the model server but work of the relay itself, such as storing a document. They take slots
 * call by call, as that work does without a job.
 */
import type { Caller } from "../../config.ts";
import type { Reservation } from "../memory/budget.ts";
import type { UsageEntry } from "../usage/entry.ts";
import type { ClaimedJob, StoredAnswer } from "./store.ts";

/**
 * Names the work among the stored headers of such a job. No request can set it: of a request's headers only those for the
 * model server are stored. A release that does not know it sends the job to the model server, whose 404 is then the result.
 */
export const WORK_HEADER = "slm-work";

/** Longest answer of a job, in bytes; it is kept whole in memory. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/**
 * Does the work of a job once. A refusal that a repetition would not change is an answer too. Rejects with a RelayError for
 * what may succeed later, and when `signal` aborts. @param memory of the job's owner; grows with what the work holds
 * @param usage where what it uses is added
 */
export type OwnWork = (
  job: ClaimedJob,
  caller: Caller,
  run: { readonly signal: AbortSignal; readonly memory: Reservation; readonly usage?: UsageEntry | undefined },
) => Promise<StoredAnswer>;
