/** The listeners: both on 127.0.0.1 only. */
import { randomUUID } from "node:crypto";
import { createServer, IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Dialect } from "../dialects/dialect.ts";
import { errorAnswer, RelayError } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import { JSON_TYPE } from "./json-output.ts";
import { KEEP_ALIVE_TIMES } from "./keep-alive-writer.ts";
import { commonHeaders, RelayResponse } from "./relay-response.ts";

/** Answers one request. `expectsContinue`: the caller waits for `100 Continue` before it sends the body. Never throws. */
export type Handler = (req: IncomingMessage, res: RelayResponse, expectsContinue: boolean) => void;

export interface Listener {
  readonly server: Server<typeof IncomingMessage, typeof RelayResponse>;
  /** The bound port, also when 0 was requested. */
  readonly port: number;
  /** Releases the port, so that another process can bind it. Running requests go on; `close` must still be called. */
  stopListening(): void;
  /** Accepts no more connections, closes idle ones, and after 500 ms the rest. Resolves when all are closed. */
  close(): Promise<void>;
}

/**
 * Longest head of a request: request line and headers, in bytes. Cloudflare takes URLs up to 32 KB, and adds about 2 KiB of
 * headers; so whatever passes there is answered by the rule that it breaks, not by this bound. A caller's heads over
 * `USUAL_HEAD_BYTES` count towards its memory (`exchange.ts`).
 * Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/4xx-client-error/error-414/
 */
export const MAX_HEAD_BYTES = 40 * 1024;

/** How long a request's headers may take to arrive, in milliseconds. */
const HEADERS_MS = 30_000;

/** Bounds of a listener. */
export interface ListenerBounds {
  /** A connection whose request headers take longer gets 408 and is closed, up to a sixth later. @default 30 s */
  readonly headersMs?: number;
  /** A caller that reads nothing of a waiting response for this long is cut. @default 60 s */
  readonly stallMs?: number;
  /** Further connections are closed at once. @default limited by file descriptors only */
  readonly connections?: number;
  /** Told of a request that Node cannot parse, which never reaches the handler. @param id its `X-Slm-Request-Id` */
  readonly onMalformed?: (id: string, error: RelayError) => void;
}

/** Binds 127.0.0.1:`port`. Rejects with a message for an operator if that is not possible. */
export async function listen(
  name: string,
  port: number,
  handler: Handler,
  { headersMs = HEADERS_MS, stallMs = KEEP_ALIVE_TIMES.stallMs, connections, onMalformed }: ListenerBounds = {},
): Promise<Listener> {
  const unfinished: UnfinishedResponses = new WeakMap();
  // An ended response and all that it refers to would otherwise stay in memory until the connection's next request: so long
  // that V8 promotes it to the old generation. Measured with 64 connections: 7 KB of each request.
  const forget = function (this: RelayResponse) {
    if (this.req.complete && unfinished.get(this.req.socket) === this) unfinished.set(this.req.socket, undefined);
  };
  const handle: Handler = (req, res, expectsContinue) => {
    unfinished.set(req.socket, res);
    res.on("close", forget);
    handler(req, res, expectsContinue);
  };
  const server = createServer<typeof IncomingMessage, typeof RelayResponse>({
    IncomingMessage,
    ServerResponse: RelayResponse,
    // cloudflared keeps idle connections for 90 s, or 120 s in some settings. Closing them first would cause stray 502s.
    keepAliveTimeout: 130_000,
    headersTimeout: headersMs,
    connectionsCheckingInterval: Math.ceil(headersMs / 6),
    requestTimeout: 0, // a large body over a slow line may take long; `readBody` checks its pace
    maxHeaderSize: MAX_HEAD_BYTES,
    noDelay: true,
  });
  // For connections without any traffic. Without this listener Node would cut all of them, also those whose request waits
  // for its response.
  server.timeout = stallMs;
  server.on("timeout", (socket: Socket) => {
    const response = unfinished.get(socket);
    if (response === undefined || response.closed || response.isUnread) socket.destroy();
  });
  if (connections !== undefined) server.maxConnections = connections;
  server.on("request", (req, res) => handle(req, res, false));
  server.on("checkContinue", (req, res) => handle(req, res, true));
  server.on("checkExpectation", (req, res) => handle(req, res, false));
  server.on("clientError", (cause, socket) => {
    const refused = answerMalformed(cause, socket, headersMs, unfinished.get(socket));
    if (refused !== undefined) onMalformed?.(refused.id, refused.error);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE"
          ? `another process holds it (sudo lsof -nP -iTCP:${port} shows which); end that one or configure another port`
          : cause.message;
      reject(new Error(`the ${name} listener cannot bind 127.0.0.1:${port}: ${why}`, { cause }));
    });
    server.listen(port, "127.0.0.1", resolve);
  });
  let closed: Promise<void> | undefined;
  let idle: NodeJS.Timeout | undefined;
  const stopListening = () => {
    closed ??= new Promise((resolve) => {
      // A connection that becomes idle later would keep its client from reaching the next listener.
      idle = setInterval(() => server.closeIdleConnections(), 50);
      server.close(() => {
        clearInterval(idle);
        resolve();
      });
    });
  };
  return {
    server,
    port: (server.address() as AddressInfo).port,
    stopListening,
    close: async () => {
      stopListening();
      const late = setTimeout(() => server.closeAllConnections(), 500);
      await closed;
      clearTimeout(late);
    },
  };
}

