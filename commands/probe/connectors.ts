/** Where the tunnel's connectors are, according to Cloudflare's API. */
import Cloudflare from "cloudflare";

/** The tunnel, and how to sign in. */
export interface ConnectorsOf {
  readonly accountId: string;
  readonly tunnelId: string;
  readonly apiToken: string;
  /** @default Cloudflare's, or CLOUDFLARE_BASE_URL */
  readonly apiUrl: string | undefined;
}

/**
 * @returns the locations, e.g. ICN, without duplicates; empty when no connector is connected
 * @throws when the API refuses (the token needs Cloudflare Tunnel Read) or does not answer within 15 s
 */
export async function connectorColos({ accountId, tunnelId, apiToken, apiUrl }: ConnectorsOf): Promise<string[]> {
  const client = new Cloudflare({ apiToken, ...(apiUrl && { baseURL: apiUrl }), timeout: 15_000 });
  const found = new Set<string>();
  const asked = client.zeroTrust.tunnels.cloudflared.connections.get(tunnelId, { account_id: accountId });
  for await (const { conns } of asked) {
    // e.g. icn06: a location and its number
    for (const { colo_name } of conns ?? []) if (colo_name) found.add(colo_name.slice(0, 3).toUpperCase());
  }
  return [...found];
}
