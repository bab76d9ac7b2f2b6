/**
 * Storage interface for jobs; implemented by SQLite on the Mac (`sqlite-store.ts`). Every method is one atomic operation, and
 * its promise resolves only when that would survive a power cut. A store that several relays share claims jobs with leases;
 * only the holder of the attempt's id may end the attempt (fencing).
 */
import type { QueueName } from "../admission/admission.ts";

/** `completed`, `failed` and `cancelled` are final: such a job never changes. */
export type JobState = "queued" | "in_progress" | "completed" | "failed" | "cancelled";

/** How an attempt ended. */
export type AttemptOutcome =
  | "answered"
  | "cancelled"
  /** The model server answered 408, 429 or 5xx. */
  | "model_error"
  | "model_broke_off"
  | "timed_out"
  | "relay_crashed"
  /** Its owner's requests held so much memory that the answer did not fit. */
  | "memory_full"
  /** The answer did not fit on the disk, or into its owner's part of it. */
  | "no_room"
  /** The following are not the job's fault, so they do not count as attempts. */
  | "model_unreachable"
  | "relay_stopped"
  | "machine_restarted"
  | "lease_lost"
  | "caller_disabled"
  /** A quota of its caller or company was used up. */
  | "quota_spent";

/** Whether this outcome counts as an attempt. */
export function usesUp(outcome: AttemptOutcome): boolean {
  return ![
    "model_unreachable",
    "relay_stopped",
    "machine_restarted",
    "lease_lost",
    "caller_disabled",
    "quota_spent",
  ].includes(outcome);
}

export interface Attempt {
  readonly id: string;
  /** ms since 1970, as are all times here. */
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  /** undefined while it runs. */
  readonly outcome: AttemptOutcome | undefined;
  readonly detail: string | undefined;
  /** Whether it counts towards `maxAttempts`. */
  readonly counted: boolean;
}

/** A job to be stored: one request to the model server. */
export interface NewJob {
  /** 32 hex digits. */
  readonly id: string;
  /** Name of the caller; only it can see the job. */
  readonly owner: string;
  /** The company the request named, normalised; for fairness among the owner's companies. */
  readonly company?: string | undefined;
  readonly lane: QueueName;
  /** Path as received: an Idempotency-Key belongs to one owner and path. */
  readonly path: string;
  /** The query with its `?`, or "". */
  readonly query: string;
  /** For the model server, already filtered. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Of query and body as sent, in hex: tells whether a repeated key comes with the same request. */
  readonly requestSha256: string;
  readonly estimatedTokens: number;
  readonly idempotencyKey: string | undefined;
  /** JSON of the parameters that an OpenAI Response object repeats; undefined for other jobs. */
  readonly requestParameters: string | undefined;
  /** The caller's notes, see `metadata.ts`. */
  readonly metadata?: JobMetadata | undefined;
}

/** The caller's notes on a job: names and texts. */
export type JobMetadata = Readonly<Record<string, string>>;

/** Which of an owner's jobs to list, the newest first. */
export interface JobListing {
  /** @default every state */
  readonly state?: JobState | undefined;
  /** Only jobs that came before this one, by id. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** A whole answer of the model server. */
export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array;
  /** Of `body`, in hex; checked at every read. */
  readonly sha256: string;
}

/** A stored answer without its body. */
export interface AnswerHead extends Pick<StoredAnswer, "status" | "headers" | "sha256"> {
  readonly bytes: number;
  /** The body is read in pieces of this length; the last one may be shorter. */
  readonly pieceBytes: number;
}

/** A stored job. */
export interface JobRecord {
  readonly id: string;
  readonly owner: string;
  readonly lane: QueueName;
  readonly path: string;
  readonly state: JobState;
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  /** When it expires, finished or not. */
  readonly expiresAt: number;
  /** Older jobs of the lane that still wait; undefined unless queued. */
  readonly ahead: number | undefined;
  readonly attempts: readonly Attempt[];
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly answer: { readonly status: number; readonly bytes: number; readonly sha256: string } | undefined;
  readonly requestSha256: string;
  readonly requestParameters: string | undefined;
  readonly metadata: JobMetadata | undefined;
}

