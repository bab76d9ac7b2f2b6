/** An answer to a caller, with the headers that each of the relay's answers has. */
import { randomUUID } from "node:crypto";
import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from "node:http";

/** Makes them part of the answer itself, so that none can go without. */
export class RelayResponse extends ServerResponse<IncomingMessage> {
  /** Sent as `X-Slm-Request-Id`. */
  readonly requestId: string = randomUUID();
  // Cloudflare caches by the path's extension unless told not to.
  readonly #always: OutgoingHttpHeader[] = ["Cache-Control", "no-store", "X-Slm-Request-Id", this.requestId];

  constructor(req: IncomingMessage) {
    super(req);
    // The socket's time without any movement is over. Node would cut a request that waits for its answer, too.
    this.on("timeout", () => {
      const unread = this.writableLength > 0 || (this.writableEnded && !this.writableFinished);
      if (unread) this.destroy();
    });
  }

  /** Adds a header that no other part sets. Costs less than `setHeader`, which makes Node keep all of them twice. */
  also(name: string, value: string): void {
    this.#always.push(name, value);
  }

  /** As in Node, without a reason phrase. */
  override writeHead(status: number, headers?: unknown): this {
    const given = (headers ?? {}) as OutgoingHttpHeaders;
    if (this.getHeaderNames().length > 0) {
      for (let at = 0; at < this.#always.length; at += 2) {
        this.setHeader(String(this.#always[at]), this.#always[at + 1]!);
      }
      return super.writeHead(status, given);
    }
    const all = this.#always;
    for (const name in given) {
      const value = given[name];
      if (Array.isArray(value)) for (const one of value) all.push(name, one);
      else if (value !== undefined) all.push(name, value);
    }
    return super.writeHead(status, all);
  }
}
