/**
 * A small JSON-over-HTTP server on 127.0.0.1, for the emulated APIs. It reads the whole request, calls `handle`, and
 * writes the response; `handle` is independent of sockets.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";

/** A fully read request. */
export interface JsonRequest {
  method: string;
  /** As on the request line: path and query, still percent-encoded. */
  target: string;
  /** Path, still percent-encoded. */
  path: string;
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** The body's text; empty when there was none. */
  text: string;
}

/**
 * A response; `body` undefined sends no body. `hang` never responds, so the client has to time out. `cut` breaks the
 * connection.
 */
export type JsonAnswer = { status: number; headers?: Record<string, string>; body?: unknown } | "hang" | "cut";

/** A running server. */
export interface JsonServer {
  port: number;
  /** Stops listening and ends the connections that are open. */
  close(): Promise<void>;
}

const bodyLimitBytes = 4 * 1024 * 1024;

async function readText(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > bodyLimitBytes) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function write(response: ServerResponse, answer: Exclude<JsonAnswer, string>): void {
  if (answer.body === undefined) {
    response.writeHead(answer.status, answer.headers).end();
    return;
  }
  const text = JSON.stringify(answer.body);
  response
    .writeHead(answer.status, {
      "content-type": "application/json",
      "content-length": String(Buffer.byteLength(text)),
      ...answer.headers,
    })
    .end(text);
}

/**
 * Listens on 127.0.0.1 and answers every request with what `handle` returns.
 * @param options.port 0 picks a free one
 * @param options.handle an exception in it is logged and answered with 500 and `options.failure`
 * @param options.failure builds the body of this server's own errors (500, 413)
 * @throws when the port is taken
 */
export async function startJsonServer(options: {
  port: number;
  log: Log;
  handle: (request: JsonRequest) => JsonAnswer | Promise<JsonAnswer>;
  failure: (status: number, message: string) => unknown;
}): Promise<JsonServer> {
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const text = await readText(request);
    if (text === undefined) {
      const message = `the body is over ${bodyLimitBytes} bytes: send less`;
      write(response, { status: 413, headers: { connection: "close" }, body: options.failure(413, message) });
      return;
    }
    const target = request.url ?? "/";
    const mark = target.indexOf("?");
    const answer = await options.handle({
      method: request.method ?? "GET",
      target,
      path: mark < 0 ? target : target.slice(0, mark),
      query: new URLSearchParams(mark < 0 ? "" : target.slice(mark + 1)),
      headers: request.headers,
      text,
    });
    if (answer === "cut") response.destroy();
    else if (answer !== "hang") write(response, answer);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      options.log(`${request.method} ${request.url} failed: ${message}`);
      if (response.headersSent || response.destroyed) response.destroy();
      else write(response, { status: 500, body: options.failure(500, message) });
    });
  });
  const port = await listenOn(server, options.port, "an API of the sandbox");
  return {
    port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}
