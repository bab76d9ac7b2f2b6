/** What asks for a slot, and what it gets. Types only, and which routes need a slot. */
import type { Caller } from "../../config.ts";
import type { LeaveSignal } from "../http/leaving.ts";

/** Requests that share slots. Both lanes run side by side: an embedding never waits behind a chat. */
export type QueueName = "chat" | "embeddings";

/** A request for a slot. */
export interface SlotRequest {
  readonly queue: QueueName;
  readonly caller: Caller;
  /** The company the request is for, normalised; absent: the caller named none, and all such requests are one flow. */
  readonly company?: string | undefined;
  /** Prompt and answer together; see `estimateTokens`. */
  readonly estimatedTokens: number;
  /** What the request holds in memory while it waits. */
  readonly bytes: number;
  /** Leaves the queue at once when this fires. */
  readonly signal: LeaveSignal;
  /** Jobs and other work nobody waits for: no limit on the wait, not counted against the waiting bounds, never evicted. */
  readonly background?: boolean;
  /**
   * Whether the request may still be turned away with an honest status: false once a byte of its answer has been sent.
   * Absent: always.
   */
  readonly evictable?: () => boolean;
}

/** The right to run one request. Exactly one of its methods must be called at the end; later calls do nothing. */
export interface Slot {
  readonly waitedMs: number;
  /**
   * Frees the slot and settles the charge with the tokens really used (without: the estimate stands), or with the time it was
   * held, if that costs more: a turn's worth for the lane's mean time of a request. With 0 nothing ran: nothing is charged,
   * and the time is not taken for a service time.
   */
  release(usedTokens?: number): void;
  /**
   * Frees the slot after a run that nobody counted (the caller left before the answer, the model server answered with an
   * error or not at all). Charged by the time the slot was held, at the rate of the runs measured so far, since slot time is
   * what the others have lost; the estimate stands until there is such a rate. Not taken for a service time: such a run says
   * nothing about how long a whole one takes.
   */
  abandon(): void;
}

/** Where a lane stands. */
export interface QueueSnapshot {
  readonly slots: number;
  readonly running: number;
  /** Of those, background work. */
  readonly runningBackground: number;
  /** Without background. */
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly waitingBackground: number;
  /** Mean time of a request in its slot, in ms; 0 before the first has ended. */
  readonly serviceMs: number;
  /** Of those who wait (background too) or run. */
  readonly callers: Readonly<Record<string, { readonly running: number; readonly waiting: number }>>;
}

const QUEUES: Readonly<Record<string, QueueName>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "chat",
  "/v1/responses": "chat",
  "/api/chat": "chat",
  "/api/generate": "chat",
  "/v1/embeddings": "embeddings",
  "/api/embed": "embeddings",
  "/api/embeddings": "embeddings",
};

/** The lane of a route's name; undefined for what never waits. */
export function queueOf(routeName: string): QueueName | undefined {
  return QUEUES[routeName];
}
