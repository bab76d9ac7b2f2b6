/** What one request holds for its caller, from the Access check until its answer has ended: memory, its place, a stream. */
import type { Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { createMemoryBudget, type MemoryBudget, type Reservation } from "./budget.ts";
import { Shares } from "./shares.ts";

/** Requests that may be open at once, of all callers: each has a file descriptor, and the process may have 8192. */
export const OPEN_REQUESTS = 4096;
/** Connections that the public listener takes: those requests, and idle ones of cloudflared. */
export const PUBLIC_CONNECTIONS = 6144;
/** Connections that the admin listener takes. */
export const ADMIN_CONNECTIONS = 128;
/** Event streams and waits (`Prefer: wait`) that one caller may have open at once. */
export const STREAMS_PER_CALLER = 128;

/** The bounds of one relay on what its callers hold. */
export class Holdings {
  readonly memory: MemoryBudget;
  readonly #requests: Shares;
  readonly #streams = new Map<string, number>();

  constructor(limits: Pick<Limits, "memoryMiB">, callers: readonly string[], openRequests = OPEN_REQUESTS) {
    this.memory = createMemoryBudget(limits, callers);
    this.#requests = new Shares(openRequests, callers);
  }

  /** Requests that are open now. */
  get open(): number {
    return this.#requests.total;
  }

  /** Event streams and waits that are open now. */
  get streams(): number {
    let all = 0;
    for (const streams of this.#streams.values()) all += streams;
    return all;
  }

  update(limits: Limits, callers: readonly string[]): void {
    this.memory.update(limits, callers);
    this.#requests.update(this.#requests.capacity, callers);
  }

  /** A request of this caller has come. @throws RelayError `too_many_requests` */
  enter(caller: string): Holding {
    if (this.#requests.take(caller, 1) !== undefined) {
      throw new RelayError("too_many_requests", "Too many of your requests are open at once. Wait for some to end.", {
        headers: { "Retry-After": "5" },
      });
    }
    return new Holding(this, this.memory.reserve(caller, 0), caller);
  }

  /** For `Holding` alone. */
  leave(caller: string): void {
    this.#requests.give(caller, 1);
  }

  /** For `Holding` alone. @throws RelayError `too_many_streams` */
  openStream(caller: string): void {
    const open = this.#streams.get(caller) ?? 0;
    if (open >= STREAMS_PER_CALLER) {
      throw new RelayError(
        "too_many_streams",
        `You have ${open} event streams and waits open, which is the most. Close some, or poll.`,
        { headers: { "Retry-After": "5" } },
      );
    }
    this.#streams.set(caller, open + 1);
  }

  /** For `Holding` alone. */
  closeStream(caller: string): void {
    const left = (this.#streams.get(caller) ?? 0) - 1;
    if (left > 0) this.#streams.set(caller, left);
    else this.#streams.delete(caller);
  }
}

/** What one request holds. It is kept until nobody uses it any more: the exchange is one user, work that outlasts it another. */
export class Holding {
  /** What is reserved for it; grows and shrinks with what it holds. */
  readonly memory: Reservation;
  readonly #all: Holdings;
  readonly #caller: string;
  #users = 1;
  #streams = 0;

  constructor(all: Holdings, memory: Reservation, caller: string) {
    this.#all = all;
    this.memory = memory;
    this.#caller = caller;
  }

  /** Counts as an event stream or a wait until it is closed by what is returned, or released. @throws RelayError `too_many_streams` */
  stream(): () => void {
    this.#all.openStream(this.#caller);
    this.#streams += 1;
    let closed = false;
    return () => {
      if (closed || this.#streams === 0) return;
      closed = true;
      this.#streams -= 1;
      this.#all.closeStream(this.#caller);
    };
  }

  /** Keeps all of it until `release` was called once more: for work that goes on when the caller has left. */
  retain(): this {
    this.#users += 1;
    return this;
  }

  /** One user less; the last one gives everything back. */
  release(): void {
    this.#users -= 1;
    if (this.#users !== 0) return;
    this.memory.release();
    for (; this.#streams > 0; this.#streams -= 1) this.#all.closeStream(this.#caller);
    this.#all.leave(this.#caller);
  }
}
