/** Timers that every request sets and that rarely expire: one Node timer for all instead of one or two each. */
import { type Indexed, IndexedSet } from "../indexed-set.ts";

export interface CoarseTimer extends Indexed {
  /** Expiry, in ms of `performance.now()`. May be changed at any time; `onExpire` must change it. */
  dueAt: number;
  onExpire(): void;
}

export class CoarseTimers {
  readonly #all = new IndexedSet<CoarseTimer>();
  readonly #everyMs: number;
  #interval: NodeJS.Timeout | undefined;

  /** @param everyMs resolution: a timer expires up to this late */
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
    for (const timer of this.#all.items()) if (timer.index >= 0 && timer.dueAt <= now) timer.onExpire();
    if (this.#all.size > 0) return;
    clearInterval(this.#interval);
    this.#interval = undefined;
  }
}
