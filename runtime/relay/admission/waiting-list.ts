/** Doubly linked list of waiting requests: adding and removing any of them takes constant time. */
import type { Slot, SlotRequest } from "./slot-request.ts";

/** A waiting request, and the callbacks for the end of its wait. */
export class Waiter {
  readonly request: SlotRequest;
  /** By the queue's clock, in ms. */
  readonly since: number;
  readonly #onGranted: (slot: Slot) => void;
  readonly #onRejected: (cause: Error) => void;
  /** The list it is in. */
  list: WaitingList | undefined;
  older: Waiter | undefined;
  newer: Waiter | undefined;

  constructor(
    request: SlotRequest,
    since: number,
    onGranted: (slot: Slot) => void,
    onRejected: (cause: Error) => void,
  ) {
    this.request = request;
    this.since = since;
    this.#onGranted = onGranted;
    this.#onRejected = onRejected;
  }

  /** Whether it can still be refused with a 429. */
  get evictable(): boolean {
    return this.request.evictable?.() ?? true;
  }

  /** Ends the wait with a slot. The request must be out of its list. */
  grant(slot: Slot): void {
    this.#onGranted(slot);
  }

  /** Ends the wait with an error. The request must be out of its list. */
  reject(cause: Error): void {
    this.#onRejected(cause);
  }
}

export class WaitingList {
  #oldest: Waiter | undefined;
  #newest: Waiter | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get oldest(): Waiter | undefined {
    return this.#oldest;
  }

  add(waiter: Waiter): void {
    waiter.list = this;
    waiter.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = waiter;
    else this.#newest.newer = waiter;
    this.#newest = waiter;
    this.#length += 1;
  }

  /** @returns false if it is not in this list */
  remove(waiter: Waiter): boolean {
    if (waiter.list !== this) return false;
    const { older, newer } = waiter;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    waiter.list = undefined;
    waiter.older = undefined;
    waiter.newer = undefined;
    this.#length -= 1;
    return true;
  }

  *newestFirst(): Generator<Waiter> {
    for (let waiter = this.#newest; waiter !== undefined; waiter = waiter.older) yield waiter;
  }
}
