/** The permissions that the Cloudflare API token needs, and whether it has them. Changes nothing. */
import Cloudflare from "cloudflare";
import type { PermissionGroup } from "../config/resource-types.ts";
import type { CloudflareAccess, TokenPolicy } from "./cloudflare.ts";
import { cloudflareFailure } from "./cloudflare-failure.ts";
import { failure, type LookupFailure, type LookupResult, success } from "./lookup-result.ts";

/** The parts of the stack's config that decide which permissions are needed. */
export interface Uses {
  readonly alerts: { readonly emails: readonly string[] };
  readonly route: { readonly saasHostname?: string | undefined };
  /** The one-time PIN is to be made: people sign in by it, and the account has none. */
  readonly makesOneTimePin?: boolean | undefined;
}

/** One permission. */
export interface Permission {
  /** As the API names the group, without the level: `Cloudflare Tunnel`. */
  readonly group: PermissionGroup;
  readonly level: "Read" | "Write";
  readonly scope: "Account" | "Zone";
  /** What it is needed for. */
  readonly why: string;
}

/** Whether the token has it. */
export interface PermissionState {
  readonly permission: Permission;
  /** `unknown`: the account gave no answer to go by, in `failure`. */
  readonly state: "held" | "missing" | "unknown";
  readonly failure?: LookupFailure | undefined;
}

interface Group {
  scope: Permission["scope"];
  why: string;
  /** Below `/accounts/<id>` or `/zones/<id>`. */
  read: string;
  /** Whether `up` writes with this group; otherwise it only reads, too. @default it does */
  writes?: (uses: Uses) => boolean;
  /** An update of something that cannot be there: below. */
  write?: { method: "put" | "patch"; path: string };
  when?: (uses: Uses) => boolean;
}

const noUuid = "00000000-0000-0000-0000-000000000000";
const noHex = "0".repeat(32);

/**
 * The groups, by the names the API and the documentation use.
 * @see https://developers.cloudflare.com/fundamentals/api/reference/permissions/
 *
 * Whether a token may *write* is asked without writing: an update with an empty body of an id that nothing has. Cloudflare
 * checks the permission before it looks for the thing, so the answer is 403 (code 10000) without the permission, and 404 or
 * 400 with it. Whichever it checks first, there is nothing that such a call could change: it names no thing that exists (so
 * none is changed), and an update makes no new one. A creation would not do: an API that has a default for every field would
 * carry it out. Nor would a deletion.
 */
const groups: Readonly<Record<PermissionGroup, Group>> = {
  Zone: { scope: "Zone", why: "the zone's name and state", read: "", writes: () => false },
  DNS: {
    scope: "Zone",
    why: "the hostname's record",
    read: "/dns_records?per_page=1",
    write: { method: "patch", path: `/dns_records/${noHex}` },
  },
  "Cloudflare Tunnel": {
    scope: "Account",
    why: "the tunnel and its ingress",
    read: "/cfd_tunnel?per_page=1",
    write: { method: "patch", path: `/cfd_tunnel/${noUuid}` },
  },
  "Access: Apps and Policies": {
    scope: "Account",
    why: "the applications in front of the hostname",
    read: "/access/apps?per_page=1",
    write: { method: "put", path: `/access/apps/${noUuid}` },
  },
  "Access: Service Tokens": {
    scope: "Account",
    why: "the servers' tokens",
    read: "/access/service_tokens?per_page=1",
    write: { method: "put", path: `/access/service_tokens/${noUuid}` },
  },
  "Access: Organizations, Identity Providers, and Groups": {
    scope: "Account",
    why: "the team's name",
    read: "/access/organizations",
    write: { method: "put", path: `/access/identity_providers/${noUuid}` },
    writes: ({ makesOneTimePin }) => makesOneTimePin === true,
  },
  Notifications: {
    scope: "Account",
    why: "mails when the tunnel is down (alerts.emails)",
    read: "/alerting/v3/policies",
    write: { method: "put", path: `/alerting/v3/policies/${noHex}` },
    when: ({ alerts }) => alerts.emails.length > 0,
  },
  "SSL and Certificates": {
    scope: "Zone",
    why: "the custom hostname (route.saasHostname)",
    read: "/custom_hostnames?per_page=1",
    write: { method: "patch", path: `/custom_hostnames/${noUuid}` },
    when: ({ route }) => route.saasHostname !== undefined,
  },
};

