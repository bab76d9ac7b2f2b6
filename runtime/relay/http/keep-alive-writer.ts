/**
 * Keeps an answer alive while there is nothing to send: Cloudflare ends a request after 100 to 125 s without a byte, and the
 * first byte commits the status. So the status is held back as long as is safe, and only then come bytes that mean nothing:
 * comments in a stream of events, white space before JSON, spaces before a line of NDJSON (never an empty line: clients
 * parse every line). Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-524/
 */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { errorObject, type RelayError } from "../errors.ts";
import type { Reservation } from "../memory/budget.ts";
import type { CoarseTimer, CoarseTimers } from "./coarse-timers.ts";
import { headersFromModel } from "./headers.ts";
import { OutgoingBuffer } from "./outgoing-buffer.ts";

/** How an answer is framed. */
export type Format = "sse" | "ndjson" | "json";

/** Times in milliseconds. */
export interface KeepAliveTimes {
  /** First comment of a stream of events. */
  readonly sseMs: number;
  /** First white space of JSON and NDJSON: as late as is safe, since an honest status is worth more there. */
  readonly jsonMs: number;
  /** Silence after which the next byte follows. It may last twice as long. */
  readonly everyMs: number;
  /** How long a caller may read nothing of what waits for it; then it is cut. */
  readonly stallMs: number;
  /**
   * How long, all together, a caller may hold up the model server by reading slowly, once no more of the answer can be kept
   * in memory for it (see `OutgoingBuffer.pausedMs`); then it is cut, and its slot is free.
   */
  readonly pauseMs: number;
}

export const KEEP_ALIVE_TIMES: KeepAliveTimes = {
  sseMs: 20_000,
  jsonMs: 80_000,
  everyMs: 15_000,
  stallMs: 60_000,
  pauseMs: 5_000,
};

/** Where an answer goes. */
export interface Sink {
  head(status: number, headers: IncomingHttpHeaders): void;
  /** @returns false: write no more until `onceDrained` has called */
  write(chunk: Buffer): boolean;
  end(): void;
  /** Calls `go` once, when more may be written after a write that returned false. */
  onceDrained(go: () => void): void;
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

export interface KeepAliveOptions {
  readonly keepAlive: KeepAliveTimes;
  readonly timers: CoarseTimers;
  /** Errors in a stream take the form of OpenAI's Responses API. */
  readonly responsesApi: boolean;
  /** Grows by what the caller has not read yet. Without one nothing is accounted for. */
  readonly memory?: Reservation | undefined;
  readonly onFirstByte: () => void;
}

/** The answer of one request. Whoever makes one must call `stop` in the end. */
export class KeepAliveWriter implements Sink, CoarseTimer {
  readonly #res: ServerResponse;
  readonly #writer: Writer;
  readonly #outflow: OutgoingBuffer;
  readonly #keepAlive: KeepAliveTimes;
  readonly #timers: CoarseTimers;
  readonly #responsesApi: boolean;
  readonly #onFirstByte: () => void;
  /** Undefined once it is known that nothing may be put in between. */
  #format: Format | undefined;
  /** See CoarseTimer. */
  dueAt = Number.POSITIVE_INFINITY;
  place = -1;
  #touched = false;
  /** The answer has ended, but for what the caller has still to read. */
  #ended = false;
  /** The model's answer has begun; pads before it do not count. */
  #begun = false;
  /** The last byte that is no carriage return, and the one before it. */
  #last = LINE_FEED;
  #beforeLast = LINE_FEED;
  #misfit: { status: number; chunks: Buffer[]; bytes: number } | undefined;

