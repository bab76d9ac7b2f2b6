/** Write-behind of last access: one write for many look-ups, since a write costs more than a look-up. */
import type { DocumentKey } from "../access/names.ts";
import { type DocumentMeta, keyText, type Use } from "./store.ts";
import type { StoreGuard } from "./store-guard.ts";

const HOUR_MS = 3_600_000;
const FLUSH_MS = 30_000;
/** With this many documents noted they are written at once. */
const MAX_NOTED = 1000;

/** Writes uses every 30 s, at the stop, and at once when a document has less than an hour to live. */
export class LastAccessWriter {
  readonly #guard: StoreGuard;
  readonly #ttlMs: number;
  readonly #uses = new Map<string, Use>();
  #timer: NodeJS.Timeout | undefined;

  constructor(guard: StoreGuard, ttlMs: number) {
    this.#guard = guard;
    this.#ttlMs = ttlMs;
  }

  /** When a document was last used, in ms since 1970, if that is not written yet. */
  pending(key: DocumentKey): number | undefined {
    return this.#uses.get(keyText(key))?.at;
  }

  /** Notes a use. Resolves at once, or once it is written if the document was about to expire. @throws StoreUnavailable */
  async note(meta: DocumentMeta, at: number): Promise<void> {
    const { company, title, lastAccessedAt } = meta;
    this.#uses.set(keyText(meta), { company, title, at });
    if (lastAccessedAt + this.#ttlMs - at < HOUR_MS || this.#uses.size >= MAX_NOTED) return this.flush();
    this.#schedule();
  }

  /** Writes what is noted; what cannot be written is kept for the next time. @throws StoreUnavailable */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#uses.size === 0) return;
    const uses = [...this.#uses.entries()];
    this.#uses.clear();
    try {
      await this.#guard.use((store) => store.touch(uses.map(([, use]) => use)));
    } catch (cause) {
      for (const [key, use] of uses) {
        if (!this.#uses.has(key) && this.#uses.size < 10 * MAX_NOTED) this.#uses.set(key, use);
      }
      this.#schedule();
      throw cause;
    }
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), FLUSH_MS).unref();
  }
}
