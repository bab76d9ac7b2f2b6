/** Deadlines of leases by a clock that never jumps: the wall clock may be set back or forward by an hour. */

/**
 * One process has the file, so deadlines are kept in memory. A transaction that was rolled back leaves at most a deadline of an
 * attempt that does not run, which `expired` drops.
 */
export class LeaseClock {
  readonly #deadlines = new Map<string, number>();
  readonly #now: () => number;
  readonly #defaultMs: number;

  /** @param now in ms @param defaultMs lease of a running attempt that has no deadline here */
  constructor(now: () => number, defaultMs: number) {
    this.#now = now;
    this.#defaultMs = defaultMs;
  }

  /** The attempt's lease ends in `ms` from now. */
  set(attemptId: string, ms: number): void {
    this.#deadlines.set(attemptId, this.#now() + ms);
  }

  /** Those of the running attempts whose lease has ended. */
  expired(running: readonly string[]): string[] {
    const all = new Set(running);
    for (const id of this.#deadlines.keys()) if (!all.has(id)) this.#deadlines.delete(id);
    for (const id of all) if (!this.#deadlines.has(id)) this.set(id, this.#defaultMs);
    return running.filter((id) => this.#deadlines.get(id)! < this.#now());
  }
}
