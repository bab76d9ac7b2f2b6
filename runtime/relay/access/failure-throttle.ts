/** Slows failed sign-ins down. Successful ones are never delayed. */

/** Failures within the window before delays begin. */
const FREE = 10;
const WINDOW_MS = 60_000;
const DELAY_MS = 1000;
/** Delayed responses at a time; each keeps a connection open. */
const MOST_DELAYED = 32;

/** Counts failures in windows of a minute. */
export class FailureThrottle {
  #failures = 0;
  #windowStart = Number.NEGATIVE_INFINITY;
  #delayed = 0;
  readonly #now: () => number;
  readonly #delayMs: number;

  constructor(now: () => number = () => performance.now(), delayMs = DELAY_MS) {
    this.#now = now;
    this.#delayMs = delayMs;
  }

  /** Counts a failure. Resolves when it may be answered: at once, or after a delay. */
  async failed(): Promise<void> {
    const now = this.#now();
    if (now - this.#windowStart >= WINDOW_MS) [this.#windowStart, this.#failures] = [now, 0];
    this.#failures += 1;
    if (this.#failures <= FREE || this.#delayed >= MOST_DELAYED) return;
    this.#delayed += 1;
    await new Promise<void>((resolve) => setTimeout(resolve, this.#delayMs));
    this.#delayed -= 1;
  }
}
