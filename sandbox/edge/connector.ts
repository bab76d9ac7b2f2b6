/** cloudflared's connections: TLS, then HTTP/2 with reversed roles, in which the edge sends the requests. */
import { randomUUID, timingSafeEqual } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { z } from "zod";
import type { ConnectorConnection, EdgeView, TunnelConfiguration } from "../cloudflare/edge-view.ts";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import type { KeyPair } from "./certificates.ts";
import { type Registration, type RegistrationAnswer, serveRegistration } from "./registration.ts";

/** The TLS server name of cloudflared with `--protocol http2` (its `connection/protocol.go`). */
export const CONNECTOR_NAME = "h2.cftunnel.com";

/** One connection of one cloudflared. */
export interface Connection {
  /** Requests in flight. The caller of `request` maintains this counter. */
  inFlight: number;
  /**
   * Starts a request. Abort it by `signal` only: a closed stream would look complete to the origin. @throws when the
   * connection is closing
   */
  request(headers: OutgoingHttpHeaders, options: { endStream: boolean; signal: AbortSignal }): ClientHttp2Stream;
}

/** The connectors of all tunnels. */
export interface Connectors {
  /** `127.0.0.1:<port>`. */
  address: string;
  /** This tunnel's connection with the fewest requests in flight, or undefined when none accepts requests. */
  choose(tunnelId: string): Connection | undefined;
  /**
   * Waits until the given number of connections have the view's current configuration.
   * @throws after `timeoutMs`, describing the connections
   */
  routed(tunnelId: string, options?: { connections?: number; timeoutMs?: number }): Promise<void>;
  close(): Promise<void>;
}

/** What the connectors need. */
export interface ConnectorOptions {
  view: EdgeView;
  certificate: KeyPair;
  port: number;
  /** e.g. `ICN`. */
  colo: string;
  /** Ping interval in ms; a connection is cut after three unanswered pings. @default 1000 */
  heartbeatMs?: number;
  log: Log;
}

interface Live extends Connection {
  session: ClientHttp2Session;
  remoteAddress: string;
  openedAt: string;
  registration?: Registration;
  ready: boolean;
  appliedVersion: number;
  /** Pushes run sequentially. */
  pushing: Promise<void>;
}

const updateAnswer = z.object({ lastAppliedVersion: z.number(), err: z.unknown().optional() });
const INVALID_SECRET = "Unauthorized: Invalid tunnel secret";

const sameBytes = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);

/** Destroys a session with an error. Without one, its streams would end as if their responses were complete. */
function cut(session: ClientHttp2Session): void {
  if (!session.destroyed) session.destroy(new Error("the connection to the connector is lost"));
}

/** Sends one configuration and reads cloudflared's answer. @returns the version it now has */
async function pushConfiguration(session: ClientHttp2Session, configuration: TunnelConfiguration): Promise<number> {
  const stream = session.request({
    ":method": "PUT",
    ":path": "/",
    "cf-cloudflared-proxy-connection-upgrade": "update-configuration",
    "content-type": "application/json",
  });
  const config = { ...configuration.config, "warp-routing": { enabled: false } };
  stream.end(JSON.stringify({ version: configuration.version, config }));
  let body = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) body += String(chunk);
  const answer = updateAnswer.parse(JSON.parse(body));
  if (answer.err)
    throw new Error(`cloudflared refused version ${configuration.version}: ${JSON.stringify(answer.err)}`);
  return answer.lastAppliedVersion;
}

/** Node does not always notice a peer that died during a transfer, so the edge pings. */
function heartbeat(session: ClientHttp2Session, everyMs: number, dead: () => void): void {
  let unanswered = 0;
  const timer = setInterval(() => {
    if (session.closed) return; // it is draining; Node no longer sends pings
    if (unanswered >= 3) return dead();
    unanswered += 1;
    if (!session.destroyed) session.ping((error) => (unanswered = error ? unanswered : 0));
  }, everyMs);
  timer.unref();
  session.once("close", () => clearInterval(timer));
}

