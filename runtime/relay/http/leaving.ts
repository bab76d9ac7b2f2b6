/** How a request's parts learn that its caller has left. */

/** As much of an AbortSignal as the way of a request needs; every AbortSignal is one. */
export interface LeaveSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void, options: { once: true }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

// Without a reason each abort would make an exception with its stack.
const LEFT = new Error("the exchange has ended");

/** Fires once. An AbortController for each request would be among its dearest objects, so one is made only when asked for. */
export class Leaving implements LeaveSignal {
  aborted = false;
  /** One, nearly always. */
  #listeners: (() => void)[] = [];
  #controller: AbortController | undefined;

  /** For what takes nothing but an AbortSignal. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort(LEFT);
    }
    return this.#controller.signal;
  }

  addEventListener(_type: "abort", listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  /** Fires, the first time. */
  leave(): void {
    if (this.aborted) return;
    this.aborted = true;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
    this.#controller?.abort(LEFT);
  }
}
