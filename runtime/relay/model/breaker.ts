/** Circuit breaker: stops sending to a model server that does not answer, and probes it until it does. */
import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";

/** closed: requests pass. open: none do. half-open: none do, and a probe of the model server is under way. */
export type BreakerState = "closed" | "open" | "half-open";

/**
 * | state | leaves it | to |
 * |---|---|---|
 * | closed | the third failure in a row | open |
 * | open | its pause is over (2 s, doubled each time, at most 30 s) | half-open |
 * | half-open | the probe succeeds | closed |
 * | half-open | the probe fails | open |
 *
 * An answer with status 5xx does not count as a failure: one bad request may be its cause.
 */
export interface Breaker {
  readonly state: BreakerState;
  /** Number of times it has opened since the start. */
  readonly opened: number;
  /** Throws `model_down` (503, with `Retry-After`) unless closed. */
  check(): void;
  /** The model server answered. */
  succeeded(): void;
  /** The model server was unreachable, broke off before its answer, or was silent for too long. */
  failed(): void;
  /** Resolves once closed; rejects with ClientDisconnected when `signal` aborts. For jobs, which wait without using up attempts. */
  whenClosed(signal: AbortSignal): Promise<void>;
  /** Ends the timer. `whenClosed` then only settles when its signal aborts. */
  stop(): void;
}

export interface BreakerOptions {
  /** Probes the model server once; never rejects. */
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
    timer = setTimeout(() => void tryClose(), pause);
    pause = Math.min(pause * 2, longestPauseMs);
  };
  const tryClose = async () => {
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
      throw new RelayError("model_down", "The model server on the Mac is down. The relay checks it until it is back.", {
        headers: { "Retry-After": String(seconds) },
      });
    },
    succeeded() {
      if (state === "closed") inARow = 0;
    },
    failed() {
      if (state !== "closed") return; // a request that began before it opened
      inARow += 1;
      if (inARow < failures) return;
      opened += 1;
      open();
    },
    whenClosed(signal) {
      if (state === "closed") return Promise.resolve();
      const disconnected = () => new ClientDisconnected("disconnected while the model server was down");
      if (signal.aborted) return Promise.reject(disconnected());
      return new Promise((resolve, reject) => {
        const onAbort = () => {
          waiting.delete(wake);
          reject(disconnected());
        };
        const wake = () => {
          waiting.delete(wake);
          signal.removeEventListener("abort", onAbort);
          resolve();
        };
        waiting.add(wake);
        signal.addEventListener("abort", onAbort, { once: true });
      });
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
