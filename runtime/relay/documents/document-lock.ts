/** One piece of work a document at a time: in this process by a queue, among relays on one store by a lease. */
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { DocumentKey } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import { type StoreGuard, StoreUnavailable } from "./store-guard.ts";

/** How long others wait for a document that is being embedded, before they are told to come again. */
const PATIENCE_MS = 60_000;
/** A relay that died keeps a document for no longer than this; one that lives extends its lease in time. */
const LEASE_MS = 20_000;
const POLL_MS = 200;

const busy = () =>
  new RelayError("document_busy", "Another request is embedding this document. Try again in a while.", {
    headers: { "Retry-After": "10" },
  });

/** A queue for each document. */
export class DocumentLock {
  readonly #guard: StoreGuard;
  readonly #now: () => number;
  readonly #owner = randomUUID();
  readonly #queues = new Map<string, Promise<void>>();

  constructor(guard: StoreGuard, now: () => number) {
    this.#guard = guard;
    this.#now = now;
  }

  /**
   * Runs `work` when nobody else works on the document. Its signal fires with `signal`, or when the lease is lost: then
   * another relay may have begun, and nothing must be stored. While the store is away only this process is kept in order.
   * @throws RelayError `document_busy` after a minute of waiting, or what `work` throws
   */
  async run<T>(key: DocumentKey, signal: AbortSignal, work: (held: AbortSignal) => Promise<T>): Promise<T> {
    const name = JSON.stringify([key.company, key.title]);
    const before = this.#queues.get(name);
    const mine = Promise.withResolvers<void>();
    const turn = Promise.all([before, mine.promise]).then(() => {});
    this.#queues.set(name, turn);
    const deadline = performance.now() + PATIENCE_MS;
    try {
      if (before !== undefined && !(await settledWithin(before, PATIENCE_MS))) throw busy();
      return await this.#leased(key, signal, deadline, work);
    } finally {
      mine.resolve();
      if (this.#queues.get(name) === turn) this.#queues.delete(name);
    }
  }

  async #leased<T>(
    key: DocumentKey,
    signal: AbortSignal,
    deadline: number,
    work: (held: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const take = () => this.#guard.use((store) => store.lease(key, this.#owner, this.#now() + LEASE_MS, this.#now()));
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
    const extend = setInterval(() => {
      if (!leased) return;
      take().then(
        (still) => !still && lost.abort(busy()),
        () => {}, // the store is away: nothing can be stored, by nobody
      );
    }, LEASE_MS / 4);
    try {
      return await work(AbortSignal.any([signal, lost.signal]));
    } finally {
      clearInterval(extend);
      if (leased) await this.#guard.use((store) => store.releaseLease(key, this.#owner)).catch(() => {});
    }
  }
}

async function settledWithin(before: Promise<void>, ms: number): Promise<boolean> {
  const stop = new AbortController();
  const late = wait(ms, false, { signal: stop.signal, ref: false }).catch(() => false);
  const settled = await Promise.race([before.then(() => true), late]);
  stop.abort();
  return settled;
}
