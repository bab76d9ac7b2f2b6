/** Deletion fence: a request that arrived before a document was deleted does not store it again. */
import type { DocumentKey } from "../access/names.ts";

/** A request that may store a document. */
export interface FencedRequest {
  /** Whether its document was deleted since it arrived; then it must not store it. */
  readonly deleted: boolean;
  /** Must be called when the request has ended. */
  leave(): void;
}

/** Covers requests in this process from arrival on. Among relays the store's write intents do so once work has begun. */
export class DeletionFence {
  readonly #requests = new Set<{ readonly key: DocumentKey; deleted: boolean }>();

  /** Registers a request that has arrived. */
  register(key: DocumentKey): FencedRequest {
    const request = { key, deleted: false };
    this.#requests.add(request);
    return {
      get deleted() {
        return request.deleted;
      },
      leave: () => void this.#requests.delete(request),
    };
  }

  /** Must be called when a document, or without a title every document of the company, is deleted. */
  markDeleted(company: string, title?: string): void {
    for (const request of this.#requests) {
      const { key } = request;
      if (key.company === company && (title === undefined || key.title === title)) request.deleted = true;
    }
  }
}
