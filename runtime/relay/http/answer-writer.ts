/** Passes an answer of the model server on to the caller: head and body as they come. */
import type { IncomingHttpHeaders } from "node:http";
import type { Dialect } from "../dialects/dialect.ts";
import { headersFromModel } from "./header-filters.ts";
import type { RelayResponse } from "./relay-response.ts";

/** Destination of a model server's answer. */
export interface Sink {
  head(status: number, headers: IncomingHttpHeaders): void;
  /** @returns false: write no more until `onceDrained` calls back */
  write(chunk: Buffer): boolean;
  end(): void;
  /** Calls `go` once, when more may be written after a write that returned false. */
  onceDrained(go: () => void): void;
}

/** Sends the head without waiting for the first token, but in one packet with the body if that is available. */
export class AnswerWriter implements Sink {
  readonly #res: RelayResponse;
  readonly #dialect: Dialect;
  #begun = false;
  /** The body's Content-Length; NaN without one. */
  #left = Number.NaN;

  constructor(res: RelayResponse, dialect: Dialect) {
    this.#res = res;
    this.#dialect = dialect;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#left = Number(headers["content-length"]);
    this.#res.addTiming();
    this.#res.writeHead(status, headersFromModel(headers, this.#dialect));
    process.nextTick(flushHead, this);
  }

  write(chunk: Buffer): boolean {
    this.#begun = true;
    this.#left -= chunk.length;
    if (this.#left !== 0) return this.#res.write(chunk);
    this.#res.end(chunk);
    return true;
  }

  end(): void {
    this.#begun = true;
    if (!this.#res.writableEnded) this.#res.end();
  }

  onceDrained(go: () => void): void {
    this.#res.once("drain", go);
  }

  /** Sends the head alone if nothing has followed. */
  flush(): void {
    if (!this.#begun && !this.#res.destroyed) this.#res.flushHeaders();
  }
}

const flushHead = (writer: AnswerWriter): void => writer.flush();
