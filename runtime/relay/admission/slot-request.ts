/** Types: a request for a slot, the slot, the state of a queue. */
import type { Caller } from "../../config.ts";
import type { QueueName } from "../dialects/dialect.ts";

export type { QueueName };

/** A request for a slot. */
export interface SlotRequest {
  readonly queue: QueueName;
  readonly caller: Caller;
  /** The company the request is for, normalized. Requests without one are a flow of their own. */
  readonly company?: string | undefined;
  /** Of prompt and answer together; see `estimateTokens`. */
  readonly estimatedTokens: number;
  /** Memory the request holds while it waits. */
  readonly bytes: number;
  /** Removes the request from the queue. */
  readonly signal: AbortSignal;
  /** Jobs and other work without a waiting client: no time-out, not counted in the waiting bounds, never evicted. */
  readonly background?: boolean;
  /** Whether the request can still be refused with a 429: false once a byte of the response has been sent. @default always */
  readonly evictable?: () => boolean;
}

/** Permission to run one request. One of the methods must be called at the end; later calls have no effect. */
export interface Slot {
  readonly waitedMs: number;
  /**
   * Frees the slot and charges the tokens used (by default the estimate), or the time it was held if that costs more: one
   * quantum per mean service time of the queue. 0 means that nothing ran: nothing is charged or measured.
   */
  release(usedTokens?: number): void;
  /**
   * Frees the slot after a run without usage (the client disconnected before the answer, the model server answered with an
   * error or not at all). Charges the time the slot was held at the measured rate, since that is what the others lost, or the
   * estimate before there is a rate. Not measured: the run says nothing about complete ones.
   */
  abandon(): void;
}

/** The state of a queue. */
export interface QueueSnapshot {
  readonly slots: number;
  readonly running: number;
  /** Background work in `running`. */
  readonly runningBackground: number;
  /** Without background work. */
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly waitingBackground: number;
  /** How long the oldest waiting direct request has waited, in ms; 0 when none waits. */
  readonly longestWaitMs: number;
  /** Mean time that a request holds its slot, in ms; 0 before the first has ended. */
  readonly serviceMs: number;
  /** Callers with waiting or running requests, background work included. */
  readonly callers: Readonly<Record<string, { readonly running: number; readonly waiting: number }>>;
}
