/**
 * Who may use the model server now, who waits, and who is turned away. Nothing here does I/O; a ticket's wait is a promise.
 * State is in memory only: what waits is lost with the process, and its callers' connections with it.
 *
 * | concern | file |
 * |---|---|
 * | what asks for a slot, what it gets | `ticket.ts` |
 * | turns and charges of one level | `deficit-round-robin.ts` |
 * | callers, and companies within a caller | `flow-tree.ts` |
 * | slots; direct requests and background work | `lane.ts` |
 * | who goes when too much waits | `bounds.ts` |
 * | promises, time-outs, refusals | this file, `refusal.ts` |
 */
import type { Caller, Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";
import { LaneQueue } from "./lane.ts";
import { refusal } from "./refusal.ts";
import type { Lane, LaneSnapshot, Slot, Ticket } from "./ticket.ts";
import { Waiter } from "./waiting-list.ts";

export { estimateTokens, usedTokens } from "./estimate.ts";
export type { Lane, LaneSnapshot, Slot, Ticket } from "./ticket.ts";

/** Where each lane stands. */
export type AdmissionSnapshot = Readonly<Record<Lane, LaneSnapshot>>;

export interface Admission {
  /**
   * Resolves with a slot, at once if one is free and nobody waits. Rejects with RelayError `queue_full` (at once, or later
   * when it is evicted for somebody who is within their share) or `queue_timeout` (after `waitSeconds`), both 429 with the
   * time after which to come back; with `shutting_down` after `close`; with ClientDisconnected when the ticket's signal fires.
   * Whoever got a slot must release it.
   */
  acquire(ticket: Ticket): Promise<Slot>;
  /** A slot if one is free and nobody waits: the same as `acquire`, which would give it too, but at once. */
  take(ticket: Ticket): Slot | undefined;
  snapshot(): AdmissionSnapshot;
  /** How long somebody who came now, behind all who wait, would wait; 0 when a slot is free. From measured times. */
  expectedWaitMs(lane: Lane): number;
  /** Turns away all who wait. Slots that were given stay valid. */
  close(): void;
  /** From now on these limits and weights. What waits already stays, also above a lower bound. */
  update(limits: Limits, callers?: readonly Pick<Caller, "name" | "weight">[]): void;
}

export interface AdmissionOptions {
  /** Slots of each lane that background work can hold: `jobs.slots`. @default all but one, at least one */
  readonly backgroundSlots?: number | undefined;
  /** Milliseconds of a clock that never goes back. @default performance.now */
  readonly now?: () => number;
}

/** Bound on the bytes that wait in a lane when `limits.waitingMiB` is not set. */
const WAITING_MIB = 256;
/** Before this many requests were measured, nobody is turned away for an expected wait. */
const ENOUGH_MEASURED = 8;

export function createAdmission(
  first: Limits,
  { backgroundSlots, now = () => performance.now() }: AdmissionOptions = {},
): Admission {
  let limits = first;
  let closed = false;
  const lanes = {
    chat: new LaneQueue(limits.chat, backgroundSlots, now),
    embeddings: new LaneQueue(limits.embeddings, backgroundSlots, now),
  };

  const refuse = (code: "queue_full" | "queue_timeout", ticket: Ticket): RelayError =>
    refusal(code, ticket.lane, lanes[ticket.lane].expectedWaitOf(ticket), limits);

  /** Makes room for a direct request that has to wait. @throws RelayError `queue_full` if there is none */
  const makeRoom = (ticket: Ticket): void => {
    const lane = lanes[ticket.lane];
    if (limits.whenBusy === "reject") throw refuse("queue_full", ticket);
    // Twice: an estimate may be wrong, and whoever is turned away now loses for certain.
    const tooLong = lane.measured >= ENOUGH_MEASURED && lane.expectedWaitOf(ticket) > 2 * limits.waitSeconds * 1000;
    if (tooLong) throw refuse("queue_full", ticket);
    const bounds = { requests: limits.waiting, bytes: (limits.waitingMiB ?? WAITING_MIB) * 1024 * 1024 };
    const room = lane.roomFor(ticket, bounds);
    if (room.kind === "refuse") throw refuse("queue_full", ticket);
    for (const waiter of room.evict) endWait(waiter, refuse("queue_full", waiter.ticket));
  };

  /** Takes a request out of the queue with an error, unless its wait has ended. */
  const endWait = (waiter: Waiter, cause: Error): void => {
    if (lanes[waiter.ticket.lane].remove(waiter)) waiter.reject(cause);
  };

  const wait = (ticket: Ticket): Promise<Slot> =>
    new Promise((resolve, reject) => {
      const { signal } = ticket;
      let timer: NodeJS.Timeout | undefined;
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => endWait(waiter, new ClientDisconnected("the caller left while waiting"));
      const waiter = new Waiter(
        ticket,
        now(),
        (slot) => {
          settle();
          resolve(slot);
        },
        (cause) => {
          settle();
          reject(cause);
        },
      );
      lanes[ticket.lane].add(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
      if (ticket.background === true) return;
      timer = setTimeout(() => endWait(waiter, refuse("queue_timeout", ticket)), limits.waitSeconds * 1000);
    });

  const isFree = (ticket: Ticket): boolean => lanes[ticket.lane].freeFor(ticket.background === true);

  return {
    async acquire(ticket) {
      if (closed) throw stopped();
      if (ticket.signal.aborted) throw new ClientDisconnected("the caller left before it waited");
      if (isFree(ticket)) return lanes[ticket.lane].take(ticket);
      if (ticket.background !== true) makeRoom(ticket);
      return wait(ticket);
    },
    take(ticket) {
      return closed || ticket.signal.aborted || !isFree(ticket) ? undefined : lanes[ticket.lane].take(ticket);
    },
    snapshot: () => ({ chat: lanes.chat.snapshot(), embeddings: lanes.embeddings.snapshot() }),
    expectedWaitMs: (lane) => lanes[lane].expectedWaitMs(),
    close() {
      closed = true;
      for (const lane of Object.values(lanes)) for (const waiter of lane.waiters()) endWait(waiter, stopped());
    },
    update(next, callers) {
      limits = next;
      for (const name of ["chat", "embeddings"] as const) {
        if (callers !== undefined) lanes[name].reweigh(callers);
        lanes[name].resize(next[name]);
      }
    },
  };
}

function stopped(): RelayError {
  return new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
    headers: { "Retry-After": "5" },
  });
}
