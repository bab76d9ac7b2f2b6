/**
 * A WebSocket through a connector: what `cloudflared access tcp` speaks to the edge. Over HTTP/2 there is no 101, so
 * cloudflared answers 200 and both sides send their bytes in the stream (cloudflared, connection/http2.go).
 */
import type { ServerResponse } from "node:http";
import type { OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Log } from "../log.ts";
import { errorCode } from "./answers.ts";
import type { Connection } from "./connector.ts";
import { fromOrigin } from "./forward.ts";
import { originHeaders } from "./headers.ts";

/** The request to forward. */
export interface Upgrading {
  /** The client's connection, and the bytes received after the request's headers. */
  socket: Socket;
  head: Buffer;
  /** Owns that connection until the upgrade succeeds; refusals are written to it. */
  response: ServerResponse;
  connection: Connection;
  headers: OutgoingHttpHeaders;
  ray: string;
  log: Log;
}

/**
 * Starts it; it runs until one of the two sides closes.
 * @throws when the connection accepts no more requests; nothing was sent, so another one may be tried
 */
export function forwardUpgrade({ socket, head, response, connection, headers, ray, log }: Upgrading): void {
  const gone = new AbortController();
  const stream = connection.request(
    { ...headers, "cf-cloudflared-proxy-connection-upgrade": "websocket" },
    { endStream: false, signal: gone.signal },
  );
  connection.inFlight += 1;
  stream.on("response", (received) => {
    const status = received[":status"] ?? 502;
    if (!fromOrigin(received["cf-cloudflared-response-meta"]) || status !== 200) {
      errorCode(response, ray, status === 200 ? 502 : status, status === 200 ? 502 : status);
      return gone.abort();
    }
    const serialized = received["cf-cloudflared-response-headers"];
    const pairs = originHeaders(typeof serialized === "string" ? serialized : "");
    const lines = pairs.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${pairs[index + 1]}`] : []));
    const own = ["Upgrade: websocket", "Connection: Upgrade", "Server: cloudflare", `CF-Ray: ${ray}`];
    response.detachSocket(socket);
    socket.write(["HTTP/1.1 101 Switching Protocols", ...lines, ...own, "", ""].join("\r\n"), "latin1");
    if (head.length > 0) stream.write(head);
    socket.pipe(stream);
    stream.pipe(socket);
  });
  stream.on("error", (error) => {
    if (error.name !== "AbortError") log(`edge: a WebSocket's stream failed: ${error.message}`);
  });
  stream.on("close", () => {
    connection.inFlight -= 1;
    socket.destroy();
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    if (!stream.closed) gone.abort();
  });
}
