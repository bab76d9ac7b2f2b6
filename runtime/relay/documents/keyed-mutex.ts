/** Mutual exclusion by key, on async-mutex. */
import { Mutex, withTimeout } from "async-mutex";

/** One mutex per key, kept only while it is held or waited for. Waiters are served in order. */
export class KeyedMutex {
  readonly #entries = new Map<string, { readonly mutex: Mutex; users: number }>();

  /**
   * Runs `work` while holding the key. A waiter that times out gives up only its own place in the queue.
   * @param timeoutMs how long to wait for the key @param timedOut makes the error it then rejects with
   */
  async runExclusive<T>(key: string, timeoutMs: number, timedOut: () => Error, work: () => Promise<T>): Promise<T> {
    const entry = this.#entries.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#entries.set(key, entry);
    entry.users += 1;
    try {
      return await withTimeout(entry.mutex, timeoutMs, timedOut()).runExclusive(work);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#entries.delete(key);
    }
  }

  /** Number of keys that are held or waited for. */
  get size(): number {
    return this.#entries.size;
  }
}
