/**
 * Keeps a silent answer alive: Cloudflare ends a request after 100 to 125 s without a byte, and the first byte commits the
 * status. So the status is held back as long as is safe; then heartbeats are sent, which clients skip (`Framing.heartbeat`).
 * Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-524/
 */
import type { IncomingHttpHeaders } from "node:http";
import type { Dialect, Framing, ModelRoute } from "../dialects/dialect.ts";
import { type ErrorObject, errorObject, type RelayError } from "../errors.ts";
import type { Reservation } from "../memory/budget.ts";
import { AnswerWriter, type Sink } from "./answer-writer.ts";
import type { CoarseTimer, CoarseTimers } from "./coarse-timers.ts";
import { OutgoingBuffer } from "./outgoing-buffer.ts";
import type { RelayResponse } from "./relay-response.ts";

/** Times in milliseconds. */
export interface KeepAliveTimes {
  /** First heartbeat of a framing that commits its status early. */
  readonly sseMs: number;
  /** First heartbeat of all other framings: as late as is safe. */
  readonly jsonMs: number;
  /** Interval of heartbeats while the answer is silent. The silence may last twice as long. */
  readonly everyMs: number;
  /** How long a caller may read nothing of waiting bytes; then its connection is cut. */
  readonly stallMs: number;
  /**
   * How long in total a caller may hold up the model server by reading slowly, once no more of the answer can be buffered for
   * it (see `OutgoingBuffer.pausedMs`); then its connection is cut, which frees its slot.
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

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
/** Longest answer that is collected to be sent within another framing, in bytes; an error is far shorter. */
const LONGEST_MISFIT = 256 * 1024;
/** Longest error of the model server that is passed on if it is not JSON, in characters. */
const LONGEST_MESSAGE = 500;

export interface KeepAliveOptions {
  readonly keepAlive: KeepAliveTimes;
  readonly timers: CoarseTimers;
  /** Grows by what the caller has not read yet. Without one nothing is accounted for. */
  readonly memory?: Reservation | undefined;
}

/** The framing of a call's answer, by the request. @param stream of the body, if present */
export function framingAsked(
  { streams, dialect }: Pick<ModelRoute, "streams"> & { readonly dialect: Pick<Dialect, "json"> },
  stream: boolean | undefined,
): Framing {
  if (streams === undefined) return dialect.json;
  const isStreamed = streams.when === "asked" ? stream === true : stream !== false;
  return isStreamed ? streams.framing : dialect.json;
}

/** The answer to one request. `stop` must be called in the end. */
export class KeepAliveWriter implements Sink, CoarseTimer {
  readonly #res: RelayResponse;
  readonly #writer: AnswerWriter;
  readonly #buffer: OutgoingBuffer;
  readonly #times: KeepAliveTimes;
  readonly #timers: CoarseTimers;
  readonly #route: Pick<ModelRoute, "streams"> & { readonly dialect: Dialect };
  /** Undefined once it is known that nothing may be inserted. */
  #framing: Framing | undefined;
  /** See CoarseTimer. */
  dueAt = Number.POSITIVE_INFINITY;
  /** See Indexed. */
  index = -1;
  #touched = false;
  /** The answer has ended, apart from what the caller has still to read. */
  #ended = false;
  /** The model's answer has begun; heartbeats before it do not count. */
  #begun = false;
  /** The last byte that is not a carriage return, and the one before it. */
  #last = LINE_FEED;
  #beforeLast = LINE_FEED;
  /** Collects an answer that does not match the committed framing. */
  #misfit: { status: number; chunks: Buffer[]; bytes: number } | undefined;

  /** @param stream of the request's body, if present */
  constructor(
    res: RelayResponse,
    route: Pick<ModelRoute, "streams"> & { readonly dialect: Dialect },
    stream: boolean | undefined,
    { keepAlive, timers, memory }: KeepAliveOptions,
  ) {
    this.#res = res;
    const writer = new AnswerWriter(res, route.dialect);
    this.#writer = writer;
    this.#buffer = new OutgoingBuffer(writer, memory);
    this.#route = route;
    const framing = framingAsked(route, stream);
    this.#framing = framing;
    this.#times = keepAlive;
    this.#timers = timers;
    this.#arm(framing.firstHeartbeat === "early" ? keepAlive.sseMs : keepAlive.jsonMs);
    timers.add(this);
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#res.headersSent) {
      if (status >= 300 || !this.#fits(String(headers["content-type"] ?? ""))) {
        this.#misfit = { status, chunks: [], bytes: 0 };
      }
      return;
    }
    this.#framing = status < 300 ? this.#framingOf(headers) : undefined;
    this.#writer.head(status, headers);
    this.#arm(this.#times.everyMs);
  }

