/** Reads a whole request body, bounded in size and pace. */
import type { IncomingMessage } from "node:http";
import { RelayError } from "../errors.ts";
import type { Reservation } from "../memory/budget.ts";
import { ChunkCollector } from "../memory/chunk-collector.ts";
import { type DecodedBody, decode, encodingOf } from "./body-decoding.ts";
import type { CoarseTimer, CoarseTimers } from "./coarse-timers.ts";

/** The client disconnected before its response had ended, so no response can be sent. */
export class ClientDisconnected extends Error {}

/** The slowest accepted pace of a body. */
export interface Pace {
  /** At least `bytes` in each period of `ms`, which is also the time-out for the headers. */
  readonly bytes: number;
  readonly ms: number;
  /** Least average in bytes per second after the first period, so that every body ends. */
  readonly bytesPerSecond: number;
}

/** A body of 64 MiB takes at most 18 minutes. */
export const PACE: Pace = { bytes: 8192, ms: 30_000, bytesPerSecond: 64 * 1024 };

export interface BodyReading {
  /** Called once the body may be sent, so that a caller with `Expect: 100-continue` is refused before it uploads. */
  readonly onStart: () => void;
  readonly onEnd: (bytes: number) => void;
  readonly pace: Pace;
  readonly timers: CoarseTimers;
  /** Grows by the size of the decoded body: by its Content-Length before reading, else as it arrives. */
  readonly memory: Reservation;
}

/** How long the rest of a refused body may take to arrive before the connection is cut, in milliseconds. */
const DRAIN_MS = 10_000;
/** The same for a caller with too many open requests: refusals must not give it more connections. */
export const BRIEF_DRAIN_MS = 1000;

/**
 * Reads the whole body, decoded if it has a Content-Encoding; its bounds hold for the decoded bytes. Rejects with
 * `encoding_not_supported` and `encoding_invalid`; with `body_too_large`,
 * `memory_share_full` and `memory_full`, by Content-Length before anything is read or else while reading; with
 * `request_timeout` when it arrives slower than `pace`; with ClientDisconnected when the connection ends first. Then nothing
 * is reserved for it.
 */
export function readBody(req: IncomingMessage, limitMiB: number, reading: BodyReading): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const encoding = encodingOf(req.headers["content-encoding"]);
    const length = req.headers["content-length"];
    const declared = length === undefined ? undefined : Number(length);
    const body = new Body(limitMiB, encoding === undefined ? declared : undefined, reading, resolve, reject);
    if ((declared ?? 0) > body.limit) throw tooLarge(limitMiB);
    if (req.destroyed) throw new ClientDisconnected("the client disconnected before the body was read");
    body.reserve();
    reading.onStart();
    reading.timers.add(body);
    if (encoding !== undefined) {
      decode(req, encoding, body);
      return;
    }
    req.on("close", () => body.closed());
    req.on("data", (chunk: Buffer) => {
      body.received += chunk.length;
      body.take(chunk);
    });
    req.on("end", () => body.end());
  });
}

/** A body that is being received. Bytes after its end or failure are dropped. */
class Body implements CoarseTimer, DecodedBody {
  readonly limit: number;
  readonly #limitMiB: number;
  readonly #declared: number | undefined;
  readonly #reading: BodyReading;
  readonly #resolve: (body: Buffer) => void;
  readonly #reject: (cause: Error) => void;
  readonly #pieces: ChunkCollector;
  readonly #startedAt = performance.now();
  #reserved = 0;
  #receivedBefore = 0;
  /** Bytes as they came. */
  received = 0;
  #settled = false;
  dueAt: number;
  /** See Indexed. */
  index = -1;

  constructor(
    limitMiB: number,
    declared: number | undefined,
    reading: BodyReading,
    resolve: (body: Buffer) => void,
    reject: (cause: Error) => void,
  ) {
    this.limit = limitMiB * 1024 * 1024;
    this.#limitMiB = limitMiB;
    this.#declared = declared;
    this.#pieces = new ChunkCollector(declared);
    this.#reading = reading;
    this.#resolve = resolve;
    this.#reject = reject;
    this.dueAt = this.#startedAt + reading.pace.ms;
  }

  /** Reserves memory for the bytes so far and, if the length is known, for the rest. @throws RelayError `memory_*` */
  reserve(size = 0): void {
    const needed = ChunkCollector.bytesFor(size, this.#declared);
    if (needed <= this.#reserved) return;
    this.#reading.memory.grow(needed - this.#reserved);
    this.#reserved = needed;
  }

  /** Whether it has ended or failed. */
  get settled(): boolean {
    return this.#settled;
  }

  get memory(): Reservation {
    return this.#reading.memory;
  }

  take(chunk: Buffer): void {
    if (this.#settled) return;
    const size = this.#pieces.size + chunk.length;
    if (size > this.limit) {
      this.fail(tooLarge(this.#limitMiB));
      return;
    }
    try {
      this.reserve(size);
    } catch (cause) {
      this.fail(cause as Error);
      return;
    }
    this.#pieces.push(chunk);
  }

  end(): void {
    if (this.#settled) return;
    this.#settle();
    const { size } = this.#pieces;
    this.#reading.onEnd(size);
    const body = this.#pieces.end();
    this.#reading.memory.grow(size - this.#reserved);
    this.#resolve(body);
  }

  fail(cause: Error): void {
    if (this.#settled) return;
    this.#settle();
    this.#pieces.drop();
    this.#reading.memory.grow(-this.#reserved);
    this.#reject(cause);
  }

  /** The connection or the request has ended. */
  closed(): void {
    if (!this.#settled) this.fail(new ClientDisconnected("the client disconnected while it sent the body"));
  }

  /** See CoarseTimer: checks the pace. */
  onExpire(): void {
    const { pace } = this.#reading;
    const { received } = this;
    const now = performance.now();
    const due = ((now - this.#startedAt - pace.ms) / 1000) * pace.bytesPerSecond;
    if (received - this.#receivedBefore < pace.bytes) {
      this.fail(tooSlow(`fewer than ${pace.bytes} bytes came within ${pace.ms / 1000} s`));
    } else if (received < due) {
      this.fail(tooSlow(`${received} bytes came so far, which is under ${pace.bytesPerSecond} a second on average`));
    }
    this.#receivedBefore = received;
    this.dueAt = now + pace.ms;
  }

  #settle(): void {
    this.#settled = true;
    this.#reading.timers.delete(this);
  }
}

function tooLarge(limitMiB: number): RelayError {
  return new RelayError("body_too_large", `The body is larger than ${limitMiB} MiB. Send less at a time.`);
}

function tooSlow(how: string): RelayError {
  return new RelayError("request_timeout", `The body comes too slowly: ${how}. Send it without long pauses.`);
}

/**
 * Discards the rest of a refused body, so that the client can read the response (closing a connection with unread data
 * resets it), and cuts the connection when that takes longer than `ms`.
 */
export function drainBody(req: IncomingMessage, ms = DRAIN_MS): void {
  if (req.complete || req.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), ms);
  timer.unref();
  req.once("close", () => clearTimeout(timer));
  req.resume();
}
