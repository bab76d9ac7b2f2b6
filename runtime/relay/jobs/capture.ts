/** Answers of the model server, kept in memory: beside their way to the caller, or in its place. */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { CallerLeft } from "../body.ts";
import { RelayError } from "../errors.ts";
import { headersFromModel } from "../headers.ts";
import type { Sink } from "../hold.ts";
import type { Upstream, UpstreamCall } from "../upstream.ts";
import { Meter } from "../usage.ts";
import type { StoredAnswer } from "./store.ts";

/** Keeps a copy of an answer on its way. */
export class AnswerCopy {
  readonly #maxBytes: number;
  #head: { status: number; headers: StoredAnswer["headers"] } | undefined;
  #chunks: Buffer[] | undefined = [];
  #size = 0;
  /** Fed as the pieces come: to hash a long answer at its end would block for a tenth of a second. */
  readonly #hash = createHash("sha256");

  /** @param maxBytes of the body; of a longer one nothing is kept */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#head = { status, headers: headersFromModel(headers) };
  }

  write(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#maxBytes) this.#chunks = undefined;
    if (this.#chunks === undefined) return;
    this.#chunks.push(chunk);
    this.#hash.update(chunk);
  }

  /** The answer so far; undefined if it was too long, or has not begun. */
  get answer(): StoredAnswer | undefined {
    if (this.#head === undefined || this.#chunks === undefined) return undefined;
    const body = Buffer.concat(this.#chunks, this.#size);
    return { ...this.#head, body, sha256: this.#hash.copy().digest("hex") };
  }

  get tooLong(): boolean {
    return this.#chunks === undefined;
  }

  /** A sink that passes all on to another and copies it. */
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

/** An answer that nobody but the relay reads, and what it used. */
export interface Collected {
  readonly answer: StoredAnswer;
  readonly tokens: number | undefined;
}

/**
 * Sends the call and gives the answer whole, whatever its status. Nothing is retried. Rejects as `Upstream.forward` does,
 * and with `model_broke_off` for an answer over `maxBytes`. `onBytes` is told of each piece that arrives.
 */
export async function collectAnswer(
  upstream: Pick<Upstream, "forward">,
  call: UpstreamCall & { readonly signal: AbortSignal },
  maxBytes: number,
  onBytes: (bytes: number) => void,
): Promise<Collected> {
  const copy = new AnswerCopy(maxBytes);
  const meter = new Meter();
  const enough = new AbortController();
  const tooLong = () =>
    new RelayError("model_broke_off", `The model server's answer is larger than ${maxBytes} bytes.`);
  try {
    await upstream.forward(
      { ...call, signal: AbortSignal.any([call.signal, enough.signal]) },
      {
        head(status, headers) {
          copy.head(status, headers);
          meter.begin(String(headers["content-type"] ?? ""));
        },
        write(chunk) {
          copy.write(chunk);
          meter.feed(chunk);
          onBytes(chunk.length);
          if (copy.tooLong) enough.abort();
          return true;
        },
        end() {},
        onceDrained() {},
      },
    );
  } catch (cause) {
    throw cause instanceof CallerLeft && copy.tooLong ? tooLong() : cause;
  }
  const { answer } = copy;
  if (answer === undefined) throw tooLong();
  const { prompt, output } = meter.usage();
  return { answer, tokens: prompt === undefined && output === undefined ? undefined : (prompt ?? 0) + (output ?? 0) };
}
