/** What one request holds for its caller, from the Access check until its answer has ended: memory, its place, a stream. */
import type { Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { createMemoryBudget, type MemoryBudget, type Reservation } from "./budget.ts";
import { Shares } from "./shares.ts";

/** Requests that may be open at once, of all callers: each has a file descriptor, and the process may have 8192. */
export const MAX_OPEN_REQUESTS = 4096;
/** Connections that the public listener takes: those requests, and idle ones of cloudflared. */
export const MAX_PUBLIC_CONNECTIONS = 6144;
/** Connections that the admin listener takes. */
export const MAX_ADMIN_CONNECTIONS = 128;
/** Event streams and waits (`Prefer: wait`) that one caller may have open at once. */
export const MAX_STREAMS_PER_CALLER = 128;
/** Calls to the model server that take no slot (lists of models, `/api/show`) and may run at once, of all callers. */
export const MAX_SLOTLESS_CALLS = 64;
/** Requests of people that may be open at once, of one and of all. Each is for the status page. */
export const MAX_REQUESTS_PER_PERSON = 16;
export const MAX_REQUESTS_OF_PEOPLE = 256;

/** The bounds of one relay on what its callers hold. */
export class Holdings {
  readonly memory: MemoryBudget;
  readonly #requests: Shares;
  readonly #slotless: Shares;
  readonly #streams = new Map<string, number>();
  readonly #people = new Map<string, number>();
  #ofPeople = 0;

  constructor(limits: Pick<Limits, "memoryMiB">, callers: readonly string[], openRequests = MAX_OPEN_REQUESTS) {
    this.memory = createMemoryBudget(limits, callers);
    this.#requests = new Shares(openRequests, callers);
    this.#slotless = new Shares(MAX_SLOTLESS_CALLS, callers);
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
    this.#slotless.update(MAX_SLOTLESS_CALLS, callers);
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

  /** A request of a person has come. @returns ends it; idempotent @throws RelayError `too_many_requests` */
  enterPerson(name: string): () => void {
    const open = this.#people.get(name) ?? 0;
    if (open >= MAX_REQUESTS_PER_PERSON || this.#ofPeople >= MAX_REQUESTS_OF_PEOPLE) {
      const whose = open >= MAX_REQUESTS_PER_PERSON ? "of yours" : "of people";
      throw new RelayError("too_many_requests", `Too many requests ${whose} are open at once. Wait for some to end.`, {
        headers: { "Retry-After": "5" },
      });
    }
    this.#people.set(name, open + 1);
    this.#ofPeople += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = (this.#people.get(name) ?? 0) - 1;
      if (left > 0) this.#people.set(name, left);
      else this.#people.delete(name);
      this.#ofPeople -= 1;
    };
  }

  /** For `Holding` alone. @throws RelayError `too_many_requests` */
  beginSlotless(caller: string): void {
    if (this.#slotless.take(caller, 1) === undefined) return;
    throw new RelayError(
      "too_many_requests",
      "Too many of your requests for lists of models and the like run at once. Wait for some to end.",
      { headers: { "Retry-After": "5" } },
    );
  }

  /** For `Holding` alone. */
  endSlotless(caller: string): void {
    this.#slotless.give(caller, 1);
  }

  /** For `Holding` alone. */
  leave(caller: string): void {
    this.#requests.give(caller, 1);
  }

  /** For `Holding` alone. @throws RelayError `too_many_streams` */
  openStream(caller: string): void {
    const open = this.#streams.get(caller) ?? 0;
    if (open >= MAX_STREAMS_PER_CALLER) {
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
  #slotless = 0;

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

  /** Calls the model server without a slot, until it is released. @throws RelayError `too_many_requests` */
  slotless(): void {
    this.#all.beginSlotless(this.#caller);
    this.#slotless += 1;
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
    for (; this.#slotless > 0; this.#slotless -= 1) this.#all.endSlotless(this.#caller);
    this.#all.leave(this.#caller);
  }
}
