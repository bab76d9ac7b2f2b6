/** Look-ups, uses and removals: all that needs no model but its name. */

import { LruContents } from "./lru.ts";
import type { DocumentKey } from "./names.ts";
import type { DocumentContent, DocumentMeta, Listing } from "./store.ts";
import { CONTENT_MS, type StoreGuard, StoreUnavailable } from "./store-guard.ts";
import type { Touches } from "./touches.ts";

/** Why a document was not found. */
export type Miss = "absent" | "version" | "model" | "store_away";

/** The documents as the store has them, with what is known of their use. */
export class Library {
  readonly #guard: StoreGuard;
  readonly #touches: Touches;
  readonly #ttlMs: number;
  readonly #now: () => number;
  readonly #contents = new LruContents(128 << 20);

  constructor(guard: StoreGuard, touches: Touches, ttlMs: number, now: () => number) {
    this.#guard = guard;
    this.#touches = touches;
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** When a document goes, if it is not used again; in milliseconds since 1970. */
  expiresAt({ lastAccessedAt }: Pick<DocumentMeta, "lastAccessedAt">): number {
    return lastAccessedAt + this.#ttlMs;
  }

  /** The document of that name, used or not, of whatever model; or why there is none. */
  async find(key: DocumentKey): Promise<DocumentMeta | "absent" | "store_away"> {
    const livingSince = this.#now() - this.#ttlMs;
    const used = this.#touches.pending(key) ?? 0; // the store does not know yet
    try {
      const found = await this.#guard.use((store) => store.meta(key, used > livingSince ? 0 : livingSince));
      return found === undefined ? "absent" : { ...found, lastAccessedAt: Math.max(found.lastAccessedAt, used) };
    } catch (cause) {
      if (cause instanceof StoreUnavailable) return "store_away";
      throw cause;
    }
  }

  /** Counts as a use. Gives the document with the time of it. */
  async use(meta: DocumentMeta): Promise<DocumentMeta> {
    const at = this.#now();
    // A use that can not be written shortens a life; it must not fail a look-up.
    await this.#touches.note(meta, at).catch(() => {});
    return { ...meta, lastAccessedAt: Math.max(meta.lastAccessedAt, at) };
  }

  /** The contents of exactly that revision, from memory if it was searched before; undefined when it is gone. */
  async content(meta: DocumentMeta): Promise<DocumentContent | undefined> {
    const kept = this.#contents.get(meta.revision);
    if (kept !== undefined) return kept;
    try {
      const found = await this.#guard.use((store) => store.content(meta, meta.revision), CONTENT_MS);
      if (found === undefined || found.vectors.length !== found.chunks.length * meta.dimensions) return undefined;
      this.#contents.put(meta.revision, found, meta.bytes);
      return found;
    } catch (cause) {
      if (cause instanceof StoreUnavailable) return undefined;
      throw cause;
    }
  }

  /** Stores a document; false when the store is away. */
  async put(meta: DocumentMeta, content: DocumentContent): Promise<boolean> {
    try {
      await this.#guard.use((store) => store.put(meta, content), CONTENT_MS);
      return true;
    } catch (cause) {
      if (cause instanceof StoreUnavailable) return false;
      throw cause;
    }
  }

  /** Says what the caller calls it from now on. */
  async setVersion(meta: DocumentMeta, version: string): Promise<DocumentMeta> {
    if (meta.version === version) return meta;
    await this.#guard.use((store) => store.setVersion(meta, meta.revision, version)).catch(() => {});
    return { ...meta, version };
  }

  /** @throws StoreUnavailable */
  list(listing: Omit<Listing, "livingSince">): Promise<DocumentMeta[]> {
    return this.#guard.use((store) => store.list({ ...listing, livingSince: this.#now() - this.#ttlMs }));
  }

  /** Removes one document, or without a title all of a company; how many. @throws StoreUnavailable */
  async remove(company: string, title?: string): Promise<number> {
    if (title === undefined) return this.#guard.use((store) => store.removeCompany(company));
    return Number(await this.#guard.use((store) => store.remove({ company, title })));
  }
}
