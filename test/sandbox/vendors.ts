/**
 * The vendors' download sites on loopback, under their real names: a proxy as an office has one (`HTTPS_PROXY`), which
 * leads their names to one server with certificates of an authority of its own.
 */
import type { ServerResponse } from "node:http";
import { createServer as createProxy } from "node:http";
import { createServer as createSites } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext } from "node:tls";
import { openAuthority } from "../../sandbox/edge/certificates.ts";
import { listenOn } from "../../sandbox/machine/ports.ts";

/** One request to a vendor's site. */
export interface Asked {
  /** With `https://` and the vendor's name. */
  url: string;
  path: string;
  method: string;
  /** How often this address was asked for by this method, this time included. */
  times: number;
}

/** The running sites. */
export interface Vendors {
  proxyUrl: string;
  caFile: string;
  /** Variables that lead a process to the sites, also one in Go (on Linux). */
  environment: { HTTPS_PROXY: string; NODE_EXTRA_CA_CERTS: string; SSL_CERT_FILE: string };
  /** What was asked for by GET, in order. */
  asked: Asked[];
  /** `host:port` of every connection that the proxy was asked for. */
  dialled: string[];
  close(): Promise<void>;
}

/**
 * @param dir keeps the certificates
 * @param hosts the names that are reachable through the proxy; it refuses others
 */
export async function startVendors(
  dir: string,
  hosts: readonly string[],
  answer: (asked: Asked, response: ServerResponse) => void,
): Promise<Vendors> {
  const authority = await openAuthority(dir);
  const contexts = new Map<string, ReturnType<typeof createSecureContext>>();
  for (const host of hosts) contexts.set(host, createSecureContext(await authority.leaf(host)));
  const asked: Asked[] = [];
  const dialled: string[] = [];
  const times = new Map<string, number>();
  const sites = createSites({ SNICallback: (name, done) => done(null, contexts.get(name)) }, (request, response) => {
    const url = `https://${request.headers.host}${request.url}`;
    const key = `${request.method} ${url}`;
    times.set(key, (times.get(key) ?? 0) + 1);
    const one = { url, path: request.url ?? "", method: request.method ?? "", times: times.get(key) ?? 0 };
    if (request.method === "HEAD") return void response.end();
    asked.push(one);
    answer(one, response);
  });
  const open = new Set<Duplex>();
  const proxy = createProxy((_request, response) => void response.writeHead(405).end());
  proxy.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
  });
  proxy.on("connect", (request, socket, head) => {
    dialled.push(request.url ?? "");
    if (!hosts.some((host) => request.url === `${host}:443`)) {
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    sites.emit("connection", socket);
  });
  const proxyUrl = `http://127.0.0.1:${await listenOn(proxy, 0, "the tests' proxy")}`;
  return {
    proxyUrl,
    caFile: authority.caFile,
    environment: { HTTPS_PROXY: proxyUrl, NODE_EXTRA_CA_CERTS: authority.caFile, SSL_CERT_FILE: authority.caFile },
    asked,
    dialled,
    close: async () => {
      const closed = new Promise((resolve) => proxy.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

/** Sends half of the body and cuts the connection. */
export function cut(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, { "content-length": body.length });
  response.write(body.subarray(0, body.length / 2), () => response.socket?.destroy());
}
