/** Who waits for a job to change, within this process. */
import { EventEmitter } from "node:events";

export interface Changes {
  /** Tells all who wait for this job. */
  changed(jobId: string): void;
  /** Calls `act` at each change; returns how to stop it. */
  watch(jobId: string, act: () => void): () => void;
  /**
   * Resolves with what `check` gives once that is not undefined; asked now and at each change. undefined after `ms`, when
   * `signal` fires, or when `close` is called. Rejects when `check` does.
   */
  until<T>(jobId: string, ms: number, signal: AbortSignal, check: () => Promise<T | undefined>): Promise<T | undefined>;
  /** Nobody waits any more. Whoever watches is told once. */
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
        // Listening before asking: a change in between is not missed.
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
