/** Finds what already exists in the account under the program's names. Pure. */
import type { ResourceKind } from "../config/resource-types.ts";
import type { AccessApplication, DnsRecord, Tunnel } from "./cloudflare.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** What the stack's state knows to be its own (or the config takes over by `import`). */
export type Owned = (kind: ResourceKind, id: string) => boolean;

/** What to do about anything that somebody made by hand. */
const adoptAdvice =
  "`npm run init -- --adopt` says what can be taken over as it is, and how; after an `up` that was killed it may be its own (`npm run recover`)";

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
    return [ok(id, ours ? `${hostname}: its record is this stack's` : `${hostname} is free`)];
  }
  return inTheWay.map((record) => {
    const tunnel = tunnelOf(record.content);
    const name = tunnels.find((one) => one.id === tunnel)?.name;
    const leads = tunnel ? `the tunnel ${name ? JSON.stringify(name) : tunnel}` : record.content;
    const comment = record.comment ? `, comment ${JSON.stringify(record.comment)}` : "";
    const proxied = record.proxied ? "proxied" : "DNS only";
    return fail(
      id,
      `slm-network:hostname: ${JSON.stringify(hostname)} is taken: a ${record.type} record (${proxied}${comment}) leads it to ${leads}, and this stack did not make it`,
      `Take another name (one label under the zone), or see who uses this one and delete the record (dash.cloudflare.com → the zone → DNS); ${adoptAdvice}`,
    );
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
    const shown = `the Access application ${JSON.stringify(app.name)} (${app.destinations.join(", ")})`;
    const same = app.destinations.find((one) => destinations.includes(one.replace(/\/+$/, "").toLowerCase()));
    if (same) {
      return fail(
        id,
        `${same} belongs to ${shown}, which this stack did not make`,
        `Delete it (one.dash.cloudflare.com → Access → Applications) when nobody needs it; ${adoptAdvice}`,
      );
    }
    // A more specific path of somebody's takes its callers away from ours.
    const below = app.destinations.find((one) => destinations.some((ours) => one.startsWith(`${ours}/`)));
    if (!below) return [];
    return warn(
      id,
      `${below} belongs to ${shown}, so calls to that path are checked by its policies, not by this stack's`,
      "Delete it if that is not meant",
    );
  });
  return findings.length > 0 ? findings : [ok(id, "no Access application of somebody else's on the hostname")];
}

/**
 * A tunnel that was deleted in the dashboard: the API still answers for it, with `deleted_at`, so that the provider's refresh
 * reports no change while the network is down (docs/providers.md, row 4).
 * @param tunnels those that are not deleted
 * @param stateIds the ids of the state's tunnels; undefined when they are not known
 */
export function deletedTunnelFindings(tunnels: readonly Tunnel[], stateIds: readonly string[] | undefined): Finding[] {
  const gone = (stateIds ?? []).filter((id) => !tunnels.some((tunnel) => tunnel.id === id));
  return gone.map((id) =>
    fail(
      "cloudflare.tunnel",
      `the stack's tunnel ${id} was deleted in the dashboard: callers get 530, and neither \`pulumi refresh\` nor \`up\` notices`,
      "`pulumi state delete --target-dependents <URN of the tunnel>` (`pulumi stack --show-urns`), then `npm run init -- --adopt` for what is left of it in the account, then `npm run up`",
    ),
  );
}

/** @param name as the program will name its tunnel */
export function tunnelFindings(name: string, tunnels: readonly Tunnel[], owned: Owned): Finding[] {
  const id = "cloudflare.tunnel";
  const other = tunnels.find((tunnel) => tunnel.name === name && !owned("tunnel", tunnel.id));
  if (!other) return [ok(id, `the tunnel's name ${name} is free, or this stack's`)];
  const where = "one.dash.cloudflare.com → Networks → Tunnels";
  const todo =
    other.configuredBy === "local"
      ? `Delete it once its connector is stopped (${where}): it is configured by a file beside its connector, which cannot be taken over`
      : `Rename or delete it (${where}); ${adoptAdvice}`;
  return [
    fail(
      id,
      `there is a tunnel ${JSON.stringify(name)} (${other.id}, ${other.status}) that this stack did not make`,
      todo,
    ),
  ];
}
