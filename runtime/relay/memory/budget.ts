/**
 * The memory that requests hold in this process, by caller and in all: bodies that are read, wait or are worked on, results
 * that are sent, answers that are kept. Pure accounting; whoever holds memory reserves it first.
 */
import type { Limits } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { type Refusal, Shares } from "./shares.ts";

const MIB = 1024 * 1024;
/** `limits.memoryMiB` if it is not set. */
export const DEFAULT_MEMORY_MIB = 1024;
/** Contents of documents that are kept for the next search take this part of the budget, and at most so many bytes. */
const CACHE_FRACTION = 1 / 8;
const MAX_CACHE_BYTES = 128 * MIB;

/** Memory that one caller holds for one purpose. */
export interface Reservation {
  readonly bytes: number;
  /** Changes how much it is. @throws RelayError `memory_share_full`, `memory_full`; then it stays as it was */
  resize(bytes: number): void;
  /** `resize` to so much more. Throws as that does. */
  grow(by: number): void;
  /** Gives all of it back. Idempotent; a released reservation cannot grow again. */
  release(): void;
}

export interface MemoryBudget {
  /**
   * Reserves memory for a caller, by its name.
   * @throws RelayError `memory_share_full` (429: the caller itself holds too much) or `memory_full` (503: all together do),
   * both with `Retry-After`
   */
  reserve(caller: string, bytes: number): Reservation;
  /** From now on these bounds and callers. What is held stays held. */
  update(limits: Limits, callers: readonly string[]): void;
  /** Bytes that all callers can hold together. */
  readonly capacity: number;
  /** Bytes that are held now. */
  readonly held: number;
  heldBy(caller: string): number;
}

/** What a piece of work asks before it loads something of that many bytes. Throws as `Reservation.resize` does. */
export type Reserve = (bytes: number) => void;

/** Reserves for the largest of the things that are loaded one after the other. */
export function reserveLargest(memory: Reservation | undefined): Reserve {
  let largest = 0;
  return (bytes) => {
    if (bytes <= largest) return;
    memory?.grow(bytes - largest);
    largest = bytes;
  };
}

/** Bytes of the budget for contents of documents that are kept for the next search. */
export function cacheBytes({ memoryMiB = DEFAULT_MEMORY_MIB }: Pick<Limits, "memoryMiB">): number {
  return Math.min(MAX_CACHE_BYTES, memoryMiB * MIB * CACHE_FRACTION);
}

/** Bytes of the budget that callers share. */
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
      if (refused !== undefined) throw memoryRefusal(refused);
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

function memoryRefusal(refused: Refusal): RelayError {
  return refused === "own_share"
    ? new RelayError(
        "memory_share_full",
        "Your running requests already hold all the memory that one caller may use. Wait until some have ended, or send smaller ones.",
        { headers: { "Retry-After": "5" } },
      )
    : new RelayError("memory_full", "The memory for requests (limits.memoryMiB) is used up at the moment.", {
        headers: { "Retry-After": "5" },
      });
}