  write(chunk: Buffer): boolean {
    this.#touched = true;
    if (this.#misfit !== undefined) {
      this.#misfit.bytes += chunk.length;
      if (this.#misfit.bytes <= LONGEST_MISFIT) this.#misfit.chunks.push(chunk);
      return true;
    }
    this.#begun = true;
    this.#rememberEnd(chunk);
    const more = this.#buffer.write(chunk);
    if (!more) {
      const now = performance.now();
      // A millisecond more, since the sum of times may be a little less than it should be.
      this.dueAt = Math.min(this.dueAt, now + this.#times.pauseMs - this.#buffer.pausedMs(now) + 1);
    }
    return more;
  }

  end(): void {
    this.#finish(() => {
      if (this.#misfit === undefined) this.#writer.end();
      else this.#res.end(this.#refit(this.#misfit.status, Buffer.concat(this.#misfit.chunks).toString("utf8")));
    });
  }

  onceDrained(go: () => void): void {
    this.#buffer.onceRoom(go);
  }

  /**
   * Sends an error within the answer, after its status has gone out. @returns false if that is not possible: then the connection
   * must be cut. Within a model's answer the connection is cut after the error as well, so that it never looks complete.
   */
  fail(error: RelayError): boolean {
    if (this.#ended) return true; // the answer is complete
    if (this.#framing === undefined || !this.#isBetweenParts(this.#framing)) {
      this.stop();
      return false;
    }
    const text = this.#framing.error(errorObject(error));
    this.#finish(() => {
      if (this.#begun) this.#res.write(text, () => this.#res.destroy());
      else this.#res.end(text);
    });
    return true;
  }

  /** Stops the timer. */
  stop(): void {
    this.#timers.delete(this);
  }

  /** Calls `last` when the caller has read everything before it; until then a caller that reads nothing is still cut. */
  #finish(last: () => void): void {
    this.#ended = true;
    this.#buffer.finish(() => {
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
    this.#arm(this.#times.everyMs);
    const now = performance.now();
    const { stallMs, pauseMs } = this.#times;
    if (this.#buffer.blockedMs(now) > stallMs || this.#buffer.pausedMs(now) >= pauseMs) this.#res.destroy();
    if (this.#buffer.waits || this.#ended || this.#res.destroyed) return;
    const quiet = !this.#touched;
    this.#touched = false;
    if (quiet && this.#framing !== undefined && this.#isBetweenParts(this.#framing)) this.#beat(this.#framing);
  }

  #beat({ contentType, heartbeat }: Framing): void {
    if (!this.#res.headersSent) {
      this.#res.addTiming();
      this.#res.writeHead(200, { "Content-Type": contentType });
    }
    this.#res.write(heartbeat);
  }

  #rememberEnd(chunk: Buffer): void {
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

  /** Whether bytes may be inserted here without breaking the model server's output. */
  #isBetweenParts({ partEndsWith }: Framing): boolean {
    if (!this.#begun) return true;
    if (partEndsWith === "never" || this.#last !== LINE_FEED) return false;
    return partEndsWith === 1 || this.#beforeLast === LINE_FEED;
  }

  /** With a Content-Length or an encoding nothing may be inserted. */
  #framingOf(headers: IncomingHttpHeaders): Framing | undefined {
    if (headers["content-length"] !== undefined || headers["content-encoding"] !== undefined) return undefined;
    const type = String(headers["content-type"] ?? "").toLowerCase();
    const { streams, dialect } = this.#route;
    if (streams !== undefined && type.startsWith(streams.framing.mediaType)) return streams.framing;
    return dialect.framings.find(({ mediaType }) => type.startsWith(mediaType));
  }

  #fits(type: string): boolean {
    const committed = this.#framing;
    return committed === undefined || committed.partEndsWith === "never" || type.startsWith(committed.mediaType);
  }

  /** @returns a complete answer in the committed framing */
  #refit(status: number, text: string): string {
    const committed = this.#framing;
    if (committed === undefined || committed.partEndsWith === "never") return text;
    const value = parsed(text);
    if (status < 300 && value !== undefined) return committed.wrap(value);
    return committed.error(errorOfModel(status, value, text));
  }
}

function errorOfModel(status: number, value: unknown, text: string): ErrorObject {
  const error = field(value, "error");
  return {
    message: asText(error) ?? asText(field(error, "message")) ?? text.slice(0, LONGEST_MESSAGE),
    type: status < 500 ? "invalid_request_error" : "server_error",
    code: asText(field(error, "code")) ?? `status_${status}`,
    param: null,
  };
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
