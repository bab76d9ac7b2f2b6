/** Captures the model server's answers in memory, either as a copy on the way to the caller or instead of sending them. */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Dialect } from "../dialects/dialect.ts";
import { RelayError } from "../errors.ts";
import { AnswerRewriter, type AnswerRule } from "../http/answer-rewriter.ts";
import type { Sink } from "../http/answer-writer.ts";
import { ClientDisconnected } from "../http/body.ts";
import { headersFromModel } from "../http/header-filters.ts";
import type { Reservation } from "../memory/budget.ts";
import { ChunkCollector } from "../memory/chunk-collector.ts";
import type { Upstream, UpstreamCall } from "../model/upstream.ts";
import { Meter, type Usage } from "../usage/usage.ts";
import type { StoredAnswer } from "./store.ts";

/** Copies an answer that is being sent. */
export class AnswerCopy {
  readonly #dialect: Dialect;
  readonly #maxBytes: number;
  readonly #memory: Reservation | undefined;
  #head: { status: number; headers: StoredAnswer["headers"] } | undefined;
  #declared: number | undefined;
  #pieces: ChunkCollector | undefined;
  #reserved = 0;
  #kept: StoredAnswer | undefined;
  /** Why there is no copy: the answer was too long, or memory for it could not be reserved. */
  failure: "too_long" | RelayError | undefined;
  /** Updated with each piece: hashing a long answer at its end would block for a tenth of a second. */
  readonly #hash = createHash("sha256");

  /**
   * @param dialect whose headers are kept
   * @param maxBytes longest body that is kept
   * @param memory grows with the copy; if it cannot, the copy is dropped. Without one the copy is not accounted for
   */
  constructor(dialect: Dialect, maxBytes: number, memory?: Reservation) {
    this.#dialect = dialect;
    this.#maxBytes = maxBytes;
    this.#memory = memory;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#head = { status, headers: headersFromModel(headers, this.#dialect) };
    const length = headers["content-length"];
    this.#declared = length === undefined ? undefined : Number(length);
    this.#pieces = new ChunkCollector(this.#declared);
    if ((this.#declared ?? 0) > this.#maxBytes) this.#fail("too_long");
  }

  write(chunk: Buffer): void {
    const pieces = this.#pieces;
    if (pieces === undefined) return;
    const size = pieces.size + chunk.length;
    if (size > this.#maxBytes) {
      this.#fail("too_long");
      return;
    }
    const needed = ChunkCollector.bytesFor(size, this.#declared);
    try {
      if (needed > this.#reserved) this.#memory?.grow(needed - this.#reserved);
    } catch (cause) {
      this.#fail(cause as RelayError);
      return;
    }
    this.#reserved = Math.max(this.#reserved, needed);
    pieces.push(chunk);
    this.#hash.update(chunk);
  }

  /** The answer, once it is complete; undefined before that, and if there is no copy. */
  get answer(): StoredAnswer | undefined {
    if (this.#kept !== undefined || this.#head === undefined || this.#pieces === undefined) return this.#kept;
    const { size } = this.#pieces;
    const body = this.#pieces.end();
    this.#pieces = undefined;
    this.#memory?.grow(size - this.#reserved);
    this.#reserved = size;
    this.#kept = { ...this.#head, body, sha256: this.#hash.digest("hex") };
    return this.#kept;
  }

  #fail(failure: "too_long" | RelayError): void {
    this.failure = failure;
    this.#pieces = undefined;
    this.#memory?.grow(-this.#reserved);
    this.#reserved = 0;
  }

  /** A sink that forwards everything to `to` and copies it. */
  tee(to: Sink): Sink {
    return {
      head: (status, headers) => {
        this.head(status, headers);
        to.head(status, headers);
      },
      write: (chunk) => {
        this.write(chunk);
        return to.write(chunk);
      },
      end: () => to.end(),
      onceDrained: (go) => to.onceDrained(go),
    };
  }
}

/** An answer that only the relay reads, and its token usage. */
export interface Collected {
  readonly answer: StoredAnswer;
  readonly usage: Usage;
}

/**
 * Sends the call and returns the whole answer, whatever its status. Nothing is retried. Rejects as `Upstream.forward` does,
 * with `model_broke_off` for an answer over `maxBytes`, and with `memory_*` if `memory` cannot grow by the answer.
 * `onBytes` is called for each piece.
 * @param rule how the answer is rewritten before it is kept
 * @param meter reads what the answer used; also of one that breaks off
 */
export async function collectAnswer(
  upstream: Pick<Upstream, "forward">,
  call: UpstreamCall & { readonly signal: AbortSignal },
  maxBytes: number,
  memory: Reservation,
  onBytes: (bytes: number) => void,
  rule: AnswerRule = () => undefined,
  meter: Meter = new Meter(call.dialect.usage),
): Promise<Collected> {
  const copy = new AnswerCopy(call.dialect, maxBytes, memory);
  const enough = new AbortController();
  const failed = () =>
    copy.failure instanceof RelayError
      ? copy.failure
      : new RelayError("model_broke_off", `The model server's answer is larger than ${maxBytes} bytes.`);
  const kept: Sink = {
    head: (status, headers) => copy.head(status, headers),
    write(chunk) {
      copy.write(chunk);
      return true;
    },
    end() {},
    onceDrained() {},
  };
  const rewriter = new AnswerRewriter(kept, rule);
  try {
    await upstream.forward(
      { ...call, signal: AbortSignal.any([call.signal, enough.signal]) },
      {
        head(status, headers) {
          rewriter.head(status, headers);
          meter.begin(String(headers["content-type"] ?? ""));
          if (copy.failure !== undefined) enough.abort();
        },
        write(chunk) {
          rewriter.write(chunk);
          meter.feed(chunk);
          onBytes(chunk.length);
          if (copy.failure !== undefined) enough.abort();
          return true;
        },
        end: () => rewriter.end(),
        onceDrained() {},
      },
    );
  } catch (cause) {
    throw cause instanceof ClientDisconnected && copy.failure !== undefined ? failed() : cause;
  }
  const { answer } = copy;
  if (answer === undefined) throw failed();
  return { answer, usage: meter.usage() };
}
