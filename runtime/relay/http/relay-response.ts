/** A response to a caller, with the headers that every response of the relay has. */
import { randomUUID } from "node:crypto";
import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

/**
 * The headers of every response, names and values in turn; also of one written by hand because Node could not parse the request. By default Cloudflare
 * caches by the path's extension, and compresses, and so delays, responses that may be transformed.
 */
export const commonHeaders = (requestId: string): OutgoingHttpHeader[] => [
  "Cache-Control",
  "no-store, no-transform",
  "X-Slm-Request-Id",
  requestId,
];

/** Adds the common headers when the head is written, so that every response has them. */
export class RelayResponse extends ServerResponse<IncomingMessage> {
  /** Sent as `X-Slm-Request-Id`. */
  readonly requestId: string = randomUUID();
  /** When the request arrived and when the response's head was written, by the clock of `performance`. */
  readonly receivedAt: number = performance.now();
  #headAt: number | undefined;
  readonly #added: OutgoingHttpHeader[] = commonHeaders(this.requestId);

  /** Whether bytes wait for the client to read them. */
  get isUnread(): boolean {
    return this.writableLength > 0 || (this.writableEnded && !this.writableFinished);
  }

  /** When the head was written; undefined before. */
  get headAt(): number | undefined {
    return this.#headAt;
  }

  /** Adds a header that no other part sets. Cheaper than `setHeader`, with which Node stores all headers twice. */
  addHeader(name: string, value: string): void {
    this.#added.push(name, value);
  }

  /** States how much of the wait was spent in the relay and the model server rather than on the way. */
  addTiming(): void {
    this.addHeader("Server-Timing", `relay;dur=${(performance.now() - this.receivedAt).toFixed(1)}`);
  }

  /** As in Node, without a reason phrase. */
  override writeHead(status: number, headers?: unknown): this {
    this.#headAt ??= performance.now();
    const given = (headers ?? {}) as OutgoingHttpHeaders;
    if (this.getHeaderNames().length > 0) {
      for (let at = 0; at < this.#added.length; at += 2) {
        this.setHeader(String(this.#added[at]), this.#added[at + 1]!);
      }
      return super.writeHead(status, given);
    }
    const all = this.#added;
    for (const name in given) {
      const value = given[name];
      if (Array.isArray(value)) for (const one of value) all.push(name, one);
      else if (value !== undefined) all.push(name, value);
    }
    return super.writeHead(status, all);
  }
}
