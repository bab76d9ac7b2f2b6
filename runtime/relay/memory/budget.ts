/**
 * Accounts for the memory that requests hold in this process, per caller and in total: bodies that are read, wait or are
 * processed, results that are sent, answers that are kept. Memory must be reserved before it is used. Pure.
 */
import type { Limits } from "../../limits-config.ts";
import { RelayError } from "../errors.ts";
import { memoryShareFull } from "../too-many-requests.ts";
import { Shares } from "./shares.ts";

const MIB = 1024 * 1024;
/** Default of `limits.memoryMiB`. */
export const DEFAULT_MEMORY_MIB = 1024;
/** The cache of documents for searches gets this fraction of the budget, at most `MAX_CACHE_BYTES`. */
const CACHE_FRACTION = 1 / 8;
const MAX_CACHE_BYTES = 128 * MIB;

/** Memory reserved by one caller for one purpose. */
export interface Reservation {
  readonly bytes: number;
  /** Sets the size. @throws RelayError `memory_share_full`, `memory_full`; the size is then unchanged */
  resize(bytes: number): void;
  /** Increases the size. @throws as `resize` does */
  grow(by: number): void;
  /** Frees all of it. Idempotent; a released reservation cannot grow again. */
  release(): void;
}

export interface MemoryBudget {
  /**
   * Reserves memory for a caller, by its name.
   * @throws RelayError `memory_share_full` (429: this caller holds too much) or `memory_full` (503: all callers together do),
   * both with `Retry-After`
   */
  reserve(caller: string, bytes: number): Reservation;
  /** Sets new limits and callers. Existing reservations stay. */
  update(limits: Limits, callers: readonly string[]): void;
  /** Bytes that all callers together can hold. */
  readonly capacity: number;
  /** Bytes reserved now. */
  readonly held: number;
  heldBy(caller: string): number;
}

/** Called before that many bytes are loaded. @throws as `Reservation.resize` does */
export type Reserve = (bytes: number) => void;

/** For items that are loaded one after another: reserves memory for the largest. */
export function reserveLargest(memory: Reservation | undefined): Reserve {
  let largest = 0;
  return (bytes) => {
    if (bytes <= largest) return;
    memory?.grow(bytes - largest);
    largest = bytes;
  };
}

/** Bytes of the budget for the cache of documents. */
export function cacheBytes({ memoryMiB = DEFAULT_MEMORY_MIB }: Pick<Limits, "memoryMiB">): number {
  return Math.min(MAX_CACHE_BYTES, memoryMiB * MIB * CACHE_FRACTION);
}

/** Bytes of the budget for callers: all but the cache. */
export function callersBytes(limits: Pick<Limits, "memoryMiB">): number {
  return (limits.memoryMiB ?? DEFAULT_MEMORY_MIB) * MIB - cacheBytes(limits);
}

export function createMemoryBudget(limits: Pick<Limits, "memoryMiB">, callers: readonly string[]): MemoryBudget {
  const shares = new Shares(callersBytes(limits), callers);
  return {
    reserve(caller, bytes) {
      const reservation = new CallerReservation(shares, caller);
      reservation.resize(bytes);
      return reservation;
    },
    update: (next, names) => shares.update(callersBytes(next), names),
    get capacity() {
      return shares.capacity;
    },
    get held() {
      return shares.total;
    },
    heldBy: (caller) => shares.usedBy(caller),
  };
}

class CallerReservation implements Reservation {
  readonly #shares: Shares;
  readonly #caller: string;
  #released = false;
  bytes = 0;

  constructor(shares: Shares, caller: string) {
    this.#shares = shares;
    this.#caller = caller;
  }

  resize(bytes: number): void {
    if (this.#released) return;
    const more = bytes - this.bytes;
    if (more > 0) {
      const refused = this.#shares.take(this.#caller, more);
      if (refused === "own_share")
        throw memoryShareFull(this.#shares.limitPerCaller, this.#shares.usedBy(this.#caller));
      if (refused === "all_used") throw memoryFull();
    } else this.#shares.give(this.#caller, -more);
    this.bytes = bytes;
  }

  grow(by: number): void {
    this.resize(this.bytes + by);
  }

  release(): void {
    this.resize(0);
    this.#released = true;
  }
}

function memoryFull(): RelayError {
  return new RelayError("memory_full", "The memory for requests (limits.memoryMiB) is used up at the moment.", {
    headers: { "Retry-After": "5" },
  });
}
