/** Availability of the document store: while it does not answer, requests fail at once instead of waiting for it. */
import type { Log } from "../telemetry/log.ts";
import type { DocumentStore } from "./store.ts";

/** The store does not answer, or an operation failed. The reason is for the log and the status page, not for callers. */
export class StoreUnavailable extends Error {}

/** State of the store, for the status page. */
export type StoreState =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string; readonly since: string };

const PING_AGAIN_MS = 3_000;
/** Time-outs of operations: a small one, and one that carries up to 12 MB over an office's uplink. */
const BRIEF_MS = 5_000;
export const CONTENT_MS = 45_000;

/**
 * A store that is opened in the background. After a failed operation the store is pinged; only if that fails too is it
 * unavailable, for all requests, until a ping succeeds.
 */
export class StoreGuard {
  readonly #open: () => Promise<DocumentStore>;
  readonly #log: Log;
  readonly #pingAgainMs: number;
  #store: DocumentStore | undefined;
  #state: StoreState = { available: false, reason: "not opened yet", since: new Date().toISOString() };
  #timer: NodeJS.Timeout | undefined;
  #trying: Promise<void> | undefined;
  #tried = false;
  #closed = false;

  /** @param pingAgainMs pause between two pings of an unavailable store */
  constructor(open: () => Promise<DocumentStore>, log: Log, pingAgainMs: number = PING_AGAIN_MS) {
    this.#open = open;
    this.#log = log;
    this.#pingAgainMs = pingAgainMs;
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Opens the store, or pings it. Never rejects; repeats itself after a failure. */
  try(): Promise<void> {
    this.#trying ??= this.#tryOnce().finally(() => {
      this.#trying = undefined;
      this.#tried = true;
    });
    return this.#trying;
  }

  /**
   * Runs an operation on the store. @throws StoreUnavailable at once while it is unavailable, and when the operation fails or
   * takes longer than `withinMs` (then it may still take effect)
   */
  async use<T>(work: (store: DocumentStore) => Promise<T>, withinMs = BRIEF_MS): Promise<T> {
    if (!this.#tried) await this.#trying; // the relay has just started
    if (!this.#state.available || this.#store === undefined) throw new StoreUnavailable("the store is unavailable");
    try {
      return await within(withinMs, work(this.#store));
    } catch (cause) {
      if (!this.#closed && this.#trying === undefined) {
        this.#log.warn(
          { reason: reasonOf(cause) },
          "an operation of the document store failed; checking whether it answers",
        );
        void this.try();
      }
      throw new StoreUnavailable("the operation failed", { cause });
    }
  }

  /** Closes the store, after a running attempt to open it. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#trying;
    await this.#store?.close();
  }

  async #tryOnce(): Promise<void> {
    try {
      this.#store ??= await this.#open();
      await within(BRIEF_MS, this.#store.ping());
      if (!this.#state.available) this.#log.info("the document store answers");
      this.#state = { available: true };
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #failed(cause: unknown): void {
    if (this.#closed) return;
    const reason = reasonOf(cause);
    if (this.#state.available || this.#state.reason !== reason) {
      this.#log.warn({ reason }, "the document store does not answer; going on without it");
    }
    const since = this.#state.available ? new Date().toISOString() : this.#state.since;
    this.#state = { available: false, reason, since };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.try(), this.#pingAgainMs);
    this.#timer.unref();
  }
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
