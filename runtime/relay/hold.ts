/**
 * Keeps an answer alive while there is nothing to send: Cloudflare ends a request after 100 to 125 s without a byte, and the
 * first byte commits the status. So the status is held back as long as is safe, and only then come bytes that mean nothing:
 * comments in a stream of events, white space before JSON, spaces before a line of NDJSON (never an empty line: clients
 * parse every line). Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-524/
 */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { errorObject, type RelayError } from "./errors.ts";
import { headersFromModel } from "./headers.ts";

/** How an answer is framed. */
export type Format = "sse" | "ndjson" | "json";

/** Times in milliseconds. */
export interface Holds {
  /** First comment of a stream of events. */
  readonly sseMs: number;
  /** First white space of JSON and NDJSON: as late as is safe, since an honest status is worth more there. */
  readonly jsonMs: number;
  /** Silence after which the next byte follows. It may last twice as long. */
  readonly everyMs: number;
  /** How long a caller may read nothing of what waits for it; then it is cut, and its slot is free. */
  readonly stallMs: number;
}

export const HOLDS: Holds = { sseMs: 20_000, jsonMs: 80_000, everyMs: 15_000, stallMs: 60_000 };

/** Where an answer goes. */
export interface Sink {
  head(status: number, headers: IncomingHttpHeaders): void;
  /** @returns false: write no more until `onDrain` calls */
  write(chunk: Buffer): boolean;
  end(): void;
  onDrain(go: () => void): void;
}

const TYPES: Readonly<Record<Format, string>> = {
  sse: "text/event-stream",
  ndjson: "application/x-ndjson",
  json: "application/json; charset=utf-8",
};
const PADS: Readonly<Record<Format, string>> = { sse: ": waiting\n\n", ndjson: " ", json: " " };
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
/** Of an answer that does not fit the committed framing; an error is far shorter. */
const LONGEST_MISFIT = 256 * 1024;

/** The answer of one request. Whoever makes one must call `stop` in the end. */
export class Hold implements Sink {
  readonly #res: ServerResponse;
  readonly #holds: Holds;
  readonly #responsesApi: boolean;
  readonly #onFirstByte: () => void;
  /** Undefined once it is known that nothing may be put in between. */
  #format: Format | undefined;
  #timer: NodeJS.Timeout | undefined;
  #touched = false;
  #stalledAt: number | undefined;
  /** The model's answer has begun; pads before it do not count. */
  #begun = false;
  /** The last byte that is no carriage return, and the one before it. */
  #last = LINE_FEED;
  #beforeLast = LINE_FEED;
  #misfit: { status: number; chunks: Buffer[]; bytes: number } | undefined;

