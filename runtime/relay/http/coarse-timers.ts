/** CoarseTimers that every request sets and hardly any ever needs: one timer for all of them, instead of one or two each. */

import { Bag, type InBag } from "./bag.ts";

export interface CoarseTimer extends InBag {
  /** When it rings, in ms by the clock of `performance`. May be changed at any time; whoever rings must change it. */
  dueAt: number;
  onExpire(): void;
}

export class CoarseTimers {
  readonly #set = new Bag<CoarseTimer>();
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param everyMs an timer rings so much late at most */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  add(timer: CoarseTimer): void {
    this.#set.add(timer);
    this.#timer ??= setInterval(() => this.#look(), this.#everyMs).unref();
  }

  delete(timer: CoarseTimer): void {
    this.#set.delete(timer);
  }

  #look(): void {
    const now = performance.now();
    for (const timer of this.#set.list()) if (timer.place >= 0 && timer.dueAt <= now) timer.onExpire();
    if (this.#set.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
