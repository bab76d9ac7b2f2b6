/**
 * Cloudflare's edge on loopback, for the real cloudflared. It serves only what was declared through the emulated API (DNS,
 * tunnels and their configuration, Access, service tokens).
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
import { type KeyAddress, startTeam } from "./team.ts";

/** How to start an edge. */
export interface EdgeOptions extends AccessOptions {
  /** The edge's view of the account. */
  view: EdgeView;
  /** Folder of the authority, certificates and signing keys (0600); created when missing. */
  dir: string;
  /** Ports on 127.0.0.1; 0 picks a free port. */
  ports: { connector: number; client: number; proxy: number };
  /** Code of the data centre shown to clients and connectors. @default "ICN" */
  colo?: string;
  /** The connectors' data centre, if different. @default colo */
  connectorColo?: string;
  /** Longest silence of an origin in ms. @default 100_000 */
  readTimeoutMs?: number;
  /** Largest request body. @default 100 MB (Cloudflare's Free and Pro) */
  bodyLimitBytes?: number;
  /** File for the sign-in page's emails. @default `mail.txt` in `dir` */
  mailFile?: string;
  log: Log;
}

/** A running edge. */
export interface Edge {
  /** Address for clients, `http://127.0.0.1:<port>`; the host name goes into the Host header. */
  url: string;
  /** Address for connectors, `127.0.0.1:<port>`. */
  connectorAddress: string;
  /** An HTTP proxy to the team's domain and the served names, over TLS. */
  proxyUrl: string;
  /** PEM file of the authority behind every TLS name of the edge. */
  caFile: string;
  /** Waits until a tunnel is routable with its current configuration. @throws after the time limit (20 s) */
  routed: Connectors["routed"];
  /** Creates a new signing key for Access; the previous one stays published. */
  rotateKeys(): Promise<void>;
  /** What the key address of the team's domain answers from now on: its keys, no JSON, or its keys after 4 s. */
  setKeyAddress(answers: KeyAddress): void;
  /** The session token of a signed-in person, for the cookie `CF_Authorization`. */
  signPersonToken(audience: string, email: string): Promise<string>;
  /** A far entry: adds so many milliseconds to every request from now on. */
  setLatency(ms: number): void;
  /** Stops all listeners and cuts open connections. */
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
      setKeyAddress: (answers) => team.setKeyAddress(answers),
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
