/** Tells requests that may store a document that it was removed since they came, also those that wait for their turn. */
import type { DocumentKey } from "../access/names.ts";

/** A request that is here. */
export interface FencedRequest {
  /** Whether its document was removed since it came: then it must store nothing. */
  readonly removed: boolean;
  leave(): void;
}

/** The requests of this process; the store's `begin` does the same among relays, from there on. */
export class DeletionFence {
  readonly #present = new Set<{ readonly key: DocumentKey; removed: boolean }>();

  /** A request has come. It must leave. */
  enter(key: DocumentKey): FencedRequest {
    const one = { key, removed: false };
    this.#present.add(one);
    return {
      get removed() {
        return one.removed;
      },
      leave: () => void this.#present.delete(one),
    };
  }

  /** A document, or without a title all of a company's, is being removed. */
  note(company: string, title?: string): void {
    for (const one of this.#present) {
      if (one.key.company === company && (title === undefined || one.key.title === title)) one.removed = true;
    }
  }
}