  /** @param responsesApi errors in a stream take the form of OpenAI's Responses API */
  constructor(
    res: ServerResponse,
    format: Format,
    { holds, responsesApi, onFirstByte }: { holds: Holds; responsesApi: boolean; onFirstByte: () => void },
  ) {
    this.#res = res;
    this.#format = format;
    this.#holds = holds;
    this.#responsesApi = responsesApi;
    this.#onFirstByte = onFirstByte;
    this.#arm(format === "sse" ? holds.sseMs : holds.jsonMs);
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    const type = String(headers["content-type"] ?? "");
    if (this.#res.headersSent) {
      if (status >= 300 || !this.#fits(type)) this.#misfit = { status, chunks: [], bytes: 0 };
      return;
    }
    this.#onFirstByte();
    this.#format = status < 300 && headers["content-encoding"] === undefined ? formatOf(headers) : undefined;
    sendHead(this.#res, status, headers);
    this.#arm(this.#holds.everyMs);
  }

  write(chunk: Buffer): boolean {
    this.#touched = true;
    if (this.#misfit !== undefined) {
      this.#misfit.bytes += chunk.length;
      if (this.#misfit.bytes <= LONGEST_MISFIT) this.#misfit.chunks.push(chunk);
      return true;
    }
    this.#begun = true;
    this.#remember(chunk);
    const more = this.#res.write(chunk);
    if (!more) this.#stalledAt ??= performance.now();
    return more;
  }

  end(): void {
    this.stop();
    if (this.#misfit === undefined) this.#res.end();
    else this.#res.end(this.#wrap(this.#misfit.status, Buffer.concat(this.#misfit.chunks).toString("utf8")));
  }

  onDrain(go: () => void): void {
    this.#res.on("drain", () => {
      this.#stalledAt = undefined;
      go();
    });
  }

  /**
   * Tells the caller of an error after the status has gone out. False: that is not possible, and the connection must be cut.
   * Within a model's answer the connection is cut after the error as well, so that it never looks whole.
   */
  fail(error: RelayError): boolean {
    this.stop();
    if (this.#format === undefined || !this.#between()) return false;
    const text = this.#error(errorObject(error));
    if (this.#begun) this.#res.write(text, () => this.#res.destroy());
    else this.#res.end(text);
    return true;
  }

  /** Ends the timer. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), ms);
  }

  #tick(): void {
    if (this.#res.closed) return;
    this.#arm(this.#holds.everyMs);
    if (this.#stalledAt !== undefined) {
      if (performance.now() - this.#stalledAt > this.#holds.stallMs) this.#res.destroy();
      return;
    }
    const quiet = !this.#touched;
    this.#touched = false;
    if (!quiet || this.#format === undefined || !this.#between()) return;
    if (!this.#res.headersSent) {
      this.#onFirstByte();
      this.#res.writeHead(200, { "Content-Type": TYPES[this.#format] });
    }
    this.#res.write(PADS[this.#format]);
  }

  #remember(chunk: Buffer): void {
    let found = 0;
    for (let at = chunk.length - 1; at >= 0 && found < 2; at -= 1) {
      const byte = chunk[at]!;
      if (byte === CARRIAGE_RETURN) continue;
      if (found === 0) {
        this.#beforeLast = this.#last;
        this.#last = byte;
      } else this.#beforeLast = byte;
      found += 1;
    }
  }

  /** Whether bytes may be put in here without breaking what the model writes: between events, or lines. */
  #between(): boolean {
    if (!this.#begun) return true;
    if (this.#format === "json" || this.#last !== LINE_FEED) return false;
    return this.#format === "ndjson" || this.#beforeLast === LINE_FEED;
  }

  #fits(type: string): boolean {
    return this.#format === "json" || type.startsWith(TYPES[this.#format ?? "json"]);
  }

  #wrap(status: number, text: string): string {
    if (this.#format === "json") return text;
    const value = parsed(text);
    if (status < 300 && value !== undefined) {
      return this.#format === "sse"
        ? `data: ${JSON.stringify(value)}\n\ndata: [DONE]\n\n`
        : `${JSON.stringify(value)}\n`;
    }
    const message = messageOf(value) ?? text.slice(0, 500);
    const code = codeOf(value) ?? `status_${status}`;
    return this.#error({ message, type: status < 500 ? "invalid_request_error" : "server_error", code, param: null });
  }

  #error(error: ReturnType<typeof errorObject>): string {
    const { message, code } = error;
    if (this.#format === "json") return JSON.stringify({ error });
    // Ollama's clients take `error` for the message itself.
    if (this.#format === "ndjson") return `${JSON.stringify({ error: message, code })}\n`;
    if (!this.#responsesApi) return `data: ${JSON.stringify({ error })}\n\n`;
    return `event: error\ndata: ${JSON.stringify({ type: "error", code, message, param: null, sequence_number: 0 })}\n\n`;
  }
}

/** Writes status and headers at once, not with the first token. */
export function sendHead(res: ServerResponse, status: number, headers: IncomingHttpHeaders): void {
  res.writeHead(status, headersFromModel(headers));
  // Corked, so that a body already there goes in the same packet. (Corking `res` itself loses the body when it has a
  // Content-Length and ends in the same tick: seen with Node 24.21.)
  const { socket } = res;
  socket?.cork();
  res.flushHeaders();
  process.nextTick(() => socket?.uncork());
}

/** A sink that only passes on. */
export function plainSink(res: ServerResponse, onFirstByte: () => void): Sink {
  return {
    head: (status, headers) => {
      onFirstByte();
      sendHead(res, status, headers);
    },
    write: (chunk) => res.write(chunk),
    end: () => void res.end(),
    onDrain: (go) => void res.on("drain", go),
  };
}

/** With a Content-Length not a byte may be added. */
function formatOf(headers: IncomingHttpHeaders): Format | undefined {
  if (headers["content-length"] !== undefined) return undefined;
  const type = String(headers["content-type"] ?? "").toLowerCase();
  if (type.startsWith("text/event-stream")) return "sse";
  if (type.startsWith("application/x-ndjson")) return "ndjson";
  return type.startsWith("application/json") ? "json" : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined;
const asText = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function messageOf(value: unknown): string | undefined {
  const error = field(value, "error");
  return asText(error) ?? asText(field(error, "message"));
}

const codeOf = (value: unknown): string | undefined => asText(field(field(value, "error"), "code"));
