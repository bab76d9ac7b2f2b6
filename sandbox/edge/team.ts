/**
 * The team's domain, `<team>.cloudflareaccess.com`, as cloudflared and the relay reach it: through an HTTP proxy
 * (CONNECT, RFC 9110 9.3.6) that connects this name to the edge's own TLS server. It does the same for the names that the
 * edge serves, for callers that require TLS, and refuses all others.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { createServer as createCallersServer, createSecureContext, type SecureContext } from "node:tls";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import type { Authority } from "./certificates.ts";
import type { AccessKeys } from "./keys.ts";
import type { SignIn } from "./sign-in.ts";

/** What the key address answers: `slow` after 4 s, `garbage` an HTML page. */
export type KeyAddress = "keys" | "garbage" | "slow";
const SLOW_MS = 4_000;

/** The running proxy and the server behind it. */
export interface Team {
  setKeyAddress(answers: KeyAddress): void;
  /** `http://127.0.0.1:<port>`, for HTTPS_PROXY. */
  proxyUrl: string;
  close(): Promise<void>;
}

/** The dependencies of the team's domain. */
export interface TeamOptions {
  /** Read at each connection, because the organisation may be named later. */
  teamDomain(): string;
  authority: Authority;
  keys: AccessKeys;
  signIn: SignIn;
  /** The edge's names and their handler: the proxy connects these too, over TLS. */
  callers: { has(hostname: string): boolean; take(socket: Duplex): void };
  port: number;
  log: Log;
}

/** Starts both on 127.0.0.1; the TLS server has no port of its own. Resolves once the proxy listens. */
export async function startTeam(options: TeamOptions): Promise<Team> {
  const contexts = new Map<string, Promise<SecureContext>>();
  let keyAddress: KeyAddress = "keys";
  function context(name: string): Promise<SecureContext> {
    const made = contexts.get(name) ?? options.authority.leaf(name).then((pair) => createSecureContext(pair));
    contexts.set(name, made);
    return made;
  }

  /** developers.cloudflare.com, "Validate JWTs": the key set is public. */
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.split("?")[0] === "/cdn-cgi/access/certs") {
      if (keyAddress === "slow") await delay(SLOW_MS);
      if (keyAddress === "garbage") {
        response.setHeader("content-type", "text/html; charset=utf-8");
        response.end("<!doctype html><title>Just a moment…</title>");
        return;
      }
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(options.keys.published()));
      return;
    }
    const clientIp = (request.socket.remoteAddress ?? "127.0.0.1").replace("::ffff:", "");
    const place = { target: request.url ?? "/", clientIp, headers: [], origin: (name: string) => `https://${name}` };
    if (await options.signIn.onTeam(request, response, place)) return;
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
    response.end("The sandbox's team domain serves its keys and the sign-in page only.\n");
  }
  const team = createTlsServer(
    {
      ...(await options.authority.leaf(options.teamDomain())),
      SNICallback(name, done) {
        if (name === options.teamDomain()) context(name).then((made) => done(null, made), done);
        else done(new Error(`the sandbox has no certificate for ${name}`));
      },
    },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        options.log(`edge: the team domain failed: ${String(error)}`);
        response.destroy();
      });
    },
  );
  team.on("tlsClientError", (error) => options.log(`edge: TLS to the team domain failed: ${error.message}`));

  const callers = createCallersServer(
    {
      SNICallback(name, done) {
        if (options.callers.has(name)) context(name).then((made) => done(null, made), done);
        else done(new Error(`the sandbox has no certificate for ${name}`));
      },
    },
    (socket) => options.callers.take(socket),
  );
  callers.on("tlsClientError", (error) => options.log(`edge: TLS of a caller failed: ${error.message}`));

  const open = new Set<Duplex>();
  const proxy = createServer((request, response) => {
    response.writeHead(403, { "content-type": "text/plain; charset=utf-8" });
    response.end(`The sandbox's proxy leads only to ${options.teamDomain()}:443, not to ${request.url}.\n`);
  });
  proxy.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
    const [host = "", port] = (request.url?.toLowerCase() ?? "").split(":");
    const isCaller = port === "443" && options.callers.has(host);
    if (!isCaller && request.url?.toLowerCase() !== `${options.teamDomain()}:443`) {
      options.log(`edge: the proxy refused ${request.url}: it leads only to ${options.teamDomain()}:443`);
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    (isCaller ? callers : team).emit("connection", socket);
  });
  const port = await listenOn(proxy, options.port, "the sandbox's edge, as a proxy,");

  return {
    proxyUrl: `http://127.0.0.1:${port}`,
    setKeyAddress: (answers) => {
      keyAddress = answers;
    },
    async close() {
      const closed = new Promise<void>((resolve) => proxy.close(() => resolve()));
      proxy.closeAllConnections();
      for (const socket of open) socket.destroy();
      team.closeAllConnections();
      await closed;
    },
  };
}
