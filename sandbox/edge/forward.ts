/** One request over one connector connection and its response, streamed both ways. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { Transform } from "node:stream";
import { z } from "zod";
import type { Log } from "../log.ts";
import { errorCode, tooLarge } from "./answers.ts";
import type { Connection } from "./connector.ts";
import { originHeaders } from "./headers.ts";

/** The request to forward, and its limits. */
export interface Forwarding {
  request: IncomingMessage;
  response: ServerResponse;
  connection: Connection;
  headers: OutgoingHttpHeaders;
  ray: string;
  /** Longest silence in ms: before the headers the client gets 524, after them its connection is cut. */
  readTimeoutMs: number;
  bodyLimitBytes: number;
  /** The origin's status and headers (alternating names and values) arrived. @returns the headers for the client */
  answered(status: number, headers: string[]): string[];
  /** A chunk of the body was forwarded. */
  passed?(chunk: Buffer): void;
  /** The response is complete. */
  completed?(): void;
  log: Log;
}

const responseMeta = z.object({ src: z.string() });

/** Whether the response comes from the origin rather than from cloudflared itself (origin unreachable). */
export function fromOrigin(meta: string | string[] | undefined): boolean {
  if (typeof meta !== "string") return true;
  try {
    return responseMeta.parse(JSON.parse(meta)).src === "origin";
  } catch {
    return false;
  }
}

/** Counts the bytes of an upload and reports when they exceed the limit. */
function bounded(limit: number, moved: () => void, exceeded: () => void): Transform {
  let total = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      total += chunk.length;
      moved();
      if (total > limit) exceeded();
      else this.push(chunk);
      done();
    },
  });
}

const hasBody = (request: IncomingMessage): boolean =>
  request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;

/**
 * Starts the request and returns. When the client disconnects, the request is cancelled at once. When the connector
 * connection is lost, the client gets 502, or its connection is cut if headers were sent. Nothing is sent twice.
 * @throws when the connection accepts no more requests; nothing was sent, so another one may be tried
 */
export function forward(forwarding: Forwarding): void {
  const { request, response, connection, ray, readTimeoutMs } = forwarding;
  const withBody = hasBody(request);
  const gone = new AbortController();
  const stream: ClientHttp2Stream = connection.request(forwarding.headers, {
    endStream: !withBody,
    signal: gone.signal,
  });
  connection.inFlight += 1;

  const silence = setTimeout(() => {
    if (response.headersSent && response.writableNeedDrain) return void silence.refresh(); // the client is slow
    if (response.headersSent) response.destroy();
    else errorCode(response, ray, 524, 524);
    gone.abort();
  }, readTimeoutMs);

  if (withBody) {
    const upload = bounded(
      forwarding.bodyLimitBytes,
      () => silence.refresh(),
      () => {
        tooLarge(response, ray);
        gone.abort();
        request.unpipe(upload);
        request.resume();
      },
    );
    request.on("close", () => {
      if (!request.complete) gone.abort();
    });
    request.pipe(upload).pipe(stream);
  } else {
    request.resume();
  }

  stream.on("response", (received) => {
    silence.refresh();
    if (response.headersSent || response.destroyed) return;
    if (!fromOrigin(received["cf-cloudflared-response-meta"])) {
      stream.resume();
      return errorCode(response, ray, 502, 502);
    }
    const status = received[":status"] ?? 502;
    const serialized = received["cf-cloudflared-response-headers"];
    const headers = forwarding.answered(status, originHeaders(typeof serialized === "string" ? serialized : ""));
    response.writeHead(status, headers);
    response.write(Buffer.alloc(0)); // flushHeaders() would write the header's bytes as UTF-8
    stream.on("data", (chunk: Buffer) => {
      silence.refresh();
      forwarding.passed?.(chunk);
    });
    stream.pipe(response, { end: false });
  });
  stream.on("trailers", (trailers) => {
    for (const [name, value] of Object.entries(trailers))
      if (typeof value === "string" && !name.startsWith(":") && !name.startsWith("cf-"))
        response.addTrailers({ [name]: value });
  });
  stream.on("end", () => {
    // A lost session emits 'end' too, with rstCode 8: only a clean end completes the response.
    if (stream.rstCode !== 0 || response.writableEnded || !response.headersSent) return;
    response.end();
    forwarding.completed?.();
  });
  stream.on("error", (error) => {
    if (error.name !== "AbortError") forwarding.log(`edge: a request to the connector failed: ${error.message}`);
  });
  stream.on("close", () => {
    clearTimeout(silence);
    connection.inFlight -= 1;
    request.unpipe();
    request.resume(); // the response may precede the end of the upload; the rest must not block the client's connection
    if (!response.headersSent) errorCode(response, ray, 502, 502);
    else if (!response.writableEnded) response.destroy();
  });
  response.on("close", () => {
    if (!stream.closed) gone.abort();
  });
}