/** Listens for connectors on 127.0.0.1. Resolves once it listens. */
export async function startConnectors(options: ConnectorOptions): Promise<Connectors> {
  const { view, log } = options;
  const location = `${options.colo.toLowerCase()}01`;
  const live = new Set<Live>();
  const sockets = new Set<Socket>(); // includes those in their handshake and those of draining connectors
  const waiting = new Set<() => void>();

  function usable(tunnelId: string): Live[] {
    return [...live].filter(
      (one) => one.ready && one.registration?.tunnelId === tunnelId && !one.session.closed && !one.session.destroyed,
    );
  }

  /** Notifies the account and waiters. */
  function changed(tunnelId: string): void {
    const connections = [...live].flatMap((one): ConnectorConnection[] =>
      one.registration?.tunnelId === tunnelId
        ? [
            {
              connectorId: one.registration.connectorId,
              clientVersion: one.registration.version,
              arch: one.registration.arch,
              coloName: location,
              openedAt: one.openedAt,
              originIp: one.remoteAddress,
              isPendingReconnect: false,
            },
          ]
        : [],
    );
    view.setConnections(tunnelId, connections);
    for (const check of waiting) check();
  }

  function leave(one: Live, why: string): void {
    one.ready = false;
    if (!live.delete(one) || !one.registration) return;
    log(`edge: a connection of tunnel ${one.registration.tunnelId} is gone (${why})`);
    changed(one.registration.tunnelId);
  }

  /** Pushes the account's configuration to a connection. On failure the connection keeps its previous one. */
  function update(one: Live, tunnelId: string): void {
    one.pushing = one.pushing.then(async () => {
      const configuration = view.configuration(tunnelId);
      if (!live.has(one)) return;
      try {
        if (configuration && configuration.version > one.appliedVersion)
          one.appliedVersion = await pushConfiguration(one.session, configuration);
        one.ready = live.has(one); // a tunnel without a configuration is served too: cloudflared itself answers 503
        for (const check of waiting) check();
      } catch (error) {
        log(`edge: tunnel ${tunnelId}: ${error instanceof Error ? error.message : String(error)}`);
      }
    });
  }

  function register(one: Live, registration: Registration): RegistrationAnswer {
    const tunnel = view.tunnel(registration.tunnelId);
    const known = tunnel !== undefined && tunnel.accountTag === registration.accountTag;
    if (!known || !sameBytes(tunnel.secret, registration.secret)) {
      log(`edge: a connector of tunnel ${registration.tunnelId} was refused: ${INVALID_SECRET}`);
      return { accepted: false, cause: INVALID_SECRET };
    }
    one.registration = registration;
    one.openedAt = new Date().toISOString();
    log(`edge: tunnel ${tunnel.id}: connection ${registration.connectionIndex} of ${registration.connectorId}`);
    changed(tunnel.id);
    setImmediate(() => update(one, tunnel.id)); // after the answer to this registration
    return { accepted: true, connectionId: randomUUID(), location };
  }

  function accept(socket: TLSSocket): void {
    socket.setNoDelay(true);
    const session = connect(`https://${CONNECTOR_NAME}`, {
      createConnection: () => socket,
      maxSessionMemory: 1000,
      maxSendHeaderBlockLength: 1 << 18,
      settings: { enablePush: false, initialWindowSize: 1 << 20, maxHeaderListSize: 1 << 18 },
    });
    const one: Live = {
      session,
      remoteAddress: socket.remoteAddress ?? "127.0.0.1",
      openedAt: "",
      ready: false,
      appliedVersion: 0,
      pushing: Promise.resolve(),
      inFlight: 0,
      request: (headers, { endStream, signal }) => session.request(headers, { endStream, signal }),
    };
    live.add(one);
    session.once("connect", () => session.setLocalWindowSize(1 << 24));
    session.on("error", (error) => leave(one, error.message));
    session.on("goaway", () => leave(one, "it is shutting down"));
    session.on("close", () => leave(one, "closed"));
    socket.on("error", () => {}); // the session reports it
    socket.on("close", () => cut(session));
    heartbeat(session, options.heartbeatMs ?? 1000, () => {
      leave(one, "no answer to three pings");
      cut(session);
      socket.destroy();
    });

    const control = session.request(
      { ":method": "GET", ":path": "/", "cf-cloudflared-proxy-connection-upgrade": "control-stream" },
      { endStream: false },
    );
    control.on("error", () => {}); // its close event decides
    control.on("end", () => control.end());
    control.on("close", () => leave(one, "its control stream ended"));
    serveRegistration(control, {
      register: (registration) => register(one, registration),
      unregister() {
        leave(one, "it unregistered");
        setImmediate(() => session.close()); // waits for the requests in flight
      },
      ended: (reason) => leave(one, reason),
      failed(reason) {
        log(`edge: a connector's control stream failed: ${reason}`);
        cut(session);
      },
    });
  }

  const server = createServer({ ...options.certificate, minVersion: "TLSv1.2" }, accept);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", (error) => log(`edge: a connector's TLS handshake failed: ${error.message}`));
  const port = await listenOn(server, options.port, "the sandbox's edge, for connectors,");
  const stopListening = view.onChange((tunnelId) => {
    for (const one of live) {
      const own = one.registration?.tunnelId;
      if (own !== undefined && (tunnelId === undefined || tunnelId === own)) update(one, own);
    }
  });

  return {
    address: `127.0.0.1:${port}`,
    choose: (tunnelId) => usable(tunnelId).sort((a, b) => a.inFlight - b.inFlight)[0],
    routed(tunnelId, { connections = 1, timeoutMs = 60_000 } = {}) {
      const version = view.configuration(tunnelId)?.version ?? 0;
      const count = () => usable(tunnelId).filter((one) => one.appliedVersion >= version).length;
      return new Promise((resolve, reject) => {
        const check = () => {
          if (count() >= connections) finish(resolve);
        };
        const timer = setTimeout(() => {
          const seen = `${count()} of ${connections} connections with version ${version}`;
          finish(() =>
            reject(new Error(`Tunnel ${tunnelId} had ${seen} after ${timeoutMs} ms; see cloudflared's log.`)),
          );
        }, timeoutMs);
        const finish = (settle: () => void) => {
          clearTimeout(timer);
          waiting.delete(check);
          settle();
        };
        waiting.add(check);
        check();
      });
    },
    async close() {
      stopListening();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const one of live) leave(one, "the edge stops");
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
