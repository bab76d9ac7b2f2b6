/** The resources that one request holds for its caller, from the Access check to the end of its response. */
import type { Limits } from "../../limits-config.ts";
import { tooManyOpenRequests, tooManyStreams } from "../too-many-requests.ts";
import { createMemoryBudget, type MemoryBudget, type Reservation } from "./budget.ts";
import { Shares } from "./shares.ts";

/** Open requests of all callers together. Each needs a file descriptor, and the process can have 8192. */
export const MAX_OPEN_REQUESTS = 4096;
/** Connections that the public listener accepts: those requests, and idle connections of cloudflared. */
export const MAX_PUBLIC_CONNECTIONS = 6144;
/** Connections that the admin listener accepts. */
export const MAX_ADMIN_CONNECTIONS = 128;
/** Open event streams and waits (`Prefer: wait`) per caller. */
export const MAX_STREAMS_PER_CALLER = 128;
/** Running calls to the model server that need no slot (lists of models, `/api/show`), of all callers together. */
export const MAX_SLOTLESS_CALLS = 64;
/** Open requests of people, for the status page: per person, and of all people together. */
export const MAX_REQUESTS_PER_PERSON = 16;
export const MAX_REQUESTS_OF_PEOPLE = 256;
/** Of these, event streams of the status page. */
export const MAX_PAGE_STREAMS_PER_PERSON = 8;
export const MAX_PAGE_STREAMS = 64;

/** Counts per name; names whose count is 0 are forgotten. */
class Counts {
  readonly #counts = new Map<string, number>();
  total = 0;

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  add(name: string, by: 1 | -1): void {
    const count = this.of(name) + by;
    this.total += by;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }
}

/** What all requests of one relay hold, and its limits. */
export class Holdings {
  readonly memory: MemoryBudget;
  readonly #requests: Shares;
  readonly #slotless: Shares;
  readonly #streams = new Counts();
  readonly #people = new Counts();

  constructor(limits: Pick<Limits, "memoryMiB">, callers: readonly string[], openRequests = MAX_OPEN_REQUESTS) {
    this.memory = createMemoryBudget(limits, callers);
    this.#requests = new Shares(openRequests, callers);
    this.#slotless = new Shares(MAX_SLOTLESS_CALLS, callers);
  }

  /** Open requests. */
  get open(): number {
    return this.#requests.total;
  }

  /** Open event streams and waits. */
  get streams(): number {
    return this.#streams.total;
  }

  /** Sets new limits and callers. Running requests keep what they hold. */
  update(limits: Limits, callers: readonly string[]): void {
    this.memory.update(limits, callers);
    this.#requests.update(this.#requests.capacity, callers);
    this.#slotless.update(MAX_SLOTLESS_CALLS, callers);
  }

  /** Counts a new request of this caller. @throws RelayError `too_many_requests` */
  enter(caller: string): Holding {
    if (this.#requests.take(caller, 1) !== undefined)
      throw tooManyOpenRequests("caller", this.#requests.limitPerCaller);
    return new Holding(this, this.memory.reserve(caller, 0), caller);
  }

  /** Counts a new request of a person. @returns ends it; idempotent @throws RelayError `too_many_requests` */
  enterPerson(name: string): () => void {
    if (this.#people.of(name) >= MAX_REQUESTS_PER_PERSON) throw tooManyOpenRequests("person", MAX_REQUESTS_PER_PERSON);
    if (this.#people.total >= MAX_REQUESTS_OF_PEOPLE) throw tooManyOpenRequests("people", MAX_REQUESTS_OF_PEOPLE);
    this.#people.add(name, 1);
    let ended = false;
    return () => {
      if (!ended) this.#people.add(name, -1);
      ended = true;
    };
  }

  /** For `Holding` only. @throws RelayError `too_many_requests` */
  beginSlotless(caller: string): void {
    if (this.#slotless.take(caller, 1) !== undefined) {
      throw tooManyOpenRequests("slotless", this.#slotless.limitPerCaller);
    }
  }

  /** For `Holding` only. */
  endSlotless(caller: string): void {
    this.#slotless.give(caller, 1);
  }

  /** For `Holding` only. */
  leave(caller: string): void {
    this.#requests.give(caller, 1);
  }

  /** For `Holding` only. @throws RelayError `too_many_streams` */
  openStream(caller: string): void {
    if (this.#streams.of(caller) >= MAX_STREAMS_PER_CALLER) throw tooManyStreams(MAX_STREAMS_PER_CALLER);
    this.#streams.add(caller, 1);
  }

  /** For `Holding` only. */
  closeStream(caller: string): void {
    this.#streams.add(caller, -1);
  }
}

/** What one request holds, with a reference count: the exchange is one user, work that outlasts it is another. */
export class Holding {
  /** Its memory; grows and shrinks with what the request holds. */
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

  /** Counts an event stream or a wait. @returns closes it; `release` does so too @throws RelayError `too_many_streams` */
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

  /** Counts a call to the model server without a slot, until `release`. @throws RelayError `too_many_requests` */
  slotless(): void {
    this.#all.beginSlotless(this.#caller);
    this.#slotless += 1;
  }

  /** Adds a user, for work that continues after the caller has disconnected. The new user must call `release`. */
  retain(): this {
    this.#users += 1;
    return this;
  }

  /** Removes a user. The last one frees everything. */
  release(): void {
    this.#users -= 1;
    if (this.#users !== 0) return;
    this.memory.release();
    for (; this.#streams > 0; this.#streams -= 1) this.#all.closeStream(this.#caller);
    for (; this.#slotless > 0; this.#slotless -= 1) this.#all.endSlotless(this.#caller);
    this.#all.leave(this.#caller);
  }
}
