/** Contents of documents in memory, the least recently used dropped first. */
import type { DocumentContent } from "./store.ts";
import { lengthsOf } from "./vectors.ts";

/** Contents, and the lengths of their vectors once they were asked for. */
export interface Kept extends DocumentContent {
  lengths?: Float64Array;
}

/** By revision: a document that was replaced has another, so that nothing old is ever found. */
export class LruContents {
  readonly #most: number;
  readonly #entries = new Map<string, { content: Kept; bytes: number }>();
  #bytes = 0;

  /** @param most bytes kept at once */
  constructor(most: number) {
    this.#most = most;
  }

  get(revision: string): Kept | undefined {
    const entry = this.#entries.get(revision);
    if (entry === undefined) return undefined;
    this.#entries.delete(revision);
    this.#entries.set(revision, entry);
    return entry.content;
  }

  put(revision: string, content: DocumentContent, bytes: number): void {
    if (bytes > this.#most) return;
    this.#bytes += bytes - (this.#entries.get(revision)?.bytes ?? 0);
    this.#entries.delete(revision);
    this.#entries.set(revision, { content, bytes });
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#most) break;
      this.#entries.delete(oldest);
      this.#bytes -= entry.bytes;
    }
  }
}

/** The lengths of a document's vectors, computed once as long as it is kept. */
export function lengthsIn(content: Kept, dimensions: number): Float64Array {
  content.lengths ??= lengthsOf(content.vectors, dimensions);
  return content.lengths;
}
