/** Bounds the bytes of bodies and answers in transfer to the job store's thread. */

/** Bodies and answers are copied between threads, so only this many bytes are in transfer at once. */
const MAX_BYTES = 32 * 1024 * 1024;

/** Bytes of the bodies and answers in a command's arguments. */
export function bytesIn(args: readonly unknown[]): number {
  let bytes = 0;
  for (const arg of args) {
    if (typeof arg === "object" && arg !== null && "body" in arg && arg.body instanceof Uint8Array) {
      bytes += arg.body.length;
    }
  }
  return bytes;
}

/** A semaphore counted in bytes, first in, first out. Commands without bytes pass at once. */
export class TransferLimit {
  #bytes = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  /** Resolves when this many bytes may be sent; one command may always be sent, however large. */
  async enter(bytes: number): Promise<void> {
    if (bytes === 0) return;
    await new Promise<void>((go) => {
      this.#waiting.push({ bytes, go });
      this.#next();
    });
  }

  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.#next();
  }

  #next(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || (this.#bytes > 0 && this.#bytes + first.bytes > MAX_BYTES)) return;
      this.#waiting.shift();
      this.#bytes += first.bytes;
      first.go();
    }
  }
}
