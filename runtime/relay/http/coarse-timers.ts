/** Timers that every request sets and that hardly ever expire: one of Node's timers for all, instead of one or two each. */

export interface CoarseTimer {
  /** When it expires, in ms by the clock of `performance`. May be changed at any time; `onExpire` must change it. */
  dueAt: number;
  onExpire(): void;
}

export class CoarseTimers {
  readonly #all = new Set<CoarseTimer>();
  readonly #everyMs: number;
  #interval: NodeJS.Timeout | undefined;

  /** @param everyMs a timer expires late by at most this time */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  add(timer: CoarseTimer): void {
    this.#all.add(timer);
    this.#interval ??= setInterval(() => this.#check(), this.#everyMs).unref();
  }

  delete(timer: CoarseTimer): void {
    this.#all.delete(timer);
  }

  #check(): void {
    const now = performance.now();
    for (const timer of [...this.#all]) if (this.#all.has(timer) && timer.dueAt <= now) timer.onExpire();
    if (this.#all.size > 0) return;
    clearInterval(this.#interval);
    this.#interval = undefined;
  }
}
