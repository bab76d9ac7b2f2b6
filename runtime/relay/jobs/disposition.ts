/** Decides what the end of an attempt means for its job. Pure. */
import { type ErrorCode, QUOTA_CODES, RelayError } from "../errors.ts";
import type { Usage } from "../usage/usage.ts";
import type { AttemptOutcome, StoredAnswer } from "./store.ts";

/** Why the relay ends an attempt. */
export type StopReason = "cancelled" | "stopping" | "lease_lost" | "timed_out" | "caller_disabled";

/** Outcome of an attempt at the model server. */
export type Ending =
  | { readonly kind: "answer"; readonly answer: StoredAnswer; readonly usage: Usage }
  | { readonly kind: "stopped"; readonly reason: StopReason }
  | { readonly kind: "failed"; readonly cause: unknown };

export type Disposition =
  /** The answer becomes the job's result. */
  | { readonly kind: "finish" }
  /** The attempt failed. `down`: the model server is unavailable, so no other job should be tried. */
  | {
      readonly kind: "fail_attempt";
      readonly outcome: AttemptOutcome;
      /** For the job's owner: no internal address, nothing that is for the log only. */
      readonly detail: string;
      /** For the log. @default `detail` */
      readonly reason?: string;
      readonly delayMs: number;
      readonly down: boolean;
    }
  /** Something else has ended the attempt already. */
  | { readonly kind: "nothing" };

/** Pause before the next attempt after a failure. */
const RETRY_MS = 2000;
/** The same when the model server is busy or loads its model. */
const BUSY_MS = 5000;
/** The same when the model server refused its key. */
const KEY_MS = 30_000;
/** The same when there was no memory for the answer: its owner's other requests must end first. */
const MEMORY_MS = 30_000;
/** The same when a quota was used up. */
const QUOTA_MS = 30_000;

const PASSING: ReadonlySet<ErrorCode> = new Set(["model_busy", "document_busy", "documents_unavailable"]);

export function dispositionOf(ending: Ending): Disposition {
  if (ending.kind === "answer") return ofStatus(ending.answer.status);
  if (ending.kind === "stopped") return ofStop(ending.reason);
  return { ...ofFailure(ending.cause), reason: reasonOf(ending.cause) };
}

function reasonOf(cause: unknown): string {
  return cause instanceof RelayError ? (cause.detail ?? cause.message) : String(cause);
}

function ofFailure(cause: unknown): Extract<Disposition, { kind: "fail_attempt" }> {
  const detail = cause instanceof RelayError ? cause.message : "the relay failed on this job";
  if (cause instanceof RelayError && (cause.code === "model_unreachable" || cause.code === "model_down")) {
    return { kind: "fail_attempt", outcome: "model_unreachable", detail, delayMs: 0, down: true };
  }
  // A person must set the key: the job waits for it.
  if (cause instanceof RelayError && cause.code === "model_server_denied") {
    return { kind: "fail_attempt", outcome: "model_unreachable", detail, delayMs: KEY_MS, down: false };
  }
  if (cause instanceof RelayError && (cause.code === "memory_share_full" || cause.code === "memory_full")) {
    return { kind: "fail_attempt", outcome: "memory_full", detail, delayMs: MEMORY_MS, down: false };
  }
  // Work of the relay itself (own-work.ts) ran into something that passes: not the job's fault.
  if (cause instanceof RelayError && PASSING.has(cause.code)) {
    return { kind: "fail_attempt", outcome: "model_unreachable", detail, delayMs: BUSY_MS, down: false };
  }
  // Of the relay's own work, which finds out late what it must embed.
  if (cause instanceof RelayError && QUOTA_CODES.has(cause.code)) {
    return { kind: "fail_attempt", outcome: "quota_spent", detail, delayMs: QUOTA_MS, down: false };
  }
  const outcome = cause instanceof RelayError && cause.code === "model_timeout" ? "timed_out" : "model_broke_off";
  return { kind: "fail_attempt", outcome, detail, delayMs: RETRY_MS, down: false };
}

function ofStatus(status: number): Disposition {
  const detail = `the model server answered ${status}`;
  // llama-server answers 503 while it loads its model, Ollama when its queue is full: not the job's fault.
  if (status === 503 || status === 429) {
    return { kind: "fail_attempt", outcome: "model_unreachable", detail, delayMs: BUSY_MS, down: false };
  }
  if (status === 408 || status >= 500) {
    return { kind: "fail_attempt", outcome: "model_error", detail, delayMs: RETRY_MS, down: false };
  }
  return { kind: "finish" };
}

function ofStop(reason: StopReason): Disposition {
  switch (reason) {
    case "stopping":
      return {
        kind: "fail_attempt",
        outcome: "relay_stopped",
        detail: "the relay was stopped",
        delayMs: 0,
        down: false,
      };
    case "timed_out":
      return { kind: "fail_attempt", outcome: "timed_out", detail: "it took too long", delayMs: RETRY_MS, down: false };
    case "caller_disabled":
      return { kind: "fail_attempt", outcome: reason, detail: "its caller was disabled", delayMs: 0, down: false };
    case "cancelled":
    case "lease_lost":
      return { kind: "nothing" };
  }
}
