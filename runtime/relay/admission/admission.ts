/**
 * Who may use the model server now, who waits, and who is turned away. Nothing here does I/O; a ticket's wait is a promise.
 * State is in memory only: what waits is lost with the process, and its callers' connections with it.
 */
import type { Caller, Limits } from "../../config.ts";
import { CallerLeft } from "../body.ts";
import { RelayError } from "../errors.ts";
import type { LeaveSignal } from "../leaving.ts";
import { LaneQueue, type LaneSnapshot, type Waiter } from "./lane.ts";
import { refusal } from "./refusal.ts";

export { estimateTokens, usedTokens } from "./estimate.ts";

/** Requests that share slots. Both lanes run side by side: an embedding never waits behind a chat. */
export type Lane = "chat" | "embeddings";

/** What wants a slot. */
export interface Ticket {
  readonly lane: Lane;
  readonly caller: Caller;
  /** Prompt and answer together; see `estimateTokens`. */
  readonly estimatedTokens: number;
  /** What the request holds in memory while it waits. */
  readonly bytes: number;
  /** Leaves the queue at once when this fires. */
  readonly signal: LeaveSignal;
  /** Jobs wait for ever and do not count against waiting bounds. */
  readonly background?: boolean;
}

/** The right to run one request. */
export interface Slot {
  readonly waitedMs: number;
  /**
   * Frees the slot and settles the charge with the tokens really used (without: the estimate stands). With 0 nothing ran,
   * and its time is not taken for a service time. Idempotent.
   */
  release(usedTokens?: number): void;
}

/** Where each lane stands. */
export type AdmissionSnapshot = Readonly<Record<Lane, LaneSnapshot>>;

export interface Admission {
  /**
   * Resolves with a slot, at once if one is free and nobody waits. Rejects with RelayError `queue_full` (at once) or
   * `queue_timeout` (after `waitSeconds`), both 429 with the time after which to come back; with `shutting_down` after
   * `close`; with CallerLeft when the ticket's signal fires. Whoever got a slot must release it.
   */
  acquire(ticket: Ticket): Promise<Slot>;
  /** A slot if one is free and nobody waits: the same as `acquire`, which would give it too, but at once. */
  take(ticket: Ticket): Slot | undefined;
  snapshot(): AdmissionSnapshot;
  /** How long somebody who came now, behind all who wait, would wait; 0 when a slot is free. From measured times. */
  expectedWaitMs(lane: Lane): number;
  /** Turns away all who wait. Slots that were given stay valid. */
  close(): void;
  /** From now on these limits. Who waits already stays, also above a lower bound. */
  update(limits: Limits): void;
}

const LANES: Readonly<Record<string, Lane>> = {
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
export function laneOf(routeName: string): Lane | undefined {
  return LANES[routeName];
}

/** Bound on the bytes that wait in a lane when `limits.waitingMiB` is not set. */
const WAITING_MIB = 256;
/** Before this many requests were measured, nobody is turned away for an expected wait. */
const ENOUGH_MEASURED = 8;

/** @param options.now milliseconds of a clock that never goes back */
export function createAdmission(
  first: Limits,
  { now = () => performance.now() }: { now?: () => number } = {},
): Admission {
  let limits = first;
  let closed = false;
  const lanes = {
    chat: new LaneQueue(limits.chat, now),
    embeddings: new LaneQueue(limits.embeddings, now),
  };

  const refuse = (code: "queue_full" | "queue_timeout", name: Lane): RelayError =>
    refusal(code, name, lanes[name].expectedWaitMs(), limits);

  const overABound = ({ lane: name, caller, bytes }: Ticket): boolean => {
    const lane = lanes[name];
    if (limits.whenBusy === "reject" || lane.waiting >= limits.waiting) return true;
    if (lane.waitingBytes + bytes > (limits.waitingMiB ?? WAITING_MIB) * 1024 * 1024 && lane.waiting > 0) return true;
    // Twice: an estimate may be wrong, and who is turned away now loses for certain.
    return lane.measured >= ENOUGH_MEASURED && lane.expectedWaitOf(caller) > 2 * limits.waitSeconds * 1000;
  };

  const wait = (ticket: Ticket): Promise<Slot> =>
    new Promise((resolve, reject) => {
      const lane = lanes[ticket.lane];
      const { signal } = ticket;
      let timer: NodeJS.Timeout | undefined;
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const leave = (cause: Error) => {
        if (!lane.remove(waiter)) return;
        settle();
        reject(cause);
      };
      const onAbort = () => leave(new CallerLeft("the caller left while waiting"));
      const waiter: Waiter = {
        ...ticket,
        background: ticket.background === true,
        since: now(),
        granted: (slot) => {
          settle();
          resolve(slot);
        },
        leave,
      };
      lane.add(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
      if (!waiter.background) {
        timer = setTimeout(() => leave(refuse("queue_timeout", ticket.lane)), limits.waitSeconds * 1000);
      }
    });

  return {
    async acquire(ticket) {
      if (closed) throw stopped();
      if (ticket.signal.aborted) throw new CallerLeft("the caller left before it waited");
      const lane = lanes[ticket.lane];
      if (lane.free) return lane.take(ticket);
      if (ticket.background !== true && overABound(ticket)) throw refuse("queue_full", ticket.lane);
      return wait(ticket);
    },
    take(ticket) {
      const lane = lanes[ticket.lane];
      return closed || ticket.signal.aborted || !lane.free ? undefined : lane.take(ticket);
    },
    snapshot: () => ({ chat: lanes.chat.snapshot(), embeddings: lanes.embeddings.snapshot() }),
    expectedWaitMs: (lane) => lanes[lane].expectedWaitMs(),
    close() {
      closed = true;
      for (const lane of Object.values(lanes)) for (const waiter of lane.waiters()) waiter.leave(stopped());
    },
    update(next) {
      limits = next;
      lanes.chat.resize(next.chat);
      lanes.embeddings.resize(next.embeddings);
    },
  };
}

function stopped(): RelayError {
  return new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
    headers: { "Retry-After": "5" },
  });
}
