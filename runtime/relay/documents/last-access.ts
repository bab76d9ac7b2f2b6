/** Write-behind of last-access times: one write for many look-ups, since a write costs more than a look-up. */
import type { DocumentKey } from "../access/names.ts";
import type { DocumentLifetime } from "./lifetime.ts";
import { type DocumentMeta, keyText, type Use } from "./store.ts";
import type { StoreGuard } from "./store-guard.ts";

const FLUSH_MS = 30_000;
/** Number of pending documents at which they are written at once. */
const MAX_NOTED = 1000;

/** Writes pending uses every 30 s, at the stop, and at once for a document with less than an hour to live. */
export class LastAccessWriter {
  readonly #guard: StoreGuard;
  readonly #lifetime: DocumentLifetime;
  readonly #uses = new Map<string, Use>();
  #timer: NodeJS.Timeout | undefined;

  constructor(guard: StoreGuard, lifetime: DocumentLifetime) {
    this.#guard = guard;
    this.#lifetime = lifetime;
  }

  /** The pending last use of a document, in ms since 1970; undefined if there is none. */
  pending(key: DocumentKey): number | undefined {
    return this.#uses.get(keyText(key))?.at;
  }

  /** Records a use. Resolves at once, or after the write if the document was about to expire. @throws StoreUnavailable */
  async note(meta: DocumentMeta, at: number): Promise<void> {
    const { company, title, lastAccessedAt } = meta;
    this.#uses.set(keyText(meta), { company, title, at });
    if (this.#lifetime.isAlmostOver(lastAccessedAt, at) || this.#uses.size >= MAX_NOTED) return this.flush();
    this.#schedule();
  }

  /** Writes all pending uses; those that fail stay pending. @throws StoreUnavailable */
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
