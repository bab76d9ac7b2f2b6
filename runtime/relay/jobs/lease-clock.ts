/** Lease deadlines on a monotonic clock, since the wall clock may be set back or forward. */

/**
 * Only one process has the file open, so deadlines are kept in memory. A rolled-back transaction leaves at most the deadline
 * of an attempt that is not running, which `expired` drops.
 */
export class LeaseClock {
  readonly #deadlines = new Map<string, number>();
  readonly #now: () => number;
  readonly #defaultMs: number;

  /** @param now in ms @param defaultMs lease of a running attempt without a deadline here */
  constructor(now: () => number, defaultMs: number) {
    this.#now = now;
    this.#defaultMs = defaultMs;
  }

  /** Sets the end of the attempt's lease to `ms` from now. */
  set(attemptId: string, ms: number): void {
    this.#deadlines.set(attemptId, this.#now() + ms);
  }

  /** The running attempts whose lease has expired. */
  expired(running: readonly string[]): string[] {
    const all = new Set(running);
    for (const id of this.#deadlines.keys()) if (!all.has(id)) this.#deadlines.delete(id);
    for (const id of all) if (!this.#deadlines.has(id)) this.set(id, this.#defaultMs);
    return running.filter((id) => this.#deadlines.get(id)! < this.#now());
  }
}
