/** Alarms that every request sets and hardly any ever needs: one timer for all of them, instead of one or two each. */

import { Bag, type InBag } from "./bag.ts";

export interface Alarm extends InBag {
  /** When it rings, in ms by the clock of `performance`. May be changed at any time; whoever rings must change it. */
  dueAt: number;
  ring(): void;
}

export class Alarms {
  readonly #set = new Bag<Alarm>();
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param everyMs an alarm rings so much late at most */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  add(alarm: Alarm): void {
    this.#set.add(alarm);
    this.#timer ??= setInterval(() => this.#look(), this.#everyMs).unref();
  }

  delete(alarm: Alarm): void {
    this.#set.delete(alarm);
  }

  #look(): void {
    const now = performance.now();
    for (const alarm of this.#set.list()) if (alarm.place >= 0 && alarm.dueAt <= now) alarm.ring();
    if (this.#set.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
