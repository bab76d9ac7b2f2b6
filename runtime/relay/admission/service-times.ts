/** Moving averages of the time and tokens of requests. */
import { QUANTUM } from "./deficit-round-robin.ts";

/** The averages cover about this many requests. */
const AVERAGED_REQUESTS = 20;

export class ServiceTimes {
  #measured = 0;
  #ms = 0;
  #tokens = 0;

  /** Number of requests measured. */
  get measured(): number {
    return this.#measured;
  }

  /** Mean time that a request holds its slot, in ms; 0 before the first. */
  get meanMs(): number {
    return this.#ms;
  }

  add(ms: number, tokens: number): void {
    this.#measured += 1;
    const part = 1 / Math.min(this.#measured, AVERAGED_REQUESTS);
    this.#ms += (ms - this.#ms) * part;
    this.#tokens += (tokens - this.#tokens) * part;
  }

  /** Tokens used on average while a slot is held for that time; undefined before the first request. */
  tokensFor(ms: number): number | undefined {
    return this.#ms > 0 ? Math.max((ms * this.#tokens) / this.#ms, this.minTokensFor(ms)) : undefined;
  }

  /**
   * Minimum charge for holding a slot for that time, whatever was done: one quantum per mean service time. 0 before the first
   * request.
   */
  minTokensFor(ms: number): number {
    return this.#ms > 0 ? (ms * QUANTUM) / this.#ms : 0;
  }
}
