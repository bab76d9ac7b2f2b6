/**
 * Who may use the model server now, who waits, and who is turned away. Nothing here does I/O; a request's wait is a promise.
 * State is in memory only: what waits is lost with the process, and its callers' connections with it.
 *
 * | concern | file |
 * |---|---|
 * | what asks for a slot, what it gets | `request.ts` |
 * | turns and charges of one level | `deficit-round-robin.ts` |
 * | callers, and companies within a caller | `flow-tree.ts` |
 * | slots; direct requests and background work | `queue.ts` |
 * | who goes when too much waits | `bounds.ts` |
 * | promises, time-outs, refusals | this file, `refusal.ts` |
 */
import type { Caller, Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";
import { RequestQueue } from "./queue.ts";
import { refusal } from "./refusal.ts";
import type { QueueName, QueueSnapshot, Slot, SlotRequest } from "./slot-request.ts";
import { Waiter } from "./waiting-list.ts";

export { estimateTokens, usedTokens } from "./estimate.ts";
export { type QueueName, type QueueSnapshot, queueOf, type Slot, type SlotRequest } from "./slot-request.ts";

/** Where each queue stands. */
export type AdmissionSnapshot = Readonly<Record<QueueName, QueueSnapshot>>;

export interface Admission {
  /**
   * Resolves with a slot, at once if one is free and nobody waits. Rejects with RelayError `queue_full` (at once, or later
   * when it is evicted for somebody who is within their share) or `queue_timeout` (after `waitSeconds`), both 429 with the
   * time after which to come back; with `shutting_down` after `close`; with ClientDisconnected when the request's signal fires.
   * Whoever got a slot must release it.
   */
  acquire(request: SlotRequest): Promise<Slot>;
  /** A slot if one is free and nobody waits: the same as `acquire`, which would give it too, but at once. */
  tryAcquire(request: SlotRequest): Slot | undefined;
  snapshot(): AdmissionSnapshot;
  /** How long somebody who came now, behind all who wait, would wait; 0 when a slot is free. From measured times. */
  expectedWaitMs(queue: QueueName): number;
  /** Turns away all who wait. Slots that were given stay valid. */
  close(): void;
  /** From now on these limits and weights. What waits already stays, also above a lower bound. */
  update(limits: Limits, callers?: readonly Pick<Caller, "name" | "weight">[]): void;
}

export interface AdmissionOptions {
  /** Slots of each queue that background work can hold: `jobs.slots`. @default all but one, at least one */
  readonly backgroundSlots?: number | undefined;
  /** Milliseconds of a clock that never goes back. @default performance.now */
  readonly now?: () => number;
}

/** Bound on the bytes that wait in a queue when `limits.waitingMiB` is not set. */
const WAITING_MIB = 256;
/** Before this many requests were measured, nobody is turned away for an expected wait. */
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
    refusal(code, request.queue, queues[request.queue].expectedWaitOf(request), limits);

  /** Makes room for a direct request that has to wait. @throws RelayError `queue_full` if there is none */
  const makeRoom = (request: SlotRequest): void => {
    const queue = queues[request.queue];
    if (limits.whenBusy === "reject") throw refuse("queue_full", request);
    // Twice: an estimate may be wrong, and whoever is turned away now loses for certain.
    const tooLong = queue.measured >= MIN_MEASURED && queue.expectedWaitOf(request) > 2 * limits.waitSeconds * 1000;
    if (tooLong) throw refuse("queue_full", request);
    const bounds = { requests: limits.waiting, bytes: (limits.waitingMiB ?? WAITING_MIB) * 1024 * 1024 };
    const room = queue.makeRoom(request, bounds);
    if (room.kind === "refuse") throw refuse("queue_full", request);
    for (const waiter of room.evict) endWait(waiter, refuse("queue_full", waiter.request));
  };

  /** Takes a request out of the queue with an error, unless its wait has ended. */
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
      const onAbort = () => endWait(waiter, new ClientDisconnected("the caller left while waiting"));
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
      if (request.signal.aborted) throw new ClientDisconnected("the caller left before it waited");
      if (isFree(request)) return queues[request.queue].start(request);
      if (request.background !== true) makeRoom(request);
      return wait(request);
    },
    tryAcquire(request) {
      return closed || request.signal.aborted || !isFree(request) ? undefined : queues[request.queue].start(request);
    },
    snapshot: () => ({ chat: queues.chat.snapshot(), embeddings: queues.embeddings.snapshot() }),
    expectedWaitMs: (queue) => queues[queue].expectedWaitMs(),
    close() {
      closed = true;
      for (const queue of Object.values(queues)) for (const waiter of queue.waiters()) endWait(waiter, stopped());
    },
    update(next, callers) {
      limits = next;
      for (const name of ["chat", "embeddings"] as const) {
        if (callers !== undefined) queues[name].setWeights(callers);
        queues[name].resize(next[name]);
      }
    },
  };
}

function stopped(): RelayError {
  return new RelayError("shutting_down", "The relay is shutting down; it takes no new requests.", {
    headers: { "Retry-After": "5" },
  });
}
