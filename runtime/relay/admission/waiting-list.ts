/** Requests that wait, oldest first. Adding, and removing any of them, take constant time; it can be read from both ends. */
import type { Slot, SlotRequest } from "./slot-request.ts";

/** A request that waits. Made by admission, which also says what happens when the wait ends. */
export class Waiter {
  readonly request: SlotRequest;
  /** By the lane's clock, in ms. */
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

  /** Whether it can still be turned away with an honest status. */
  get evictable(): boolean {
    return this.request.evictable?.() ?? true;
  }

  /** Ends the wait with a slot. It must have been removed from its list. */
  grant(slot: Slot): void {
    this.#onGranted(slot);
  }

  /** Ends the wait without one. It must have been removed from its list. */
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