/** Who cancelled a job; its owner sees that, and not the operator's name. */
export type CancelledBy = "owner" | "operator";

/** A job in short, without anything that its caller wrote but the company's name. */
export interface JobSummary
  extends Pick<JobRecord, "id" | "owner" | "lane" | "path" | "state" | "createdAt" | "startedAt" | "finishedAt"> {
  readonly company: string | undefined;
  readonly errorCode: string | undefined;
}

/** A job that is due. */
export interface WaitingJob {
  readonly id: string;
  readonly owner: string;
  /** The flow it waits in: its company, `NO_COMPANY` or `SHARED_FLOW` (see `admission/flow-tree.ts`). */
  readonly flow: string;
  /** The company its request named. */
  readonly company: string | null;
  readonly estimatedTokens: number;
  readonly bytes: number;
  /** What the relay does itself for this job (see `own-work.ts`); absent for a call to the model server. */
  readonly work?: string | null;
}

/** A job that is claimed until its lease ends. */
export interface ClaimedJob
  extends Omit<NewJob, "requestSha256" | "idempotencyKey" | "requestParameters" | "metadata"> {
  readonly attemptId: string;
}

/** Numbers of jobs, and recent run times. */
export interface StoreSummary {
  readonly counts: readonly { readonly state: JobState; readonly lane: QueueName; readonly jobs: number }[];
  /** Mean of the last runs that got an answer, in ms; undefined before the first. */
  readonly meanRunMs: Readonly<Record<QueueName, number | undefined>>;
  readonly diskBytes: number;
}

/** Why a write is refused: too little free disk space, the store's bound is reached, or the owner's part of it is. */
export type DiskRefusal =
  | { readonly kind: "disk_low"; readonly freeBytes: number }
  | { readonly kind: "store_full"; readonly usedBytes: number }
  | { readonly kind: "share_full"; readonly usedBytes: number; readonly shareBytes: number };

/**
 * What a repeated Idempotency-Key means. A key belongs to one owner, path and request; requests are compared by the hash of
 * query and body as sent. `existing`: a job or a kept answer of the same request; `running`: a direct call of the same
 * request has not ended; `mismatch`: the key was used for another request.
 */
export type KeyInUse =
  | { readonly kind: "existing"; readonly job: JobRecord }
  | { readonly kind: "running" }
  | { readonly kind: "mismatch" };

/** Result of `add`. */
export type Added = { readonly kind: "added"; readonly job: JobRecord } | KeyInUse | DiskRefusal;

/** Result of `claimKey`. */
export type KeyClaim = { readonly kind: "claimed" } | KeyInUse;

/** Limits of the config that can change while the store is open. */
export interface StoreLimits {
  readonly retentionMs: number;
  readonly maxBytes: number;
  readonly minFreeBytes: number;
  readonly maxAttempts: number;
}

/** What was running when the file was last open, by id: requeued, and failed because its attempts are used up. */
export interface Recovered {
  readonly again: readonly string[];
  readonly failed: readonly string[];
}

