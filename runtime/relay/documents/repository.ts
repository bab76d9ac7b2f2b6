/** Look-ups, uses and removals: all that needs no model but its name. */

import { randomUUID } from "node:crypto";
import type { DocumentKey } from "../access/names.ts";
import { DeletionFence, type FencedRequest } from "./deletion-fence.ts";
import type { LastAccessWriter } from "./last-access.ts";
import { LruContents } from "./lru.ts";
import type { DocumentContent, DocumentMeta, Listing, Sharing } from "./store.ts";
import { CONTENT_MS, type StoreGuard, StoreUnavailable } from "./store-guard.ts";

/** Why a document was not found. */
export type Miss = "absent" | "version" | "model" | "store_away";

/** Stores a document; whether it is stored now, or "full": there is no room for it. */
export type Put = (meta: DocumentMeta, content: DocumentContent) => Promise<boolean | "full">;

/** Contents of documents kept in memory, if nothing else is said. */
const CACHE_BYTES = 128 << 20;

/** The documents as the store has them, with what is known of their use. */
export class DocumentRepository {
  readonly #guard: StoreGuard;
  readonly #lastAccess: LastAccessWriter;
  readonly #ttlMs: number;
  readonly #now: () => number;
  readonly #contents: LruContents;
  readonly #fence = new DeletionFence();

  constructor(
    guard: StoreGuard,
    lastAccess: LastAccessWriter,
    ttlMs: number,
    now: () => number,
    cacheBytes = CACHE_BYTES,
  ) {
    this.#contents = new LruContents(cacheBytes);
    this.#guard = guard;
    this.#lastAccess = lastAccess;
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
    const used = this.#lastAccess.pending(key) ?? 0; // the store does not know yet
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
    await this.#lastAccess.note(meta, at).catch(() => {});
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

  /** A request that may store the document has come; a removal that is answered before it leaves wins over it. */
  enter(key: DocumentKey): FencedRequest {
    return this.#fence.enter(key);
  }

  /**
   * Does the work that makes a document. What it gives to `put` is stored, unless the document was removed since `present`
   * came or this began, another relay has begun it too, or the store was or is away: then `put` gives false.
   */
  async making<T>(
    key: DocumentKey,
    present: FencedRequest,
    sharing: Sharing,
    work: (put: Put) => Promise<T>,
  ): Promise<T> {
    const token = randomUUID();
    const orFalse = (cause: unknown): false => {
      if (cause instanceof StoreUnavailable) return false;
      throw cause;
    };
    const now = this.#now();
    const begin = this.#guard.use((store) => store.declareWrite(key, token, now, now - this.#ttlMs));
    let begun = await begin.then(() => true, orFalse);
    try {
      return await work(async (meta, content) => {
        if (!begun || present.removed) return false;
        const stored = await this.#guard
          .use((store) => store.put(meta, content, token, sharing), CONTENT_MS)
          .catch(orFalse);
        begun = stored === false;
        return stored;
      });
    } finally {
      if (begun) await this.#guard.use((store) => store.withdrawWrite(key, token)).catch(() => {});
    }
  }

  /** Whether the store has room for so many bytes; also while it is away, since nothing is stored then. */
  async hasRoom(bytes: number, sharing: Sharing): Promise<boolean> {
    return this.#guard
      .use((store) => store.hasRoom(bytes, sharing))
      .catch((cause: unknown) => {
        if (cause instanceof StoreUnavailable) return true;
        throw cause;
      });
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

  /** Removes one document, or without a title all of a company, also what is being made; how many. @throws StoreUnavailable */
  async remove(company: string, title?: string): Promise<number> {
    this.#fence.note(company, title);
    if (title === undefined) return this.#guard.use((store) => store.removeCompany(company));
    return Number(await this.#guard.use((store) => store.remove({ company, title })));
  }
}
