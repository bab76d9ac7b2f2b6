/** In-memory cache of document contents, bounded in bytes; the least recently used are evicted first. */
import { LRUCache } from "lru-cache";
import type { DocumentContent } from "./store.ts";
import { lengthsOf } from "./vectors.ts";

/** Contents, and the lengths of their vectors once computed. */
export interface CachedContent extends DocumentContent {
  lengths?: Float64Array;
}

interface Entry {
  readonly content: CachedContent;
  readonly bytes: number;
}

/** Keyed by revision: a replaced document has another revision, so stale contents are never found. */
export class ContentCache {
  readonly #entries: LRUCache<string, Entry>;

  /** @param maxBytes in total; larger contents are not cached */
  constructor(maxBytes: number) {
    this.#entries = new LRUCache({ maxSize: maxBytes, sizeCalculation: ({ bytes }) => Math.max(1, bytes) });
  }

  get(revision: string): CachedContent | undefined {
    return this.#entries.get(revision)?.content;
  }

  put(revision: string, content: DocumentContent, bytes: number): void {
    this.#entries.set(revision, { content, bytes });
  }
}

/** The lengths of a document's vectors, computed once while its contents are cached. */
export function lengthsIn(content: CachedContent, dimensions: number): Float64Array {
  content.lengths ??= lengthsOf(content.vectors, dimensions);
  return content.lengths;
}