/** @returns what the stack needs; with `readOnly` what is enough for a preview */
export function neededPermissions(uses: Uses, readOnly: boolean): Permission[] {
  return (Object.entries(groups) as [PermissionGroup, Group][])
    .filter(([, { when }]) => when?.(uses) ?? true)
    .map(([group, { scope, why, writes }]) => ({
      group,
      level: readOnly || writes?.(uses) === false ? ("Read" as const) : ("Write" as const),
      scope,
      why,
    }));
}

/** As the API names it: `DNS Write`. */
export const permissionName = ({ group, level }: Permission): string => `${group} ${level}`;
/** As the dashboard's token page shows it: `Zone · DNS · Edit`. */
export const dashboardName = ({ group, level, scope }: Permission): string =>
  `${scope} · ${group} · ${level === "Write" ? "Edit" : "Read"}`;

/**
 * Asks for each permission, all at once.
 * @param policies what the token says of itself, when it may: what they grant is not asked about again
 * @returns a state for each of `needed`, in their order
 */
export async function permissionStates(
  access: CloudflareAccess,
  ids: { readonly accountId: string; readonly zoneId: string },
  needed: readonly Permission[],
  policies: readonly TokenPolicy[] = [],
): Promise<PermissionState[]> {
  const { apiToken, baseUrl, timeoutMs = 20_000 } = access;
  if (!apiToken) {
    const failure: LookupFailure = { kind: "no-credentials", subject: "the permissions", reason: "no API token" };
    return needed.map((permission) => ({ permission, state: "unknown", failure }));
  }
  const client = new Cloudflare({ apiToken, ...(baseUrl && { baseURL: baseUrl }), timeout: timeoutMs });
  return Promise.all(
    needed.map(async (permission): Promise<PermissionState> => {
      if (granted(permission, policies, ids)) return { permission, state: "held" };
      const answer = await probe(client, permission, ids);
      if (answer.ok) return { permission, state: "held" };
      const { kind } = answer.failure;
      // It may write, and there is nothing to write to. A reading that finds nothing says nothing of permissions.
      const gotThrough = permission.level === "Write" && (kind === "not-found" || kind === "refused");
      if (gotThrough) return { permission, state: "held" };
      const missing = kind === "permission" || kind === "no-access";
      return { permission, state: missing ? "missing" : "unknown", failure: answer.failure };
    }),
  );
}

async function probe(
  client: Cloudflare,
  permission: Permission,
  { accountId, zoneId }: { readonly accountId: string; readonly zoneId: string },
): Promise<LookupResult<unknown>> {
  const group = groups[permission.group];
  const below = group.scope === "Zone" ? `/zones/${zoneId}` : `/accounts/${accountId}`;
  const write = permission.level === "Write" ? group.write : undefined;
  try {
    if (write) return success(await client[write.method](`${below}${write.path}`, { body: {} }));
    return success(await client.get(`${below}${group.read}`));
  } catch (error) {
    const name = permissionName(permission);
    return failure(cloudflareFailure(error, `the permission ${name}`, name));
  }
}

/** Granted outright for this account or zone; everything less plain is left to the probe. */
function granted(
  permission: Permission,
  policies: readonly TokenPolicy[],
  { accountId, zoneId }: { readonly accountId: string; readonly zoneId: string },
): boolean {
  if (policies.some(({ effect }) => effect === "deny")) return false;
  const resource =
    permission.scope === "Zone"
      ? `com.cloudflare.api.account.zone.${zoneId}`
      : `com.cloudflare.api.account.${accountId}`;
  const names = [permissionName(permission), `${permission.group} Write`];
  return policies.some(
    ({ permissions, resources }) => permissions.some((name) => names.includes(name)) && resources.includes(resource),
  );
}
