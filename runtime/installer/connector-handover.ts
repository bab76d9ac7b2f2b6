/**
 * Replaces the connector without a gap: a temporary connector with the new token connects first, then the connector is
 * drained and restarted, then the temporary one is drained and removed. At every moment one of them is connected.
 *
 * A power cut in between needs no repair: the temporary connector's plist is not where macOS loads plists at boot, and the
 * connector's own files are the new ones by then.
 */
import { z } from "zod";
import { waitUntil } from "./commands.ts";
import { isLoaded, load, reload, removeDaemon, signal, writePlist } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import { type Connector, connectorDaemon } from "./plists.ts";
import { freePort } from "./ports.ts";
import { inSeconds, timeLimits } from "./time-limits.ts";

/** Cloudflare's network needs a moment to route requests to a newly registered connector. */
const settleMs = 2_000;
/** Idle time that counts as drained: a request may be in transit when the counter is read. */
const quietMs = 1_000;

/** cloudflared's responses on its metrics port. https://github.com/cloudflare/cloudflared/blob/master/metrics/metrics.go */
const readySchema = z.object({ readyConnections: z.int().min(0), connectorId: z.string() });
const configSchema = z.object({ version: z.int() });

/** Progress of a connector. */
interface ConnectorStatus {
  /** Differs for each process. */
  id: string;
  /** Open connections to Cloudflare. */
  connections: number;
  /** Version of the configuration received from Cloudflare; -1: none yet. */
  version: number;
}

async function text(port: number, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2_000) });
  return response.text();
}

/** @returns status of the connector with this metrics port; undefined if it does not answer */
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

/** @returns number of running requests in the metrics text of a connector; undefined if it is not in the text */
export function requestsIn(metrics: string): number | undefined {
  const found = /^cloudflared_tunnel_concurrent_requests_per_tunnel(?:\{[^}]*\})? (\S+)$/m.exec(metrics)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** The temporary connector: same program and token, with its own label and port. */
export function temporaryConnector(paths: Layout, port: number, edgeIpVersion?: Connector["edgeIpVersion"]): Connector {
  return connectorDaemon(paths, port, {
    name: "connector-stand-in",
    plistFolder: paths.base,
    edgeIpVersion,
    keepAlive: false, // restarted after its drain, it would accept requests that its removal then cuts
  });
}

/**
 * Replaces the running connector. When it resolves, the connector has restarted and is connected, and the temporary one is gone.
 * @param isLoadedAsWanted launchd has loaded the wanted plist; it restarts a daemon as it was loaded, whatever the file says now
 * @param changing is called right before the connector itself is changed; until then a failure leaves it as it was
 * @throws Error when the new token or program does not connect: the old connector keeps running. After `changing`, the temporary one does.
 */
export async function handOver(
  paths: Layout,
  connector: Connector,
  isLoadedAsWanted: boolean,
  changing: () => void,
  ready: () => Promise<void>,
): Promise<void> {
  const second = temporaryConnector(paths, await freePort(), connector.edgeIpVersion);
  await removeDaemon(paths, second); // left by an installer that was killed
  const before = await connectorStatus(connector.port);
  const withinMs = timeLimits().connectorTakesOver;
  await writePlist(paths, second);
  await load(paths, second);
  if (!(await waitUntil(async () => canTakeOver(await connectorStatus(second.port), before), withinMs))) {
    const reached = (await connectorStatus(second.port))?.connections ?? 0;
    if (reached === 0) {
      await removeDaemon(paths, second);
      throw new Error(
        `the second cloudflared, with the new token, did not connect within ${inSeconds(withinMs)}; the first one keeps running unchanged. Its log is ${connector.logFile}`,
      );
    }
  }
  await settled();
  changing();
  await drain(connector);
  const hasRestarted =
    isLoadedAsWanted && before !== undefined && (await connectorStatus(connector.port))?.id !== before.id;
  // After it exits, launchd restarts it with the new token: that process is already the new connector.
  if (!hasRestarted || !(await isLoaded(connector))) {
    await writePlist(paths, connector);
    await reload(paths, connector);
  }
  await ready();
  await waitUntil(async () => canTakeOver(await connectorStatus(connector.port), before), withinMs);
  await settled();
  await removeTemporaryConnector(paths, second);
}

/** Drains and removes a temporary connector. A missing one is not an error. */
export async function removeTemporaryConnector(paths: Layout, second: Connector): Promise<void> {
  if (await isLoaded(second)) await drain(second);
  await removeDaemon(paths, second);
}

/**
 * Tells a connector to accept no more requests and waits for the running ones. Unloading it is not enough: over QUIC
 * cloudflared always uses its whole grace period, and launchd kills it before a long response ends.
 */
async function drain(connector: Connector): Promise<void> {
  const before = await connectorStatus(connector.port);
  if (!before || !(await signal(connector, "TERM"))) return;
  let quietSince = Number.POSITIVE_INFINITY;
  await waitUntil(async () => {
    // Gone, or another process already: this one has finished.
    if ((await connectorStatus(connector.port))?.id !== before.id) return true;
    const running = await text(connector.port, "/metrics").then(requestsIn, () => 0);
    quietSince = running ? Number.POSITIVE_INFINITY : Math.min(quietSince, performance.now());
    return performance.now() - quietSince >= quietMs;
  }, timeLimits().connectorDrains);
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, settleMs));
