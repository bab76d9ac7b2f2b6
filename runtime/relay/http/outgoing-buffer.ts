/**
 * Buffers an answer for a reader that may be slower than the model server. Unread bytes are kept in memory, charged to the
 * caller, so that the model server's slot is free as soon as it has answered. Only an answer that cannot be buffered holds up
 * the model server, for a bounded time.
 */
import type { Reservation } from "../memory/budget.ts";

/** Most bytes buffered of one answer: three times 2,048 vectors of 1,024 numbers as JSON. */
export const LONGEST_KEPT = 64 * 1024 * 1024;
/** Bytes per ms. A reader this fast does not count as one that holds up the model server. */
const FAST = (8 * 1024 * 1024) / 1000;
/** Overhead of a piece, in bytes. */
const PIECE_COST = 256;

/** Destination of the answer. */
export interface Reader {
  /** @returns false: write no more until it has drained */
  write(chunk: Buffer): boolean;
  onceDrained(go: () => void): void;
}

/** Buffer of one answer. To end it early, destroy the reader; then no callback runs. */
export class OutgoingBuffer {
  readonly #reader: Reader;
  readonly #memory: Reservation | undefined;
  #pieces: Buffer[] = [];
  /** Index of the first piece that is still to be written. */
  #next = 0;
  /** Size of the pieces with their overhead, in bytes. */
  #kept = 0;
  #reserved = 0;
  #last: (() => void) | undefined;
  #onRoom: (() => void) | undefined;
  /** The model server continues once no more than this is buffered. */
  #resumeAt = 0;
  #blockedSince: number | undefined;
  #pausedSince: number | undefined;
  #pausedMs = 0;

  /** @param memory grows with the buffer; without one nothing is accounted for */
  constructor(reader: Reader, memory: Reservation | undefined) {
    this.#reader = reader;
    this.#memory = memory;
  }

  /** How long the reader has taken none of the waiting bytes, in ms; 0 while none wait. */
  blockedMs(now: number): number {
    return this.#blockedSince === undefined ? 0 : now - this.#blockedSince;
  }

  /** How long this reader has held up the model server, in total, minus the time that a fast one would need; in ms. */
  pausedMs(now: number): number {
    return this.#pausedMs + (this.#pausedSince === undefined ? 0 : now - this.#pausedSince);
  }

  /** Whether bytes are waiting for the reader. */
  get waits(): boolean {
    return this.#blockedSince !== undefined;
  }

  /** @returns false: the model server must wait until `onceRoom` calls */
  write(chunk: Buffer): boolean {
    if (this.#blockedSince === undefined) {
      if (!this.#reader.write(chunk)) this.#block();
      return true;
    }
    this.#pieces.push(chunk);
    this.#kept += chunk.length + PIECE_COST;
    if (this.#kept <= LONGEST_KEPT && this.#reserve()) return true;
    this.#resumeAt = this.#kept / 2;
    this.#pausedSince ??= performance.now();
    return false;
  }

  /** Calls `go` once, when more may be written after a write that returned false. */
  onceRoom(go: () => void): void {
    this.#onRoom = go;
  }

  /** Calls `last` when all has been written. */
  finish(last: () => void): void {
    if (this.#pieces.length === 0) last();
    else this.#last = last;
  }

  /** @returns false when the caller's memory is used up; the bytes are kept, and the model server must pause */
  #reserve(): boolean {
    try {
      if (this.#kept > this.#reserved) this.#memory?.grow(this.#kept - this.#reserved);
    } catch {
      return false;
    }
    this.#reserved = Math.max(this.#reserved, this.#kept);
    return true;
  }

  #block(): void {
    this.#blockedSince = performance.now();
    this.#reader.onceDrained(() => this.#drained());
  }

  #drained(): void {
    this.#blockedSince = undefined;
    while (this.#next < this.#pieces.length && this.#blockedSince === undefined) {
      const piece = this.#pieces[this.#next]!;
      this.#next += 1;
      this.#kept -= piece.length + PIECE_COST;
      if (this.#pausedSince !== undefined) this.#pausedMs -= piece.length / FAST;
      if (!this.#reader.write(piece)) this.#block();
    }
    // Not after each piece: that would move all the others each time.
    if (this.#next * 2 >= this.#pieces.length) {
      this.#pieces = this.#pieces.slice(this.#next);
      this.#next = 0;
    }
    if (this.#reserved > this.#kept) {
      this.#memory?.grow(this.#kept - this.#reserved);
      this.#reserved = this.#kept;
    }
    if (this.#kept <= this.#resumeAt) this.#resume();
    if (this.#pieces.length > 0) return;
    const last = this.#last;
    this.#last = undefined;
    last?.();
  }

  #resume(): void {
    const go = this.#onRoom;
    if (this.#pausedSince !== undefined) this.#pausedMs += performance.now() - this.#pausedSince;
    this.#pausedSince = undefined;
    this.#onRoom = undefined;
    go?.();
  }
}
