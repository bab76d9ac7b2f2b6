/** Stored documents combined with pending changes: look-ups, uses, removals, and the write path of ingestion. */
import { randomUUID } from "node:crypto";
import type { DocumentKey } from "../access/names.ts";
import { ContentCache } from "./content-cache.ts";
import { DeletionFence, type FencedRequest } from "./deletion-fence.ts";
import type { LastAccessWriter } from "./last-access.ts";
import type { DocumentLifetime } from "./lifetime.ts";
import type { DocumentContent, DocumentMeta, Listing, Sharing } from "./store.ts";
import { CONTENT_MS, type StoreGuard, StoreUnavailable } from "./store-guard.ts";

/** Why a document was not found. */
export type Miss = "absent" | "version" | "model" | "store_away";

/** Stores a document. Resolves with whether it is stored, or "full" if there is no room for it. */
export type Put = (meta: DocumentMeta, content: DocumentContent) => Promise<boolean | "full">;

/** Default bound of the content cache, in bytes. */
const CACHE_BYTES = 128 << 20;

/** See the file's comment. Times in ms since 1970. */
export class DocumentRepository {
  readonly #guard: StoreGuard;
  readonly #lastAccess: LastAccessWriter;
  readonly #lifetime: DocumentLifetime;
  readonly #now: () => number;
  readonly #contents: ContentCache;
  readonly #fence = new DeletionFence();

  constructor(
    guard: StoreGuard,
    lastAccess: LastAccessWriter,
    lifetime: DocumentLifetime,
    now: () => number,
    cacheBytes = CACHE_BYTES,
  ) {
    this.#contents = new ContentCache(cacheBytes);
    this.#guard = guard;
    this.#lastAccess = lastAccess;
    this.#lifetime = lifetime;
    this.#now = now;
  }

  /** When a document expires if it is not used again. */
  expiresAt({ lastAccessedAt }: Pick<DocumentMeta, "lastAccessedAt">): number {
    return this.#lifetime.expiresAt(lastAccessedAt);
  }

  /** The document of that name, made by any model; or why there is none. Does not count as a use. */
  async find(key: DocumentKey): Promise<DocumentMeta | "absent" | "store_away"> {
    const livingSince = this.#lifetime.livingSince(this.#now());
    const used = this.#lastAccess.pending(key) ?? 0; // not in the store yet
    try {
      const found = await this.#guard.use((store) => store.meta(key, used > livingSince ? 0 : livingSince));
      return found === undefined ? "absent" : { ...found, lastAccessedAt: Math.max(found.lastAccessedAt, used) };
    } catch (cause) {
      return unlessUnavailable(cause, "store_away");
    }
  }

  /** Counts as a use. @returns the document with its new last-access time */
  async use(meta: DocumentMeta): Promise<DocumentMeta> {
    const at = this.#now();
    // A use that cannot be written shortens a document's life, but must not fail a look-up.
    await this.#lastAccess.note(meta, at).catch(() => {});
    return { ...meta, lastAccessedAt: Math.max(meta.lastAccessedAt, at) };
  }

  /** The contents of exactly that revision, from the cache if possible; undefined if it is gone. */
  async content(meta: DocumentMeta): Promise<DocumentContent | undefined> {
    const cached = this.#contents.get(meta.revision);
    if (cached !== undefined) return cached;
    try {
      const found = await this.#guard.use((store) => store.content(meta, meta.revision), CONTENT_MS);
      if (found === undefined || found.vectors.length !== found.chunks.length * meta.dimensions) return undefined;
      this.#contents.put(meta.revision, found, meta.bytes);
      return found;
    } catch (cause) {
      return unlessUnavailable(cause, undefined);
    }
  }

  /** Registers a request that may store the document; a removal answered before it ends takes precedence. */
  fence(key: DocumentKey): FencedRequest {
    return this.#fence.register(key);
  }

  /**
   * Runs the work that makes a document. What it passes to `put` is stored, unless the document was removed since the request
   * or the work began, another relay has declared a write, or the store is unavailable: then `put` resolves with false.
   */
  async ingest<T>(
    key: DocumentKey,
    request: FencedRequest,
    sharing: Sharing,
    work: (put: Put) => Promise<T>,
  ): Promise<T> {
    const token = randomUUID();
    const orFalse = (cause: unknown) => unlessUnavailable(cause, false as const);
    const now = this.#now();
    const declared = this.#guard.use((store) => store.declareWrite(key, token, now, this.#lifetime.livingSince(now)));
    let hasIntent = await declared.then(() => true, orFalse);
    try {
      return await work(async (meta, content) => {
        if (!hasIntent || request.deleted) return false;
        const put = this.#guard.use((store) => store.put(meta, content, token, sharing), CONTENT_MS);
        const stored = await put.catch(orFalse);
        hasIntent = stored !== true;
        return stored;
      });
    } finally {
      if (hasIntent) await this.#guard.use((store) => store.withdrawWrite(key, token)).catch(() => {});
    }
  }

  /** Whether the store has room for this many bytes. True while it is unavailable, since nothing is stored then. */
  async hasRoom(bytes: number, sharing: Sharing): Promise<boolean> {
    return this.#guard
      .use((store) => store.hasRoom(bytes, sharing))
      .catch((cause: unknown) => unlessUnavailable(cause, true));
  }

  /** Changes the caller's name for the document's state. */
  async setVersion(meta: DocumentMeta, version: string): Promise<DocumentMeta> {
    if (meta.version === version) return meta;
    await this.#guard.use((store) => store.setVersion(meta, meta.revision, version)).catch(() => {});
    return { ...meta, version };
  }

  /** @throws StoreUnavailable */
  list(listing: Omit<Listing, "livingSince">): Promise<DocumentMeta[]> {
    return this.#guard.use((store) => store.list({ ...listing, livingSince: this.#lifetime.livingSince(this.#now()) }));
  }

  /**
   * Removes one document, or without a title all of a company, including those in progress. All of a company are removed in
   * bounded steps, between which other requests use the store. @returns how many were removed @throws StoreUnavailable
   */
  async remove(company: string, title?: string): Promise<number> {
    this.#fence.markDeleted(company, title);
    if (title !== undefined)
      return Number(await this.#guard.use((store) => store.remove({ company, title }), CONTENT_MS));
    for (let all = 0; ; ) {
      const { removed, more } = await this.#guard.use((store) => store.removeCompany(company), CONTENT_MS);
      all += removed;
      if (!more) return all;
    }
  }
}

/** @returns `otherwise` for StoreUnavailable @throws any other cause */
function unlessUnavailable<T>(cause: unknown, otherwise: T): T {
  if (cause instanceof StoreUnavailable) return otherwise;
  throw cause;
}
