/** A request that was admitted: what it has reserved, until it is settled. */
import type { QuotaFlow } from "./quota-flow.ts";

export interface QuotaHold {
  /** Reserves tokens for an embedding model: of those it was admitted with, and more. @throws RelayError as `admit` */
  reserve(tokens: number): void;
  /** Ends it: what it had reserved is free, what it used is charged. Later calls have no effect. */
  settle(tokens: number, embedded: number): void;
  /** State of the quotas by minute as OpenAI's headers; undefined without such a quota. */
  headers(): Readonly<Record<string, string>> | undefined;
}

/** Where holds are entered. */
interface HoldBook {
  /** More tokens of an admitted request. @throws RelayError a 429 */
  reserve(hold: Hold, tokens: number, embedded: number): void;
  settle(hold: Hold, tokens: number, embedded: number): void;
  headersOf(flows: readonly QuotaFlow[]): Record<string, string> | undefined;
}

export class Hold implements QuotaHold {
  readonly flows: readonly QuotaFlow[];
  readonly caller: string;
  readonly company: string;
  /** Reserved. */
  tokens: number;
  embedded = 0;
  /** Of those it was admitted with, what is not used for an embedding yet. */
  #spare: number;
  readonly #book: HoldBook;
  #ended = false;

  constructor(book: HoldBook, flows: readonly QuotaFlow[], caller: string, company: string, tokens: number) {
    this.#book = book;
    this.flows = flows;
    this.caller = caller;
    this.company = company;
    this.tokens = tokens;
    this.#spare = tokens;
  }

  reserve(tokens: number): void {
    if (this.#ended) return;
    const more = Math.max(0, tokens - this.#spare);
    this.#book.reserve(this, more, tokens);
    this.#spare -= tokens - more;
    this.tokens += more;
    this.embedded += tokens;
  }

  settle(tokens: number, embedded: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#book.settle(this, tokens, embedded);
  }

  headers(): Record<string, string> | undefined {
    return this.#book.headersOf(this.flows);
  }
}