/** As `listen`, but waits while another process has the port. Logs it at once and every ten seconds. */
export async function listenWhenFree(
  name: string,
  port: number,
  handler: Handler,
  bounds: ListenerBounds,
  log: Log,
): Promise<Listener> {
  for (let tries = 0; ; tries++) {
    try {
      return await listen(name, port, handler, bounds);
    } catch (cause) {
      const { cause: reason } = cause as Error;
      if ((reason as NodeJS.ErrnoException | undefined)?.code !== "EADDRINUSE") throw cause;
      if (tries % 500 === 0) log.warn({ port }, `waiting: ${(cause as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Writes a value as JSON. */
export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  sendText(res, status, JSON_TYPE, JSON.stringify(value));
}

/** Writes a whole response. Node omits the body for HEAD. */
export function sendText(res: ServerResponse, status: number, type: string, body: string): void {
  res.writeHead(status, { "Content-Type": type, "Content-Length": String(Buffer.byteLength(body)) });
  res.end(body);
}

/**
 * Writes an error.
 * @param close the connection cannot be used for another request
 * @param dialect that gives the error its form; OpenAI's by default
 */
export function sendError(
  res: ServerResponse,
  error: RelayError,
  close: boolean,
  dialect?: Pick<Dialect, "errorBody">,
): void {
  const { status, headers, body } = errorAnswer(error, dialect?.errorBody);
  res.writeHead(status, close ? { ...headers, Connection: "close" } : headers);
  res.end(body);
}

/** The last response of each connection, until it has ended and its request has arrived. */
type UnfinishedResponses = WeakMap<Duplex, RelayResponse | undefined>;

/**
 * A request that Node cannot parse never reaches the handler, so its response is written by hand.
 * @param unfinished the connection's response that has not ended, or whose request has not arrived
 * @returns what was answered; undefined if nothing could be
 */
function answerMalformed(
  cause: NodeJS.ErrnoException,
  socket: Duplex & { bytesWritten?: number },
  headersMs: number,
  unfinished: RelayResponse | undefined,
): { readonly id: string; readonly error: RelayError } | undefined {
  // Within an exchange whose response has begun, this text would become part of that response.
  const isOver = unfinished === undefined || (unfinished.writableFinished && unfinished.req.complete);
  const hasBegun = (socket.bytesWritten ?? 0) > 0;
  if (!socket.writable || cause.code === "ECONNRESET" || (hasBegun && !isOver)) {
    socket.destroy();
    return undefined;
  }
  const id = randomUUID();
  const error = malformed(cause.code, headersMs);
  const { status, headers, body } = errorAnswer(error);
  const all = [...commonHeaders(id), "Connection", "close", ...Object.entries(headers).flat()];
  const lines = all.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`));
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}\r\n${body}`);
  return { id, error };
}

function malformed(code: string | undefined, headersMs: number): RelayError {
  if (code === "HPE_HEADER_OVERFLOW") {
    return new RelayError(
      "headers_too_large",
      `The request line and the headers are larger than ${MAX_HEAD_BYTES / 1024} KiB. Send fewer or shorter headers. A title in the query or in Slm-Document may have 2,000 characters and 4,000 bytes of UTF-8 (percent-encoded three times as many): send a shorter one, such as its hash. Everything else that is long belongs into the body.`,
    );
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new RelayError("request_timeout", `The headers did not arrive within ${headersMs / 1000} s.`);
  }
  return new RelayError("http_malformed", "This is not a well-formed HTTP/1.1 request.");
}
