/** Uses of documents, written together: a write for every look-up would cost more than the look-up. */
import type { DocumentKey } from "../access/names.ts";
import type { DocumentMeta, Use } from "./store.ts";
import type { StoreGuard } from "./store-guard.ts";

const HOUR_MS = 3_600_000;
const EVERY_MS = 30_000;
/** More than this many documents are not kept waiting. */
const MOST = 1000;

/** Collects uses and writes them every 30 s, at once when a document has under an hour to live, and at the stop. */
export class LastAccessWriter {
  readonly #guard: StoreGuard;
  readonly #ttlMs: number;
  readonly #uses = new Map<string, Use>();
  #timer: NodeJS.Timeout | undefined;

  constructor(guard: StoreGuard, ttlMs: number) {
    this.#guard = guard;
    this.#ttlMs = ttlMs;
  }

  /** When a document was last used, if that is not written yet. */
  pending({ company, title }: DocumentKey): number | undefined {
    return this.#uses.get(JSON.stringify([company, title]))?.at;
  }

  /** Notes a use. Resolves at once, or when it is written, if little life was left. @throws StoreUnavailable */
  async note({ company, title, lastAccessedAt }: DocumentMeta, at: number): Promise<void> {
    this.#uses.set(JSON.stringify([company, title]), { company, title, at });
    if (lastAccessedAt + this.#ttlMs - at < HOUR_MS || this.#uses.size >= MOST) return this.flush();
    this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), EVERY_MS).unref();
  }

  /** Writes what is noted. What can not be written is kept for the next time. @throws StoreUnavailable */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#uses.size === 0) return;
    const uses = [...this.#uses.entries()];
    this.#uses.clear();
    try {
      await this.#guard.use((store) => store.touch(uses.map(([, use]) => use)));
    } catch (cause) {
      for (const [key, use] of uses) if (!this.#uses.has(key) && this.#uses.size < 10 * MOST) this.#uses.set(key, use);
      this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), EVERY_MS).unref();
      throw cause;
    }
  }
}
