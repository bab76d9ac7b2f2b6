/** What requests took lately, in time and tokens. */
import { QUANTUM } from "./deficit-round-robin.ts";

/** Averages are over about this many requests. */
const AVERAGED_REQUESTS = 20;

export class ServiceTimes {
  #measured = 0;
  #ms = 0;
  #tokens = 0;

  /** How many requests were measured so far. */
  get measured(): number {
    return this.#measured;
  }

  /** Mean time of a request in its slot, in ms; 0 before the first. */
  get meanMs(): number {
    return this.#ms;
  }

  add(ms: number, tokens: number): void {
    this.#measured += 1;
    const part = 1 / Math.min(this.#measured, AVERAGED_REQUESTS);
    this.#ms += (ms - this.#ms) * part;
    this.#tokens += (tokens - this.#tokens) * part;
  }

  /** Tokens that are used in so much time of a slot; undefined before anything was measured. */
  tokensFor(ms: number): number | undefined {
    return this.#ms > 0 ? Math.max((ms * this.#tokens) / this.#ms, this.minTokensFor(ms)) : undefined;
  }

  /**
   * What so much time of a slot costs at least, whatever was done in it: a turn's worth for the mean time of a request. 0
   * before anything was measured.
   */
  minTokensFor(ms: number): number {
    return this.#ms > 0 ? (ms * QUANTUM) / this.#ms : 0;
  }
}
