/**
 * Decodes bodies with a Content-Encoding as they come: gzip and zstd, which HTTP libraries send. The work is done on libuv's
 * threads, a piece at a time, so neither the event loop nor memory depends on what a body becomes.
 * Source: https://www.rfc-editor.org/rfc/rfc9110#field.content-encoding
 */
import type { IncomingMessage } from "node:http";
import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { RelayError } from "../errors.ts";
import type { Reservation } from "../memory/budget.ts";

/** Largest window of a zstd frame, as a power of two: 8 MiB, which every decoder must support (RFC 8878, section 3.1.1.1.2). */
const ZSTD_WINDOW_LOG = 23;

const ENCODINGS = {
  gzip: { create: () => createGunzip(), memory: 64 * 1024 },
  zstd: {
    create: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } }),
    memory: 2 ** ZSTD_WINDOW_LOG,
  },
} as const;

export type Encoding = keyof typeof ENCODINGS;

/** What takes the decoded body. */
export interface DecodedBody {
  /** Bytes as they came, before decoding. */
  received: number;
  /** No more is wanted. */
  readonly settled: boolean;
  /** Most bytes that it may have, decoded or not. */
  readonly limit: number;
  readonly memory: Reservation;
  take(chunk: Buffer): void;
  end(): void;
  fail(cause: Error): void;
  /** The connection has ended before the body had come. */
  closed(): void;
}

/** @returns undefined for a body that is not encoded. @throws RelayError `encoding_not_supported` */
export function encodingOf(header: string | undefined): Encoding | undefined {
  const name = header?.trim().toLowerCase() ?? "identity";
  if (name === "identity" || name === "") return undefined;
  if (name === "gzip" || name === "x-gzip") return "gzip";
  if (name === "zstd") return "zstd";
  throw new RelayError(
    "encoding_not_supported",
    `The body has Content-Encoding ${JSON.stringify(header)}. Send it as gzip or zstd, or uncompressed without that header.`,
  );
}

/** Decodes a request's body into `body`, with back-pressure. Memory for the decoder is reserved while it works. */
export function decode(req: IncomingMessage, encoding: Encoding, body: DecodedBody): void {
  const { create, memory } = ENCODINGS[encoding];
  try {
    body.memory.grow(memory);
  } catch (cause) {
    body.fail(cause as Error);
    return;
  }
  const decoder = create();
  let ended = false;
  const finish = () => {
    if (ended) return;
    ended = true;
    decoder.destroy();
    body.memory.grow(-memory);
  };
  const fail = (cause: Error) => {
    finish();
    body.fail(cause);
    req.resume(); // the rest is dropped
  };
  req.on("data", (chunk: Buffer) => {
    body.received += chunk.length;
    if (ended || body.settled) return;
    if (!decoder.write(chunk)) req.pause();
  });
  decoder.on("drain", () => req.resume());
  req.on("end", () => {
    if (!ended) decoder.end();
  });
  // A request also closes once its body has come; what is left is then the decoder's.
  req.on("close", () => {
    if (req.readableEnded) return;
    finish();
    body.closed();
  });
  decoder.on("data", (chunk: Buffer) => {
    body.take(chunk);
    if (!body.settled) return;
    finish();
    req.resume();
  });
  decoder.on("end", () => {
    finish();
    body.end();
  });
  decoder.on("error", (cause) => {
    if (ended) return;
    fail(new RelayError("encoding_invalid", `The body is not ${encoding}, as its Content-Encoding says.`, { cause }));
  });
}
