/** Notifies waiters within this process when a job changes. */
import { EventEmitter } from "node:events";

export interface Changes {
  /** Notifies everyone who waits for this job. */
  changed(jobId: string): void;
  /** Calls `act` at each change; returns a function that unsubscribes. */
  watch(jobId: string, act: () => void): () => void;
  /**
   * Resolves with the first result of `check` that is not undefined; it is called now and at each change. Resolves with
   * undefined after `ms`, when `signal` aborts, or when `close` is called. Rejects when `check` does.
   */
  until<T>(jobId: string, ms: number, signal: AbortSignal, check: () => Promise<T | undefined>): Promise<T | undefined>;
  /** Ends all waits; subscribers are notified once more. */
  close(): void;
  readonly closed: boolean;
}

export function createChanges(): Changes {
  const emitter = new EventEmitter().setMaxListeners(0);
  const closing = new AbortController();
  return {
    changed: (jobId) => void emitter.emit(jobId),
    watch(jobId, act) {
      emitter.on(jobId, act);
      closing.signal.addEventListener("abort", act, { once: true });
      return () => {
        emitter.off(jobId, act);
        closing.signal.removeEventListener("abort", act);
      };
    },
    async until(jobId, ms, signal, check) {
      const over = AbortSignal.any([signal, closing.signal, AbortSignal.timeout(ms)]);
      for (;;) {
        // Subscribes before the first check, so that no change is missed.
        const next = Promise.withResolvers<void>();
        emitter.once(jobId, next.resolve);
        over.addEventListener("abort", () => next.resolve(), { once: true });
        try {
          const found = await check();
          if (found !== undefined || over.aborted) return found;
          await next.promise;
          if (over.aborted) return undefined;
        } finally {
          emitter.off(jobId, next.resolve);
        }
      }
    },
    close: () => closing.abort(),
    get closed() {
      return closing.signal.aborted;
    },
  };
}
