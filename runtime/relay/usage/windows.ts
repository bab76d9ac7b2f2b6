/** Amounts of the last 60 seconds. Pure. */

/** Whole seconds before the one that has begun: together they cover any 60 seconds. */
const SECONDS = 61;

/**
 * Sums amounts by second. A total covers the second that has begun and the 60 before it, so at no time does any span of 60 s
 * hold more than what a check against it allowed.
 */
export class SlidingMinute {
  readonly #amounts = new Float64Array(SECONDS);
  #last = 0;
  #total = 0;

  /** @param at ms since 1970 */
  add(at: number, amount: number): void {
    this.#advance(at);
    this.#amounts[this.#last % SECONDS]! += amount;
    this.#total += amount;
  }

  total(at: number): number {
    this.#advance(at);
    return this.#total;
  }

  /** How long until at most `amount` is left, in ms; 0 if it is no more now. */
  untilAtMost(at: number, amount: number): number {
    this.#advance(at);
    let left = this.#total;
    if (left <= amount) return 0;
    for (let second = this.#last - SECONDS + 1; second <= this.#last; second += 1) {
      left -= this.#amounts[((second % SECONDS) + SECONDS) % SECONDS]!;
      if (left <= amount) return Math.max(1, (second + SECONDS) * 1000 - at);
    }
    return SECONDS * 1000;
  }

  #advance(at: number): void {
    const second = Math.floor(at / 1000);
    const passed = second - this.#last;
    // A clock that was set back by more than the window would freeze it.
    if (passed >= SECONDS || passed <= -SECONDS) {
      this.#amounts.fill(0);
      this.#total = 0;
      this.#last = second;
      return;
    }
    for (; this.#last < second; ) {
      this.#last += 1;
      this.#total -= this.#amounts[this.#last % SECONDS]!;
      this.#amounts[this.#last % SECONDS] = 0;
    }
  }
}
