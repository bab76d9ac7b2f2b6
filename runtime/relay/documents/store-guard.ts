/** Stands before the store: when it fails, all who ask are told so at once, until it answers again. */
import type { Log } from "../telemetry/log.ts";
import type { DocumentStore } from "./store.ts";

/** The store does not answer. The reason is for the log and the page for people, not for callers. */
export class StoreUnavailable extends Error {}

/** How the store is, for the status. */
export type StoreState =
  | { readonly available: true }
  | { readonly available: false; readonly reason: string; readonly since: string };

const AGAIN_MS = 3_000;
/** How long an operation may take: a small one, and one that carries up to 12 MB over an office's line. */
const BRIEF_MS = 5_000;
export const CONTENT_MS = 45_000;

/** A store that is opened in the background and may come and go. */
export class StoreGuard {
  readonly #open: () => Promise<DocumentStore>;
  readonly #log: Log;
  readonly #againMs: number;
  #store: DocumentStore | undefined;
  #state: StoreState = { available: false, reason: "not opened yet", since: new Date().toISOString() };
  #timer: NodeJS.Timeout | undefined;
  #trying: Promise<void> | undefined;
  #tried = false;
  #closed = false;

  /** @param againMs how often a store that failed is asked whether it is back */
  constructor(open: () => Promise<DocumentStore>, log: Log, againMs: number = AGAIN_MS) {
    this.#open = open;
    this.#log = log;
    this.#againMs = againMs;
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Opens the store, or asks it whether it is back. Never rejects; a failure is tried again later by itself. */
  try(): Promise<void> {
    this.#trying ??= this.#tryOnce().finally(() => {
      this.#trying = undefined;
      this.#tried = true;
    });
    return this.#trying;
  }

  /**
   * Does something with the store. @throws StoreUnavailable at once while it is away, when it fails, or when it takes longer
   * than `withinMs` (then it may still come to pass)
   */
  async use<T>(work: (store: DocumentStore) => Promise<T>, withinMs = BRIEF_MS): Promise<T> {
    if (!this.#tried) await this.#trying; // the relay has just started
    if (!this.#state.available || this.#store === undefined) throw new StoreUnavailable("the store is away");
    try {
      return await within(withinMs, work(this.#store));
    } catch (cause) {
      this.#failed(cause);
      throw new StoreUnavailable("the store failed", { cause });
    }
  }

  /** Closes the store, once an attempt to open it has ended. */
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
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (this.#state.available || this.#state.reason !== reason) {
      this.#log.warn({ reason }, "the document store does not answer; going on without it");
    }
    const since = this.#state.available ? new Date().toISOString() : this.#state.since;
    this.#state = { available: false, reason, since };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.try(), this.#againMs);
    this.#timer.unref();
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