/** Every method rejects with StoreFailed if the store cannot do it; then nothing has changed. */
export interface JobStore {
  readonly recovered: Recovered;
  /** Sets the callers that share the disk. */
  setCallers(names: readonly string[]): Promise<void>;
  /** Sets the limits; stored jobs keep their expiry. */
  setLimits(limits: StoreLimits): Promise<void>;
  add(job: NewJob): Promise<Added>;
  /**
   * Claims the Idempotency-Key of a direct call until `keepAnswer` or `releaseKey`, also against a relay that takes over. The
   * claim of a process that has ended is void.
   */
  claimKey(call: Pick<NewJob, "id" | "owner" | "path" | "idempotencyKey" | "requestSha256">): Promise<KeyClaim>;
  /** Releases the claim of the call with this id. */
  releaseKey(callId: string): Promise<void>;
  /**
   * Keeps the answer of a direct call under its key for `keepMs`, and releases its claim. Keeps nothing if the key is taken, or
   * if a new job would be refused for lack of space.
   */
  keepAnswer(call: NewJob, answer: StoredAnswer, keepMs: number): Promise<void>;
  find(owner: string, id: string): Promise<JobRecord | undefined>;
  /** The owner's jobs, without kept answers of direct calls; undefined if `after` is not one of its jobs. */
  list(owner: string, listing: JobListing): Promise<readonly JobRecord[] | undefined>;
  /** Jobs of all owners, without kept answers: those that run or wait, then those that came last; at most `limit` of each. */
  latest(limit: number): Promise<readonly JobSummary[]>;
  /** A job of any owner, in short; undefined if there is none. */
  findAny(id: string): Promise<JobSummary | undefined>;
  /** The answer of a finished job; undefined if there is none. Rejects if it is damaged on the disk. */
  answer(owner: string, id: string): Promise<StoredAnswer | undefined>;
  /** The same without its body. */
  answerHead(owner: string, id: string): Promise<AnswerHead | undefined>;
  /**
   * A piece of the body; `from` is a multiple of the head's `pieceBytes`; undefined if the job has expired. The pieces have not
   * been checked against the head's checksum.
   */
  answerPiece(owner: string, id: string, from: number): Promise<Uint8Array | undefined>;
  /** The oldest jobs that are due, at most `perFlow` of each company of each owner. */
  waiting(lane: QueueName, owners: readonly string[], perFlow: number): Promise<readonly WaitingJob[]>;
  /** Starts an attempt; undefined if the job is not queued (any more). */
  claim(id: string, attemptId: string, leaseMs: number): Promise<ClaimedJob | undefined>;
  /** Extends the leases. @returns the attempts that are still held */
  renew(attemptIds: readonly string[], leaseMs: number): Promise<readonly string[]>;
  /**
   * Ends the attempt and the job with this answer. @returns false if the attempt is no longer held: then nothing changes;
   * "no_room" if the answer does not fit on the disk: then the job has failed with that error
   */
  finish(attemptId: string, answer: StoredAnswer): Promise<boolean | "no_room">;
  /** Ends the attempt, and fails the job for lack of space for its answer. @returns false if the attempt is no longer held */
  failForRoom(attemptId: string, detail: string): Promise<boolean>;
  /**
   * Ends the attempt without a result; the job is queued again, for at least `delayMs`, or fails if its attempts are used up
   * (with `answer`, if any, as its answer). @returns its state now; undefined if the attempt is not held
   */
  failAttempt(
    attemptId: string,
    outcome: AttemptOutcome,
    detail: string,
    delayMs: number,
    answer?: StoredAnswer,
  ): Promise<JobState | undefined>;
  /** Cancels a job that is not finished. @param by who does @returns the job as it is now; undefined if there is none */
  cancel(owner: string, id: string, by?: CancelledBy): Promise<JobRecord | undefined>;
  /** Removes a finished job and its answer. @returns false if there is no such job, or it is not finished */
  remove(owner: string, id: string): Promise<boolean>;
  /** Deletes expired jobs, frees expired leases. @returns whether there may be more */
  sweep(): Promise<boolean>;
  summary(): Promise<StoreSummary>;
  /** Waits for running commands. */
  close(): Promise<void>;
}

/** The store cannot do its work: the disk is full or broken, or the file cannot be used. */
export class StoreFailed extends Error {
  /** The disk, or the file's bound, is full: a smaller write may still succeed. */
  readonly full: boolean;

  constructor(message: string, { full = false, ...options }: ErrorOptions & { full?: boolean } = {}) {
    super(message, options);
    this.full = full;
  }
}
