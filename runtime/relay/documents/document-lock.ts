/** Exclusive work on a document: a mutex within this process, a lease among relays that share a store. */
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { DocumentKey } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { keyText } from "./store.ts";
import { type StoreGuard, StoreUnavailable } from "./store-guard.ts";

/** How long a request waits for a document that is being embedded before it gets `document_busy`. */
const PATIENCE_MS = 60_000;
/** Length of a lease: how long a dead relay blocks a document. A running one renews its lease four times as often. */
const LEASE_MS = 20_000;
const POLL_MS = 200;

const busy = () =>
  new RelayError("document_busy", "Another request is embedding this document. Try again in 10 seconds.", {
    headers: { "Retry-After": "10" },
  });

export class DocumentLock {
  readonly #guard: StoreGuard;
  readonly #mutex = new KeyedMutex();
  readonly #patienceMs: number;
  /** The process id lets the store on this Mac free the leases of a process that has died. */
  readonly #owner = `${process.pid}:${randomUUID()}`;

  /** @param patienceMs how long a request waits for the document */
  constructor(guard: StoreGuard, patienceMs: number = PATIENCE_MS) {
    this.#guard = guard;
    this.#patienceMs = patienceMs;
  }

  /**
   * Runs `work` exclusively for the document. Its signal aborts with `signal`, or when the lease is lost: another relay may
   * have begun by then, so nothing may be stored. While the store is unavailable, exclusion covers this process only.
   * @throws RelayError `document_busy` after a minute of waiting, or what `work` throws
   */
  run<T>(key: DocumentKey, signal: AbortSignal, work: (held: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#patienceMs;
    return this.#mutex.runExclusive(keyText(key), this.#patienceMs, busy, () =>
      this.#withLease(key, signal, deadline, work),
    );
  }

  async #withLease<T>(
    key: DocumentKey,
    signal: AbortSignal,
    deadline: number,
    work: (held: AbortSignal) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const take = () => this.#guard.use((store) => store.lease(key, this.#owner, LEASE_MS));
    let leased = true;
    try {
      while (!(await take())) {
        if (performance.now() > deadline) throw busy();
        await wait(POLL_MS, undefined, { signal });
      }
    } catch (cause) {
      if (!(cause instanceof StoreUnavailable)) throw cause;
      leased = false;
    }
    const lost = new AbortController();
    const renew = setInterval(() => {
      if (!leased) return;
      take().then(
        (still) => !still && lost.abort(busy()),
        () => {}, // the store is unavailable, so no relay can store anything
      );
    }, LEASE_MS / 4);
    try {
      return await work(AbortSignal.any([signal, lost.signal]));
    } finally {
      clearInterval(renew);
      if (leased) await this.#guard.use((store) => store.releaseLease(key, this.#owner)).catch(() => {});
    }
  }
}
