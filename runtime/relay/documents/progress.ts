/** Progress of an ingestion as server-sent events. */
import { errorAnswer, RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { jsonPieces, writePieces } from "../http/json-output.ts";

export interface Progress {
  /** `event: progress` */
  readonly step: (done: number, total: number) => void;
  /** `event: done`, and the end. */
  done(document: unknown): Promise<void>;
  /** `event: error` with an error's body, and the end: the status was sent long ago. */
  failed(cause: unknown): void;
}

/**
 * Sends the head of the answer at once. Throws `too_many_streams`.
 * @param everyMs between two comments: Cloudflare ends a request after 100 s without a byte
 */
export function startProgress(exchange: HeldExchange, everyMs: number): Progress {
  const { res } = exchange;
  exchange.holding.stream(); // until the exchange ends
  res.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
  res.flushHeaders();
  // Nothing is written while the client does not read, so that nothing accumulates for it.
  const write = (text: string) => {
    if (!res.writableNeedDrain) res.write(text);
  };
  const timer = setInterval(() => write(": still at it\n\n"), everyMs).unref();
  res.once("close", () => clearInterval(timer));
  const event = (name: string, json: string) => `event: ${name}\ndata: ${json}\n\n`;
  const end = (name: string, json: string) => {
    clearInterval(timer);
    res.end(event(name, json));
  };
  return {
    step: (done, total) => write(event("progress", JSON.stringify({ done, total }))),
    async done(document) {
      clearInterval(timer);
      res.write("event: done\ndata: ");
      await writePieces(res, jsonPieces(document));
      res.end("\n\n");
    },
    failed(cause) {
      const error =
        cause instanceof RelayError
          ? cause
          : new RelayError("internal", "The relay failed on this document.", { cause });
      exchange.record.failed(error);
      end("error", errorAnswer(error).body);
    },
  };
}
