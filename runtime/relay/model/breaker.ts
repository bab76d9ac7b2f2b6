/** Stops sending to a model server that does not answer, and finds out by itself when it does again. */

import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";

/** closed: requests pass. open: none do. half-open: none do, and one look at the model server is under way. */
export type BreakerState = "closed" | "open" | "half-open";

/**
 * | state | leaves it | to |
 * |---|---|---|
 * | closed | the third failure in a row | open |
 * | open | its pause is over (2 s, doubled each time, at most 30 s) | half-open |
 * | half-open | the look succeeds | closed |
 * | half-open | the look fails | open |
 *
 * An answer with status 5xx is no failure: it may be one request's own fault.
 */
export interface Breaker {
  readonly state: BreakerState;
  /** How often it has opened since the start. */
  readonly opened: number;
  /** Throws `model_down` (503, with `Retry-After`) unless closed. */
  check(): void;
  /** The model server answered. */
  succeeded(): void;
  /** The model server could not be reached, broke off before its answer, or said nothing in time. */
  failed(): void;
  /** Resolves once closed; rejects with ClientDisconnected when `signal` fires. For jobs, which wait without using up attempts. */
  whenClosed(signal: AbortSignal): Promise<void>;
  /** Ends the timer. Who waits for `whenClosed` waits on until its signal fires. */
  stop(): void;
}

export interface BreakerOptions {
  /** Looks at the model server once; never rejects. */
  readonly probe: () => Promise<boolean>;
  /** @default 3 */
  readonly failures?: number;
  /** @default 2000 */
  readonly pauseMs?: number;
  /** @default 30_000 */
  readonly longestPauseMs?: number;
  readonly now?: () => number;
}

export function createBreaker(options: BreakerOptions): Breaker {
  const { probe, failures = 3, pauseMs = 2000, longestPauseMs = 30_000, now = () => performance.now() } = options;
  let state: BreakerState = "closed";
  let inARow = 0;
  let opened = 0;
  let pause = pauseMs;
  let probeAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const waiting = new Set<() => void>();
  let stopped = false;

  const open = () => {
    if (stopped) return;
    state = "open";
    probeAt = now() + pause;
    timer = setTimeout(() => void look(), pause);
    pause = Math.min(pause * 2, longestPauseMs);
  };
  const look = async () => {
    state = "half-open";
    if (await probe()) close();
    else open();
  };
  const close = () => {
    state = "closed";
    inARow = 0;
    pause = pauseMs;
    for (const wake of [...waiting]) wake();
  };

  return {
    get state() {
      return state;
    },
    get opened() {
      return opened;
    },
    check() {
      if (state === "closed") return;
      const seconds = Math.max(1, Math.ceil((probeAt - now()) / 1000));
      throw new RelayError("model_down", "The model server on the Mac is down. It is looked at again and again.", {
        headers: { "Retry-After": String(seconds) },
      });
    },
    succeeded() {
      if (state === "closed") inARow = 0;
    },
    failed() {
      if (state !== "closed") return; // a request from before it opened
      inARow += 1;
      if (inARow < failures) return;
      opened += 1;
      open();
    },
    whenClosed(signal) {
      if (state === "closed") return Promise.resolve();
      const left = () => new ClientDisconnected("left while the model server was down");
      if (signal.aborted) return Promise.reject(left());
      return new Promise((resolve, reject) => {
        const leave = () => {
          waiting.delete(wake);
          reject(left());
        };
        const wake = () => {
          waiting.delete(wake);
          signal.removeEventListener("abort", leave);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener("abort", leave, { once: true });
      });
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
