/**
 * How long a document lives: `documents.ttlDays` after its last use; default and bounds are in `runtime/documents-config.ts`, the
 * words of its errors in `config/documents.ts`, and `policy/rules.ts` checks what is declared. A look-up, a search
 * and a PUT of the same text are uses (`DocumentRepository.use`), written by `last-access.ts`. Reads skip an expired document
 * at once; it is removed later, by the hourly sweep in `documents.ts`, or in Atlas by the TTL index that
 * `components/document-store.ts` declares with the same number of days.
 */

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** The rule, for one number of days. Times in ms since 1970. */
export class DocumentLifetime {
  readonly #ttlMs: number;

  /** @param ttlDays days after the last use */
  constructor(ttlDays: number) {
    this.#ttlMs = ttlDays * DAY_MS;
  }

  /** When a document expires if it is not used again. */
  expiresAt(lastAccessedAt: number): number {
    return lastAccessedAt + this.#ttlMs;
  }

  /** A document that was last used at this time or before has expired. */
  livingSince(now: number): number {
    return now - this.#ttlMs;
  }

  /** Whether less than an hour is left, so that a use must be written at once. */
  isAlmostOver(lastAccessedAt: number, now: number): boolean {
    return this.expiresAt(lastAccessedAt) - now < HOUR_MS;
  }
}
