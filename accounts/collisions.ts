/** Finds what already exists in the account under the program's names. Pure. */
import type { ResourceKind } from "../config/resource-types.ts";
import { withoutSlash } from "../runtime/base-url.ts";
import type { AccessApplication, DnsRecord, Tunnel } from "./cloudflare.ts";
import type { Finding } from "./finding.ts";
import { fail, ok, warn } from "./messages.ts";

/** What the stack's state knows to be its own (or the config takes over by `import`). */
export type Owned = (kind: ResourceKind, id: string) => boolean;

/** A record of another type (TXT, MX) may stand beside a proxied CNAME. */
const exclusive = new Set(["A", "AAAA", "CNAME", "NS"]);
const tunnelOf = (content: string): string | undefined => /^([0-9a-f-]{36})\.cfargotunnel\.com$/.exec(content)?.[1];

/** @param tunnels those of the account, to name the one that a record leads to */
export function recordFindings(
  hostname: string,
  records: readonly DnsRecord[],
  tunnels: readonly Tunnel[],
  owned: Owned,
): Finding[] {
  const id = "cloudflare.hostname";
  const inTheWay = records.filter((record) => exclusive.has(record.type) && !owned("record", record.id));
  const ours = records.some((record) => exclusive.has(record.type) && owned("record", record.id));
  if (inTheWay.length === 0) {
    return [ok(id, (say) => (ours ? say.hostname.ours(hostname) : say.hostname.free(hostname)))];
  }
  return inTheWay.map((record) => {
    const tunnel = tunnelOf(record.content);
    const name = tunnels.find((one) => one.id === tunnel)?.name;
    const shown = tunnel && name ? JSON.stringify(name) : tunnel;
    return fail(id, (say) => say.hostname.taken(hostname, record, shown));
  });
}

/** Two applications cannot have one destination; a wildcard beside them is less specific and gives way. */
export function applicationFindings(
  destinations: readonly string[],
  applications: readonly AccessApplication[],
  owned: Owned,
): Finding[] {
  const id = "cloudflare.applications";
  const others = applications.filter((app) => !owned("application", app.id));
  const findings = others.flatMap((app) => {
    const all = app.destinations.join(", ");
    const same = app.destinations.find((one) => destinations.includes(withoutSlash(one).toLowerCase()));
    if (same) return fail(id, (say) => say.applications.same(same, app.name, all));
    // A more specific path of somebody's takes its callers away from ours.
    const below = app.destinations.find((one) => destinations.some((ours) => one.startsWith(`${ours}/`)));
    if (!below) return [];
    return warn(id, (say) => say.applications.below(below, app.name, all));
  });
  return findings.length > 0 ? findings : [ok(id, (say) => say.applications.none)];
}

/**
 * A tunnel that was deleted in the dashboard: the API still answers for it, with `deleted_at`, so that the provider's refresh
 * reports no change while the network is down (docs/providers.md, row 4).
 * @param tunnels those that are not deleted
 * @param stateIds the ids of the state's tunnels; undefined when they are not known
 */
export function deletedTunnelFindings(tunnels: readonly Tunnel[], stateIds: readonly string[] | undefined): Finding[] {
  const gone = (stateIds ?? []).filter((id) => !tunnels.some((tunnel) => tunnel.id === id));
  return gone.map((id) => fail("cloudflare.tunnel", (say) => say.tunnel.deleted(id)));
}

/** @param name as the program will name its tunnel */
export function tunnelFindings(name: string, tunnels: readonly Tunnel[], owned: Owned): Finding[] {
  const id = "cloudflare.tunnel";
  const other = tunnels.find((tunnel) => tunnel.name === name && !owned("tunnel", tunnel.id));
  if (!other) return [ok(id, (say) => say.tunnel.free(name))];
  const key = other.configuredBy === "local" ? "takenLocally" : "taken";
  return [fail(id, (say) => say.tunnel[key](name, other.id, other.status))];
}
