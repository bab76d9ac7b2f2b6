/** Reads a request's body whole, within a bound. */
import type { IncomingMessage } from "node:http";
import type { Alarm, Alarms } from "./alarms.ts";
import { RelayError } from "./errors.ts";

/** The caller went away while its request was being read: there is nobody left to answer. */
export class CallerLeft extends Error {}

/** The slowest a body may come: that many bytes in each such time, which is also all the time the headers have. */
export interface Pace {
  readonly bytes: number;
  readonly ms: number;
}

export const PACE: Pace = { bytes: 8192, ms: 30_000 };

export interface Reading {
  /** Called once the body may be sent, so that a caller with `Expect: 100-continue` is refused before it uploads. */
  readonly onStart: () => void;
  readonly onEnd: (bytes: number) => void;
  readonly pace: Pace;
  readonly alarms: Alarms;
}

/** How long the rest of a refused body may go on arriving before the connection is cut, in milliseconds. */
const DRAIN_MS = 10_000;

/**
 * Reads the body whole: the bytes as received. Throws `encoding_not_supported` and, by Content-Length before anything is
 * read or else while reading, `body_too_large`; `request_timeout` when it comes slower than `pace`; rejects with CallerLeft when the connection ends first.
 */
export function readBody(req: IncomingMessage, limitMiB: number, reading: Reading): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const encoding = req.headers["content-encoding"];
    if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
      throw new RelayError(
        "encoding_not_supported",
        `The body has Content-Encoding ${JSON.stringify(encoding)}. Send it uncompressed, without that header.`,
      );
    }
    const body = new Body(limitMiB, reading, resolve, reject);
    if (Number(req.headers["content-length"] ?? 0) > body.limit) throw tooLarge(limitMiB);
    if (req.destroyed) throw new CallerLeft("the caller left before the body was read");
    reading.onStart();
    reading.alarms.add(body);
    req.on("data", (chunk: Buffer) => body.take(chunk));
    req.on("end", () => body.end());
    req.on("close", () => body.leave());
  });
}

/** A body on its way. What comes once it has ended or failed is dropped. */
class Body implements Alarm {
  readonly limit: number;
  readonly #limitMiB: number;
  readonly #reading: Reading;
  readonly #resolve: (body: Buffer) => void;
  readonly #reject: (cause: Error) => void;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #sizeBefore = 0;
  #settled = false;
  dueAt: number;
  place = -1;

  constructor(limitMiB: number, reading: Reading, resolve: (body: Buffer) => void, reject: (cause: Error) => void) {
    this.limit = limitMiB * 1024 * 1024;
    this.#limitMiB = limitMiB;
    this.#reading = reading;
    this.#resolve = resolve;
    this.#reject = reject;
    this.dueAt = performance.now() + reading.pace.ms;
  }

  take(chunk: Buffer): void {
    if (this.#settled) return;
    this.#size += chunk.length;
    if (this.#size > this.limit) this.fail(tooLarge(this.#limitMiB));
    else this.#chunks.push(chunk);
  }

  end(): void {
    if (this.#settled) return;
    this.#settle();
    this.#reading.onEnd(this.#size);
    this.#resolve(this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#size));
  }

  fail(cause: Error): void {
    if (this.#settled) return;
    this.#settle();
    this.#chunks.length = 0;
    this.#reject(cause);
  }

  /** The connection has ended, or the request: most often all is well, and an error would be made for nothing. */
  leave(): void {
    if (!this.#settled) this.fail(new CallerLeft("the caller left while sending the body"));
  }

  /** See Alarm: looks at the pace. */
  ring(): void {
    const { pace } = this.#reading;
    if (this.#size - this.#sizeBefore < pace.bytes) this.fail(tooSlow(pace));
    this.#sizeBefore = this.#size;
    this.dueAt = performance.now() + pace.ms;
  }

  #settle(): void {
    this.#settled = true;
    this.#reading.alarms.delete(this);
  }
}

function tooLarge(limitMiB: number): RelayError {
  return new RelayError("body_too_large", `The body is larger than ${limitMiB} MiB. Send less at a time.`);
}

function tooSlow({ bytes, ms }: Pace): RelayError {
  return new RelayError("request_timeout", `Of the body fewer than ${bytes} bytes came within ${ms / 1000} s.`);
}

/**
 * Lets the rest of a refused body run into nothing, so that the caller gets to read the answer (a connection closed under
 * unread data is reset), and cuts the connection when that takes longer than 10 s.
 */
export function drainBody(req: IncomingMessage): void {
  if (req.complete || req.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), DRAIN_MS);
  timer.unref();
  req.once("close", () => clearTimeout(timer));
  req.resume();
}
