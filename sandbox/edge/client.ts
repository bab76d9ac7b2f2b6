/** The listener for clients. The order of a request: host, the edge's own paths, Access, size, cache, connector. */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { AccessApplicationView, EdgeView } from "../cloudflare/edge-view.ts";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import { type AccessOptions, type Caller, type Decision, decide } from "./access.ts";
import * as answers from "./answers.ts";
import { applicationFor, sessionSeconds } from "./applications.ts";
import { type Cache, type CacheStatus, cacheable, lifetimeSeconds, MAX_CACHED_BYTES } from "./cache.ts";
import type { Connection, Connectors } from "./connector.ts";
import { type Forwarding, forward } from "./forward.ts";
import { cookieIn, type RequestFacts, tunnelHeaders } from "./headers.ts";
import type { AccessKeys } from "./keys.ts";
import { presentedToken } from "./presented-token.ts";
import type { SignIn } from "./sign-in.ts";
import { forwardUpgrade } from "./upgrade.ts";

/** The location of the sandbox's callers. */
export const COUNTRY = "KR";

/** What the client listener needs. */
export interface ClientOptions extends AccessOptions {
  view: EdgeView;
  connectors: Connectors;
  keys: AccessKeys;
  signIn: SignIn;
  cache: Cache;
  port: number;
  /** e.g. `ICN`. */
  colo: string;
  readTimeoutMs: number;
  bodyLimitBytes: number;
  /** Added to every request before it is handled, as a far entry does; read each time. */
  latencyMs?: () => number;
  log: Log;
}

/** The running listener. */
export interface ClientListener {
  /** `http://127.0.0.1:<port>`. */
  url: string;
  /** Serves a connection that arrived over TLS through the proxy. */
  take(socket: Duplex): void;
  close(): Promise<void>;
}

interface Admission {
  assertion?: string;
  email?: string;
}

const nameOf = (host: string | undefined): string => (host ?? "").toLowerCase().replace(/:\d+$/, "").replace(/\.$/, "");

/** Whether the client used an IP address instead of a name. */
const isBare = (host: string | undefined): boolean => ["", "127.0.0.1", "localhost", "[::1]"].includes(nameOf(host));

/** The requested host name. The bare loopback address serves the first one. */
function requestedName(host: string | undefined, view: EdgeView): string {
  return isBare(host) ? (view.hostnames()[0] ?? nameOf(host)) : nameOf(host);
}

/** Collects a cacheable body; undefined once it is too large. */
function collector() {
  let chunks: Buffer[] | undefined = [];
  let size = 0;
  return {
    add(chunk: Buffer) {
      size += chunk.length;
      if (size > MAX_CACHED_BYTES) chunks = undefined;
      chunks?.push(chunk);
    },
    body: () => (chunks ? Buffer.concat(chunks) : undefined),
  };
}

