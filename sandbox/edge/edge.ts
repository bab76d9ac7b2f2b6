/**
 * Cloudflare's edge on loopback, for the real cloudflared: it serves what the emulated account was told through its API
 * and nothing else (DNS, tunnels and their configuration, Access, service tokens).
 */
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { EdgeView } from "../cloudflare/edge-view.ts";
import type { Log } from "../log.ts";
import type { AccessOptions } from "./access.ts";
import { sessionSeconds } from "./applications.ts";
import { memoryCache } from "./cache.ts";
import { openAuthority } from "./certificates.ts";
import { COUNTRY, startClients } from "./client.ts";
import { CONNECTOR_NAME, type Connectors, startConnectors } from "./connector.ts";
import { openAccessKeys } from "./keys.ts";
import { signInPages } from "./sign-in.ts";
import { startTeam } from "./team.ts";

/** How to start an edge. */
export interface EdgeOptions extends AccessOptions {
  /** The account, as far as the edge may know it. */
  view: EdgeView;
  /** Folder of the authority, the certificates and the signing keys (0600); made when missing, used again if not. */
  dir: string;
  /** Ports on 127.0.0.1; 0 takes a free one. */
  ports: { connector: number; client: number; proxy: number };
  /** Code of the data centre that clients and connectors seem to reach. @default "ICN" */
  colo?: string;
  /** The connectors' own, where it is another. @default colo */
  connectorColo?: string;
  /** Longest silence of an origin. @default 100_000 */
  readTimeoutMs?: number;
  /** Largest request body. @default 100 MB (Cloudflare's Free and Pro) */
  bodyLimitBytes?: number;
  /** Where the sign-in page's mail goes. @default `mail.txt` in `dir` */
  mailFile?: string;
  log: Log;
}

/** A running edge. */
export interface Edge {
  /** Where clients come: `http://127.0.0.1:<port>`; the host name goes into the Host header. */
  url: string;
  /** Where connectors come: `127.0.0.1:<port>`. */
  connectorAddress: string;
  /** An HTTP proxy that leads to the team's domain and to the names that are served, over TLS. */
  proxyUrl: string;
  /** PEM file of the authority behind every TLS name of the edge. */
  caFile: string;
  /** Waits until a tunnel can be routed to with its configuration of this moment. @throws after the time (20 s) */
  routed: Connectors["routed"];
  /** A new signing key for Access; the previous one stays published. */
  rotateKeys(): Promise<void>;
  /** The session token of a person who has signed in, to be sent as the cookie `CF_Authorization`. */
  signPersonToken(audience: string, email: string): Promise<string>;
  /** A far entry: adds so many milliseconds to every request from now on. */
  setLatency(ms: number): void;
  /** Stops all listeners and cuts what runs. */
  close(): Promise<void>;
}

const MEBIBYTE = 1 << 20;

/** Starts an edge on 127.0.0.1. Resolves once every listener is open. @throws when a port is taken or a key file is damaged */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { view, dir, ports, log, strictServiceTokens, colo = "ICN", readTimeoutMs = 100_000 } = options;
  const connectorColo = options.connectorColo ?? colo;
  const bodyLimitBytes = options.bodyLimitBytes ?? 100 * MEBIBYTE;
  const authority = await openAuthority(dir);
  const keys = await openAccessKeys(dir);
  const running: { close(): Promise<void> }[] = [];
  const close = async () => {
    for (const part of running.splice(0).reverse()) await part.close();
  };
  try {
    const certificate = await authority.leaf(CONNECTOR_NAME);
    const connectors = await startConnectors({ view, certificate, port: ports.connector, colo: connectorColo, log });
    running.push(connectors);
    const signIn = signInPages({ view, keys, mailFile: options.mailFile ?? join(dir, "mail.txt"), country: COUNTRY });
    const teamDomain = () => view.teamDomain();
    let latencyMs = 0;
    const bounds = { colo, readTimeoutMs, bodyLimitBytes, strictServiceTokens, latencyMs: () => latencyMs };
    const clients = await startClients({
      ...bounds,
      view,
      connectors,
      keys,
      signIn,
      cache: memoryCache(),
      port: ports.client,
      log,
    });
    running.push(clients);
    const callers = {
      has: (name: string) => view.tunnelFor(name) !== undefined,
      take: (socket: Duplex) => clients.take(socket),
    };
    const team = await startTeam({ teamDomain, authority, keys, signIn, callers, port: ports.proxy, log });
    running.push(team);

    return {
      setLatency: (ms) => {
        latencyMs = ms;
      },
      url: clients.url,
      connectorAddress: connectors.address,
      proxyUrl: team.proxyUrl,
      caFile: authority.caFile,
      routed: connectors.routed,
      rotateKeys: () => keys.rotate(),
      signPersonToken(audience, email) {
        const application = view.accessApplications().find(({ aud }) => aud === audience);
        const lifetimeSeconds = sessionSeconds(application?.sessionDuration ?? "");
        const issuer = `https://${view.teamDomain()}`;
        return keys.sign({ email }, { issuer, audience, lifetimeSeconds, country: COUNTRY });
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
