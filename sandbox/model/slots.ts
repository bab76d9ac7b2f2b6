/** The places a model server has for requests that compute; the rest wait in order, without bound, as Ollama's do (ollama#7758). */

interface Waiter {
  start: () => void;
}

/** A fixed number of places and a queue (first in, first out). */
export class Slots {
  #size: number;
  #taken = 0;
  #waiters: Waiter[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** From now on so many; what runs ends as it is. */
  resize(size: number): void {
    this.#size = size;
    for (let i = 0; i < size; i += 1) this.#next();
  }

  /** How many places there are. */
  get size(): number {
    return this.#size;
  }

  /** Requests that wait for a place. */
  get waiting(): number {
    return this.#waiters.length;
  }

  /** Places in use. */
  get active(): number {
    return this.#taken;
  }

  /**
   * Waits for a place; gives the function that frees it (calling it twice frees it once). Rejects with the signal's
   * reason when the signal comes first, and leaves the queue then.
   */
  acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      };
      const waiter: Waiter = {
        start: () => {
          signal.removeEventListener("abort", onAbort);
          this.#taken += 1;
          let held = true;
          resolve(() => {
            if (!held) return;
            held = false;
            this.#taken -= 1;
            this.#next();
          });
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.push(waiter);
      this.#next();
    });
  }

  #next(): void {
    if (this.#taken < this.#size) this.#waiters.shift()?.start();
  }
}