  constructor(
    res: ServerResponse,
    format: Format,
    { keepAlive, timers, responsesApi, memory, onFirstByte }: KeepAliveOptions,
  ) {
    this.#res = res;
    this.#writer = new Writer(res);
    const writer = this.#writer;
    const onceDrained = (go: () => void) => void res.once("drain", go);
    this.#outflow = new OutgoingBuffer({ write: (chunk) => writer.write(chunk), onceDrained }, memory);
    this.#format = format;
    this.#keepAlive = keepAlive;
    this.#timers = timers;
    this.#responsesApi = responsesApi;
    this.#onFirstByte = onFirstByte;
    this.#arm(format === "sse" ? keepAlive.sseMs : keepAlive.jsonMs);
    timers.add(this);
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    const type = String(headers["content-type"] ?? "");
    if (this.#res.headersSent) {
      if (status >= 300 || !this.#fits(type)) this.#misfit = { status, chunks: [], bytes: 0 };
      return;
    }
    this.#onFirstByte();
    this.#format = status < 300 && headers["content-encoding"] === undefined ? formatOf(headers) : undefined;
    this.#writer.head(status, headers);
    this.#arm(this.#keepAlive.everyMs);
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
    const more = this.#outflow.write(chunk);
    if (!more) {
      const now = performance.now();
      // A millisecond more, since the sum of times may be a little less than it should be.
      this.dueAt = Math.min(this.dueAt, now + this.#keepAlive.pauseMs - this.#outflow.pausedMs(now) + 1);
    }
    return more;
  }

  end(): void {
    this.#finish(() => {
      if (this.#misfit === undefined) this.#writer.end();
      else this.#res.end(this.#wrap(this.#misfit.status, Buffer.concat(this.#misfit.chunks).toString("utf8")));
    });
  }

  onceDrained(go: () => void): void {
    this.#outflow.onceRoom(go);
  }

  /**
   * Tells the caller of an error after the status has gone out. False: that is not possible, and the connection must be cut.
   * Within a model's answer the connection is cut after the error as well, so that it never looks whole.
   */
  fail(error: RelayError): boolean {
    if (this.#ended) return true; // the answer is whole
    if (this.#format === undefined || !this.#between()) {
      this.stop();
      return false;
    }
    const text = this.#error(errorObject(error));
    this.#finish(() => {
      if (this.#begun) this.#res.write(text, () => this.#res.destroy());
      else this.#res.end(text);
    });
    return true;
  }

  /** Ends the timer. */
  stop(): void {
    this.#timers.delete(this);
  }

  /** Does `last` when the caller has taken what comes before; until then a caller that reads nothing is still cut. */
  #finish(last: () => void): void {
    this.#ended = true;
    this.#outflow.finish(() => {
      this.stop();
      last();
    });
  }

  #arm(ms: number): void {
    this.dueAt = performance.now() + ms;
  }

  /** See CoarseTimer. */
  onExpire(): void {
    if (this.#res.closed) {
      this.stop();
      return;
    }
    this.#arm(this.#keepAlive.everyMs);
    const now = performance.now();
    const { stallMs, pauseMs } = this.#keepAlive;
    if (this.#outflow.blockedMs(now) > stallMs || this.#outflow.pausedMs(now) >= pauseMs) this.#res.destroy();
    if (this.#outflow.waits || this.#ended || this.#res.destroyed) return;
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

/** Bytes of an answer that are sooner copied than written apart. */
const SHORT = 8 * 1024;

/** Writes an answer of the model server: the head without waiting for the first token, but in one packet with what is there. */
class Writer {
  readonly #res: ServerResponse;
  #begun = false;
  /** Of the body, by its Content-Length; NaN without one. */
  #left = Number.NaN;

  constructor(res: ServerResponse) {
    this.#res = res;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#left = Number(headers["content-length"]);
    this.#res.writeHead(status, headersFromModel(headers));
    process.nextTick(flushHead, this);
  }

  write(chunk: Buffer): boolean {
    this.#begun = true;
    this.#left -= chunk.length;
    if (this.#left !== 0) return this.#res.write(chunk);
    // As Latin-1, which is the bytes as they are, Node joins a short answer with its head: one buffer to write, not three.
    if (chunk.length <= SHORT) this.#res.end(chunk.toString("latin1"), "latin1");
    else this.#res.end(chunk);
    return true;
  }

  end(): void {
    this.#begun = true;
    if (!this.#res.writableEnded) this.#res.end();
  }

  /** Sends the head by itself if nothing has followed. */
  flush(): void {
    if (!this.#begun && !this.#res.destroyed) this.#res.flushHeaders();
  }
}

const flushHead = (writer: Writer): void => writer.flush();

/** A sink that only passes on. */
export function plainSink(res: ServerResponse, onFirstByte: () => void): Sink {
  const writer = new Writer(res);
  return {
    head: (status, headers) => {
      onFirstByte();
      writer.head(status, headers);
    },
    write: (chunk) => writer.write(chunk),
    end: () => writer.end(),
    onceDrained: (go) => void res.once("drain", go),
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
