/**
 * Decides which requests run, wait or are refused. No I/O; waiting is a promise. State is in memory only: waiting requests
 * are lost with the process, as their callers' connections are.
 *
 * | concern | file |
 * |---|---|
 * | types: request for a slot, slot, snapshot | `slot-request.ts` |
 * | rounds and charges of one level | `deficit-round-robin.ts` |
 * | callers, and companies within a caller | `flow-tree.ts` |
 * | slots of a queue; direct requests and background work | `queue.ts` |
 * | what is evicted when too much waits | `bounds.ts` |
 * | promises, time-outs, refusals | this file, `../too-many-requests.ts` |
 */
import type { Caller } from "../../config.ts";
import type { Limits } from "../../limits-config.ts";
import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";
import { queueRefusal } from "../too-many-requests.ts";
import { RequestQueue } from "./queue.ts";
import type { QueueName, QueueSnapshot, Slot, SlotRequest } from "./slot-request.ts";
import { Waiter } from "./waiting-list.ts";

export { estimateTokens, usedTokens } from "./estimate.ts";
export type { QueueName, QueueSnapshot, Slot, SlotRequest } from "./slot-request.ts";

/** The state of each queue. */
export type AdmissionSnapshot = Readonly<Record<QueueName, QueueSnapshot>>;

export interface Admission {
  /**
   * Resolves with a slot, immediately if one is free and nothing waits. The slot must be released. Rejects with RelayError
   * `queue_full` (immediately, or later when the request is evicted for one within its share) or `queue_timeout` (after
   * `waitSeconds`), both 429 with `Retry-After`; with `shutting_down` after `close`; with ClientDisconnected when the signal fires.
   */
  acquire(request: SlotRequest): Promise<Slot>;
  snapshot(): AdmissionSnapshot;
  /** Expected wait in ms of a new request behind all that wait, by measured times; 0 when a slot is free. */
  expectedWaitMs(queue: QueueName): number;
  /** Refuses all waiting and later requests. Slots in use stay valid. */
  close(): void;
  /** Sets new limits and weights. Waiting requests stay, even above a lower limit. */
  update(limits: Limits, callers?: readonly Pick<Caller, "name" | "weight">[], backgroundSlots?: number): void;
}

export interface AdmissionOptions {
  /** Slots per queue that background work can hold (`jobs.slots`). @default all but one, at least one */
  readonly backgroundSlots?: number | undefined;
  /** Monotonic clock in ms. @default performance.now */
  readonly now?: () => number;
}

/** Default of `limits.waitingMiB`: bytes of the bodies that wait in a queue. */
const DEFAULT_WAITING_MIB = 256;
/** Expected waits refuse a request only once this many requests have been measured. */
const MIN_MEASURED = 8;

export function createAdmission(
  first: Limits,
  { backgroundSlots, now = () => performance.now() }: AdmissionOptions = {},
): Admission {
  let limits = first;
  let closed = false;
  const queues = {
    chat: new RequestQueue(limits.chat, backgroundSlots, now),
    embeddings: new RequestQueue(limits.embeddings, backgroundSlots, now),
  };

  const refuse = (code: "queue_full" | "queue_timeout", request: SlotRequest): RelayError =>
    queueRefusal(code, request.queue, queues[request.queue].expectedWaitOf(request), limits);

  /** Makes room for a direct request that has to wait. @throws RelayError `queue_full` if there is none */
  const makeRoom = (request: SlotRequest): void => {
    const queue = queues[request.queue];
    if (limits.whenBusy === "reject") throw refuse("queue_full", request);
    // Factor 2: the estimate may be wrong, and a refusal is final.
    const tooLong = queue.measured >= MIN_MEASURED && queue.expectedWaitOf(request) > 2 * limits.waitSeconds * 1000;
    if (tooLong) throw refuse("queue_full", request);
    const bounds = { requests: limits.waiting, bytes: (limits.waitingMiB ?? DEFAULT_WAITING_MIB) * 1024 * 1024 };
    const room = queue.makeRoom(request, bounds);
    if (room.kind === "refuse") throw refuse("queue_full", request);
    for (const waiter of room.evict) endWait(waiter, refuse("queue_full", waiter.request));
  };

  /** Removes a waiting request with an error. No effect if its wait has ended. */
  const endWait = (waiter: Waiter, cause: Error): void => {
    if (queues[waiter.request.queue].remove(waiter)) waiter.reject(cause);
  };

  const wait = (request: SlotRequest): Promise<Slot> =>
    new Promise((resolve, reject) => {
      const { signal } = request;
      let timer: NodeJS.Timeout | undefined;
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const onAbort = () => endWait(waiter, new ClientDisconnected("the caller disconnected while waiting"));
      const waiter = new Waiter(
        request,
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
      queues[request.queue].add(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
      if (request.background === true) return;
      timer = setTimeout(() => endWait(waiter, refuse("queue_timeout", request)), limits.waitSeconds * 1000);
    });

  const isFree = (request: SlotRequest): boolean => queues[request.queue].isFreeFor(request.background === true);

  return {
    async acquire(request) {
      if (closed) throw stopped();
      if (request.signal.aborted) throw new ClientDisconnected("the caller disconnected before waiting");
      if (isFree(request)) return queues[request.queue].start(request);
      if (request.background !== true) makeRoom(request);
      return wait(request);
    },
    snapshot: () => ({ chat: queues.chat.snapshot(), embeddings: queues.embeddings.snapshot() }),
    expectedWaitMs: (queue) => queues[queue].expectedWaitMs(),
    close() {
      closed = true;
      for (const queue of Object.values(queues)) for (const waiter of queue.waiters()) endWait(waiter, stopped());
    },
    update(next, callers, background = backgroundSlots) {
      limits = next;
      for (const name of ["chat", "embeddings"] as const) {
        if (callers !== undefined) queues[name].setWeights(callers);
        queues[name].resize(next[name], background);
      }
    },
  };
}

function stopped(): RelayError {
  return new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
    headers: { "Retry-After": "5" },
  });
}
