/** Reads a request's body whole, within a bound. */
import type { IncomingMessage } from "node:http";
import type { Alarm, Alarms } from "./alarms.ts";
import { RelayError } from "./errors.ts";

/** The caller went away while its request was being read: there is nobody left to answer. */
export class CallerLeft extends Error {}

/** The slowest a body may come: that many bytes in each such time. */
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
export async function readBody(req: IncomingMessage, limitMiB: number, reading: Reading): Promise<Buffer> {
  const { onStart, onEnd: onRead, pace, alarms } = reading;
  const encoding = req.headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new RelayError(
      "encoding_not_supported",
      `The body has Content-Encoding ${JSON.stringify(encoding)}. Send it uncompressed, without that header.`,
    );
  }
  const limit = limitMiB * 1024 * 1024;
  const tooLarge = () =>
    new RelayError("body_too_large", `The body is larger than ${limitMiB} MiB. Send less at a time.`);
  if (Number(req.headers["content-length"] ?? 0) > limit) throw tooLarge();
  if (req.destroyed) throw new CallerLeft("the caller left before the body was read");
  onStart();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let before = 0;
    const alarm: Alarm = {
      place: -1,
      dueAt: performance.now() + pace.ms,
      ring() {
        if (size - before < pace.bytes) settle(() => reject(tooSlow(pace)));
        before = size;
        this.dueAt = performance.now() + pace.ms;
      },
    };
    alarms.add(alarm);
    const settle = (act: () => void) => {
      alarms.delete(alarm);
      req.off("data", onData).off("end", onEnd).off("close", onClose);
      act();
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) settle(() => reject(tooLarge()));
      else chunks.push(chunk);
    };
    const onEnd = () => {
      onRead(size);
      settle(() => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size)));
    };
    const onClose = () => settle(() => reject(new CallerLeft("the caller left while sending the body")));
    req.on("data", onData).on("end", onEnd).on("close", onClose);
  });
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