/** Listens for clients on 127.0.0.1 (HTTP/1.1, no TLS). Resolves once it listens. */
export async function startClients(options: ClientOptions): Promise<ClientListener> {
  const { view, keys, cache, log } = options;
  const issuer = () => `https://${view.teamDomain()}`;

  async function caller(
    request: IncomingMessage,
    ip: string,
    application: AccessApplicationView | undefined,
  ): Promise<Caller> {
    const audience = application?.aud;
    const presented = presentedToken(request.headers, application?.serviceTokenHeader);
    const { clientId, secret } = presented ?? {};
    const tokenId = clientId !== undefined && secret !== undefined && view.verifyServiceToken(clientId, secret);
    const cookie = cookieIn(request.headers.cookie, "CF_Authorization");
    const asked = cookie !== undefined && audience !== undefined;
    return {
      serviceToken: tokenId && clientId ? { clientId, tokenId } : presented ? "invalid" : undefined,
      email: asked ? await keys.verifyPerson(cookie, issuer(), audience) : undefined,
      ip,
      country: COUNTRY,
    };
  }

  /** The headers of an admitted request, or undefined after it was answered. */
  async function admit(
    request: IncomingMessage,
    response: ServerResponse,
    facts: RequestFacts,
  ): Promise<Admission | undefined> {
    const { ray, hostname, target } = facts;
    const application = applicationFor(view.accessApplications(), hostname, target);
    const decision: Decision = decide(application, await caller(request, facts.clientIp, application), options);
    switch (decision.outcome) {
      case "open":
        return {};
      case "person":
        return { assertion: cookieIn(request.headers.cookie, "CF_Authorization"), email: decision.email };
      case "service": {
        const { aud, sessionDuration } = decision.application;
        const lifetime = sessionSeconds(sessionDuration);
        const claims = { issuer: issuer(), audience: aud, lifetimeSeconds: lifetime, country: COUNTRY };
        return { assertion: await keys.sign({ clientId: decision.clientId }, claims) };
      }
      case "sign-in": {
        // A browser on this machine cannot reach the team's domain, so this host serves the page.
        const isBrowser = isBare(request.headers.host) && (request.headers.accept ?? "").includes("text/html");
        answers.signIn(response, ray, isBrowser ? "" : issuer(), decision.application, facts);
        return undefined;
      }
      case "refused":
        log(`edge: Access refused ${facts.method} ${hostname}: ${decision.reason}`);
        answers.forbidden(response, ray, decision.status, decision.application, hostname);
        return undefined;
    }
  }

  /** Answers from the cache if possible. @returns how to handle the origin's response, or undefined after answering */
  function caching(
    request: IncomingMessage,
    response: ServerResponse,
    facts: RequestFacts,
  ): Pick<Forwarding, "answered" | "passed" | "completed"> | undefined {
    const own = answers.edgeHeaders(facts.ray);
    const headers = (origin: string[], status: CacheStatus) => [...origin, ...own, "CF-Cache-Status", status];
    if (!cacheable(facts.method, facts.target.split("?")[0]!, request.headers))
      return { answered: (_, origin) => headers(origin, "DYNAMIC") };

    const key = [facts.hostname, facts.target, request.headers["accept-encoding"] ?? ""].join("\n");
    const hit = cache.get(key);
    if (hit) {
      const age = Math.floor((Date.now() - hit.storedAt) / 1000);
      response.writeHead(hit.status, [...headers(hit.headers, "HIT"), "Age", String(age)]);
      response.end(hit.body);
      return undefined;
    }
    const collected = collector();
    let kept: { status: number; headers: string[]; lifetime: number } | undefined;
    return {
      answered(status, origin) {
        const authorized = request.headers.authorization !== undefined;
        const lifetime = lifetimeSeconds(status, origin, authorized, Date.now());
        if (lifetime > 0) kept = { status, headers: origin, lifetime };
        return headers(origin, lifetime > 0 ? "MISS" : "BYPASS");
      },
      passed: (chunk) => kept && collected.add(chunk),
      completed() {
        const body = collected.body();
        if (!kept || !body) return;
        const storedAt = Date.now();
        const freshUntil = storedAt + kept.lifetime * 1000;
        cache.put(key, { status: kept.status, headers: kept.headers, body, storedAt, freshUntil });
      },
    };
  }

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    upgrade?: { socket: Socket; head: Buffer },
  ): Promise<void> {
    const latency = options.latencyMs?.() ?? 0;
    if (latency > 0) await delay(latency);
    const ray = `${randomBytes(8).toString("hex")}-${options.colo}`;
    const target = request.url ?? "/";
    if (!target.startsWith("/")) return answers.badRequest(response, ray);
    const hostname = requestedName(request.headers.host, view);
    const clientIp = (request.socket.remoteAddress ?? "127.0.0.1").replace("::ffff:", "");
    const facts: RequestFacts = { method: request.method ?? "GET", target, hostname, clientIp, ray, country: COUNTRY };

    const tunnelId = view.tunnelFor(hostname);
    if (tunnelId === undefined) return answers.errorCode(response, ray, 530, 1016);
    if (target.split("?")[0] === "/cdn-cgi/trace") {
      const { "user-agent": userAgent = "" } = request.headers;
      const seen = { hostname, ip: clientIp, colo: options.colo, country: COUNTRY, userAgent };
      return answers.trace(response, ray, { ...seen, httpVersion: request.httpVersion });
    }
    if (target.startsWith("/cdn-cgi/")) {
      const place = { target, clientIp, headers: answers.edgeHeaders(ray), origin: () => "" };
      if (await options.signIn.onHost(request, response, place)) return;
      if (isBare(request.headers.host) && (await options.signIn.onTeam(request, response, place))) return;
      return answers.notFound(response, ray);
    }

    const admission = await admit(request, response, facts);
    if (!admission) return;
    if (upgrade) return passOn(tunnelId, request, response, upgrade, { ...facts, ...admission });
    if (Number(request.headers["content-length"] ?? 0) > options.bodyLimitBytes) return answers.tooLarge(response, ray);
    const answering = caching(request, response, facts);
    if (!answering) return;
    pass(tunnelId, { request, response, ray, ...answering }, { ...facts, ...admission });
  }

  /** Sends the request over a connection, or the next one if the first is closing. */
  function pass(
    tunnelId: string,
    parts: Omit<Forwarding, "connection" | "headers" | "readTimeoutMs" | "bodyLimitBytes" | "log">,
    facts: RequestFacts,
  ): void {
    const { readTimeoutMs, bodyLimitBytes } = options;
    const headers = tunnelHeaders(parts.request.headers, facts);
    const passed = withConnection(tunnelId, (connection) =>
      forward({ ...parts, connection, headers, readTimeoutMs, bodyLimitBytes, log }),
    );
    if (!passed) answers.errorCode(parts.response, parts.ray, 530, 1033);
  }

  /** The same for a WebSocket. */
  function passOn(
    tunnelId: string,
    request: IncomingMessage,
    response: ServerResponse,
    upgrade: { socket: Socket; head: Buffer },
    facts: RequestFacts,
  ): void {
    const { ray } = facts;
    const headers = tunnelHeaders(request.headers, facts);
    const passed = withConnection(tunnelId, (connection) =>
      forwardUpgrade({ ...upgrade, response, connection, headers, ray, log }),
    );
    if (!passed) answers.errorCode(response, ray, 530, 1033);
  }

  /** @returns whether a connection accepted it */
  function withConnection(tunnelId: string, use: (connection: Connection) => void): boolean {
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const connection = options.connectors.choose(tunnelId);
      if (!connection) break;
      try {
        use(connection);
        return true;
      } catch (error) {
        log(`edge: a connection takes no request: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    return false;
  }

  // Cloudflare keeps an idle client for 400 s and takes 128 KB of headers; slow uploads have no time limit.
  const limits = { requestTimeout: 0, keepAliveTimeout: 400_000, maxHeaderSize: 128 * 1024 };
  const failed = (response: ServerResponse, error: unknown): void => {
    log(`edge: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    if (response.headersSent) response.destroy();
    else answers.errorCode(response, `${randomBytes(8).toString("hex")}-${options.colo}`, 500, 500);
  };
  // Java's client offers HTTP/2 to every server it calls; an offer that is not accepted leaves an ordinary request (RFC
  // 9110, 7.8).
  const shouldUpgradeCallback = ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === "websocket";
  const server = createServer({ ...limits, shouldUpgradeCallback }, (request, response) => {
    handle(request, response).catch((error: unknown) => failed(response, error));
    response.on("finish", () => request.resume()); // the rest of a request answered early is read and dropped
  });
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket)).on("error", () => socket.destroy());
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.on("finish", () => socket.end()); // it was refused
    handle(request, response, { socket, head }).catch((error: unknown) => failed(response, error));
  });
  const port = await listenOn(server, options.port, "the sandbox's edge, for clients,");
  return {
    url: `http://127.0.0.1:${port}`,
    take: (socket) => void server.emit("connection", socket),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of upgraded) socket.destroy();
      server.closeAllConnections();
      await closed;
    },
  };
}
