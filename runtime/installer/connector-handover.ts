/**
 * A connector that changes hands without a gap: a stand-in with the new token connects first, then the connector itself is
 * drained and started anew, then the stand-in is drained and goes. At every moment one of them has a connection.
 *
 * A power cut in between leaves nothing to mend: the stand-in's plist lies where macOS does not look at boot, and the
 * connector's own files are the new ones by then.
 */
import { z } from "zod";
import { waitUntil } from "./commands.ts";
import { readIfExists } from "./files.ts";
import { isLoaded, load, plistPath, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { type Connector, connectorDaemon } from "./plists.ts";
import { freePort } from "./ports.ts";

/** How long a connector may take to connect, and to finish the requests it has, in milliseconds. */
const patience = { connect: 30_000, drain: 185_000 };
/** Cloudflare's network needs a moment to lead requests to a connector that has just registered. */
const settleMs = 2_000;
/** No request for this long counts as drained: one may be on its way when the counter is read. */
const quietMs = 1_000;

/** cloudflared's answers on its metrics port. https://github.com/cloudflare/cloudflared/blob/master/metrics/metrics.go */
const readySchema = z.object({ readyConnections: z.int().min(0), connectorId: z.string() });
const configSchema = z.object({ version: z.int() });

/** How far a connector is. */
interface ConnectorStatus {
  /** Another one for each process. */
  id: string;
  /** Open connections to Cloudflare. */
  connections: number;
  /** Version of the configuration it has from Cloudflare; -1 is none yet. */
  version: number;
}

async function text(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2_000) });
  return response.text();
}

/** @returns how far the connector with this metrics port is; undefined when it does not answer */
export async function connectorStatus(port: number): Promise<ConnectorStatus | undefined> {
  try {
    const { readyConnections, connectorId } = readySchema.parse(JSON.parse(await text(port, "/ready")));
    const { version } = configSchema.parse(JSON.parse(await text(port, "/config")));
    return { id: connectorId, connections: readyConnections, version };
  } catch {
    return undefined;
  }
}

/** @returns whether `now` can take over from `before`: as many connections, and the same configuration or a newer one */
export function canTakeOver(
  now: Omit<ConnectorStatus, "id"> | undefined,
  before: Omit<ConnectorStatus, "id"> | undefined,
): boolean {
  if (!now || now.connections === 0 || now.version < 0) return false;
  return now.connections >= (before?.connections ?? 1) && now.version >= (before?.version ?? 0);
}

/** @returns the requests that run in a connector, by its metrics text; undefined when the text does not say */
export function requestsIn(metrics: string): number | undefined {
  const found = /^cloudflared_tunnel_concurrent_requests_per_tunnel(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** The connector's stand-in: the same program and token, a name and a port of its own. */
export function temporaryConnector(paths: Layout, port: number): Connector {
  return connectorDaemon(paths, port, {
    name: "connector-stand-in",
    plistFolder: paths.base,
    keepAlive: false, // started again after it was drained, it would take requests that its removal then cuts
  });
}

/**
 * Replaces the running connector. When it resolves, the connector is anew and connected, and the stand-in is gone.
 * @param changing is called right before the connector itself is touched; until then a failure leaves it as it was
 * @throws Error when the new token or program does not connect: then the old connector serves on. Later the stand-in does.
 */
export async function handOver(
  paths: Layout,
  connector: Connector,
  changing: () => void,
  ready: () => Promise<void>,
): Promise<void> {
  const second = temporaryConnector(paths, await freePort());
  await removeDaemon(paths, second); // one left by an installer that was killed
  const before = await connectorStatus(connector.port);
  await writePlist(paths, second);
  await load(paths, second);
  if (!(await waitUntil(async () => canTakeOver(await connectorStatus(second.port), before), patience.connect))) {
    const reached = (await connectorStatus(second.port))?.connections ?? 0;
    if (reached === 0) {
      await removeDaemon(paths, second);
      throw new Error(
        `the second cloudflared, with the new token, did not connect within ${patience.connect / 1000} s; the first one serves on as it was. Its log is ${connector.logFile}`,
      );
    }
  }
  await settled();
  changing();
  await drain(connector);
  const isWanted = (await readIfExists(plistPath(paths, connector))) === connector.plist;
  const hasRestarted = isWanted && before !== undefined && (await connectorStatus(connector.port))?.id !== before.id;
  // What ends by itself is started by launchd again, with the new token: that one serves already, and is left alone.
  if (!hasRestarted || !(await isLoaded(connector))) {
    await writePlist(paths, connector);
    await reload(paths, connector);
  }
  await ready();
  await waitUntil(async () => canTakeOver(await connectorStatus(connector.port), before), patience.connect);
  await settled();
  await removeTemporaryConnector(paths, second);
}

/** Drains and removes a stand-in. Nothing there is no error. */
export async function removeTemporaryConnector(paths: Layout, second: Connector): Promise<void> {
  if (await isLoaded(second)) await drain(second);
  await removeDaemon(paths, second);
}

/**
 * Asks a connector to take no more requests, and waits until those it has are answered. Unloading it would not do: over
 * QUIC cloudflared always takes its whole grace, and launchd ends it sooner than a long answer does.
 */
async function drain(connector: Connector): Promise<void> {
  const before = await connectorStatus(connector.port);
  if (!before || !(await signal(connector, "TERM"))) return;
  let quietSince = Number.POSITIVE_INFINITY;
  await waitUntil(async () => {
    // Gone, or already another process: this one has finished.
    if ((await connectorStatus(connector.port))?.id !== before.id) return true;
    const running = await text(connector.port, "/metrics").then(requestsIn, () => 0);
    quietSince = running ? Number.POSITIVE_INFINITY : Math.min(quietSince, performance.now());
    return performance.now() - quietSince >= quietMs;
  }, patience.drain);
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));
