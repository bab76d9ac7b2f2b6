/** What is in a Cloudflare account, by Cloudflare's own client. Reads only. */
import Cloudflare from "cloudflare";
import { z } from "zod";
import { cloudflareFailure } from "./cloudflare-failure.ts";
import type {
  AccessApplication,
  AccessPolicy,
  Account,
  BotManagement,
  CustomHostnameQuota,
  DnsRecord,
  IdentityProvider,
  NotificationPolicy,
  Organization,
  Region,
  ServiceToken,
  TokenPolicy,
  TokenState,
  Tunnel,
  Zone,
} from "./cloudflare-types.ts";
import { failure, type LookupResult, mapResult, success } from "./lookup-result.ts";

export type * from "./cloudflare-types.ts";

/** Endpoint and credentials; the same that the provider uses. */
export interface CloudflareAccess {
  /** `CLOUDFLARE_API_TOKEN`, or the stack's `cloudflare:apiToken`. Without it every question fails with `no-credentials`. */
  readonly apiToken: string | undefined;
  /** The stack's `cloudflare:baseUrl`, or `CLOUDFLARE_BASE_URL`. @default Cloudflare's own */
  readonly baseUrl?: string | undefined;
  /** Names of variables (or config keys) that the provider, and Cloudflare's client here, send beside the token. @default none */
  readonly beside?: readonly string[] | undefined;
  /** For each attempt, in ms; there are up to three on 429, 5xx and lost connections. @default 20000 */
  readonly timeoutMs?: number;
}

/** The lookups. Nothing is requested before one is called; lists are read to their last page. */
export interface CloudflareLookups {
  /** The token itself. @param accountId also asks there, since tokens that an account owns are known there only */
  token(accountId?: string): Promise<LookupResult<TokenState>>;
  /** Needs a permission that few tokens have (`API Tokens Read`); a failure `permission` is the usual answer. */
  tokenPolicies(token: TokenState, accountId?: string): Promise<LookupResult<TokenPolicy[]>>;
  accounts(): Promise<LookupResult<Account[]>>;
  zones(accountId?: string): Promise<LookupResult<Zone[]>>;
  zone(zoneId: string): Promise<LookupResult<Zone>>;
  /** undefined: the token sees no zone of this name. */
  zoneByName(name: string, accountId?: string): Promise<LookupResult<Zone | undefined>>;
  /** A failure `not-enabled`: Zero Trust is not set up in this account. */
  zeroTrustOrganization(accountId: string): Promise<LookupResult<Organization>>;
  identityProviders(accountId: string): Promise<LookupResult<IdentityProvider[]>>;
  /** All records of exactly this name, of whatever type. */
  dnsRecordsOf(zoneId: string, name: string): Promise<LookupResult<DnsRecord[]>>;
  /** Those that are not deleted. @param name only the ones of exactly this name */
  tunnels(accountId: string, name?: string): Promise<LookupResult<Tunnel[]>>;
  /** @param hostname only those with a destination on this host, with or without a path, wildcards counted */
  accessApplications(accountId: string, hostname?: string): Promise<LookupResult<AccessApplication[]>>;
  /** Reusable ones. */
  accessPolicies(accountId: string): Promise<LookupResult<AccessPolicy[]>>;
  serviceTokens(accountId: string): Promise<LookupResult<ServiceToken[]>>;
  notificationPolicies(accountId: string): Promise<LookupResult<NotificationPolicy[]>>;
  botManagement(zoneId: string): Promise<LookupResult<BotManagement>>;
  /** The regions of Regional Services; empty without that add-on. */
  regions(accountId: string): Promise<LookupResult<Region[]>>;
  /** How many connections of a tunnel Cloudflare counts. Needs `Cloudflare Tunnel Read`. */
  tunnelConnections(accountId: string, tunnelId: string): Promise<LookupResult<number>>;
  /** A custom hostname of the zone; undefined: there is none of this name. */
  customHostname(zoneId: string, hostname: string): Promise<LookupResult<{ status: string } | undefined>>;
  /** How many custom hostnames the zone may have; a failure `not-enabled`: Cloudflare for SaaS is off. */
  customHostnameQuota(zoneId: string): Promise<LookupResult<CustomHostnameQuota>>;
  /** The zone's fallback origin for custom hostnames; a failure `not-found`: none is set. */
  fallbackOrigin(zoneId: string): Promise<LookupResult<string | undefined>>;
}

const versionSchema = z.object({ client_secret_version: z.int() });

/** @returns the lookups */
export function cloudflareLookups({ apiToken, baseUrl, timeoutMs = 20_000 }: CloudflareAccess): CloudflareLookups {
  const client = apiToken
    ? new Cloudflare({ apiToken, ...(baseUrl && { baseURL: baseUrl }), timeout: timeoutMs })
    : undefined;

  /** @param permission what the call needs, as the dashboard names it */
  async function ask<T>(subject: string, permission: string | undefined, question: (client: Cloudflare) => Promise<T>) {
    if (!client) {
      return failure({
        kind: "no-credentials",
        subject,
        reason: "no API token: CLOUDFLARE_API_TOKEN is not set in the environment",
      });
    }
    try {
      return success(await question(client));
    } catch (error) {
      return failure(cloudflareFailure(error, subject, permission));
    }
  }
  /** Reads every page. */
  async function all<Item, Kept>(pages: AsyncIterable<Item>, keep: (item: Item) => Kept): Promise<Kept[]> {
    const kept: Kept[] = [];
    for await (const item of pages) kept.push(keep(item));
    return kept;
  }
  const zones = (subject: string, query: { account?: { id: string }; name?: string }): Promise<LookupResult<Zone[]>> =>
    ask(subject, "Zone Read", (client) => all(client.zones.list({ ...query, per_page: 50 }), zoneOf));

  return {
    async token(accountId) {
      const asUser = await ask("the API token", undefined, (client) => client.user.tokens.verify());
      const subject = asUser.ok || !accountId || asUser.failure.kind === "unreachable";
      const found = subject
        ? asUser
        : await ask("the API token", undefined, (client) => client.accounts.tokens.verify({ account_id: accountId }));
      const owner = found === asUser ? "user" : "account";
      // Neither knows it: the user endpoint's error is the more useful one, since most tokens are a user's.
      if (!found.ok) return asUser.ok ? found : asUser;
      const { id, status, expires_on } = found.value;
      return success({ id, status, expiresOn: expires_on, owner });
    },
    tokenPolicies: async ({ id, owner }, accountId) => {
      const subject = "what the API token may do";
      const account = owner === "account" ? accountId : undefined;
      const token = await ask(subject, "API Tokens Read", (client) =>
        account ? client.accounts.tokens.get(id, { account_id: account }) : client.user.tokens.get(id),
      );
      return mapResult(token, ({ policies }) =>
        (policies ?? []).map(({ effect, permission_groups, resources }) => ({
          effect,
          permissions: permission_groups.flatMap(({ name }) => name ?? []),
          resources: Object.entries(resources).flatMap(([resource, inner]) =>
            typeof inner === "string" ? [resource] : Object.keys(inner),
          ),
        })),
      );
    },
    accounts: () =>
      ask("the accounts", undefined, (client) =>
        all(client.accounts.list({ per_page: 50 }), ({ id, name }) => ({ id, name })),
      ),
    zones: (accountId) => zones("the zones", accountId ? { account: { id: accountId } } : {}),
    zone: (zoneId) =>
      ask(`the zone ${zoneId}`, "Zone Read", async (client) => zoneOf(await client.zones.get({ zone_id: zoneId }))),
    zoneByName: async (name, accountId) =>
      mapResult(await zones(`the zone ${name}`, { name, ...(accountId && { account: { id: accountId } }) }), (found) =>
        found.find((zone) => zone.name === name),
      ),
    zeroTrustOrganization: (accountId) =>
      ask(
        "the Zero Trust organisation",
        "Access: Organizations, Identity Providers, and Groups Read",
        async (client) => {
          const { name, auth_domain, session_duration } = await client.zeroTrust.organizations.list({
            account_id: accountId,
          });
          return { name: name ?? "", authDomain: auth_domain ?? "", sessionDuration: session_duration };
        },
      ),
    identityProviders: (accountId) =>
      ask("the identity providers", "Access: Organizations, Identity Providers, and Groups Read", (client) =>
        all(client.zeroTrust.identityProviders.list({ account_id: accountId, per_page: 100 }), (one) => ({
          id: one.id ?? "",
          name: one.name,
          type: one.type,
        })),
      ),
    dnsRecordsOf: (zoneId, name) =>
      ask(`the DNS records of ${name}`, "DNS Read", (client) =>
        all(client.dns.records.list({ zone_id: zoneId, name: { exact: name }, per_page: 100 }), (record) => ({
          id: record.id,
          name: record.name,
          type: record.type,
          content: record.content ?? "",
          proxied: record.proxied ?? false,
          comment: record.comment || undefined,
        })),
      ),
    tunnels: (accountId, name) =>
      ask("the tunnels", "Cloudflare Tunnel Read", async (client) => {
        const query = { account_id: accountId, is_deleted: false, per_page: 100, ...(name && { name }) };
        const found = await all(
          client.zeroTrust.tunnels.cloudflared.list(query),
          (tunnel): Tunnel => ({
            id: tunnel.id ?? "",
            name: tunnel.name ?? "",
            configuredBy: (tunnel.config_src ??
              (tunnel.remote_config ? "cloudflare" : "local")) as Tunnel["configuredBy"],
            status: tunnel.status ?? "unknown",
            createdAt: tunnel.created_at,
          }),
        );
        // The API's own filter takes a part of a name for the whole.
        return name ? found.filter((tunnel) => tunnel.name === name) : found;
      }),
    accessApplications: (accountId, hostname) =>
      ask("the Access applications", "Access: Apps and Policies Read", async (client) => {
        const query = { account_id: accountId, per_page: 100 };
        const found = await all(client.zeroTrust.access.applications.list(query), applicationOf);
        return hostname ? found.filter(({ destinations }) => destinations.some(covers(hostname))) : found;
      }),
    accessPolicies: (accountId) =>
      ask("the Access policies", "Access: Apps and Policies Read", (client) =>
        all(client.zeroTrust.access.policies.list({ account_id: accountId, per_page: 100 }), (policy) => ({
          id: policy.id ?? "",
          name: policy.name ?? "",
          decision: policy.decision ?? "",
        })),
      ),
    serviceTokens: (accountId) =>
      ask("the service tokens", "Access: Service Tokens Read", (client) =>
        all(client.zeroTrust.access.serviceTokens.list({ account_id: accountId, per_page: 100 }), (token) => ({
          id: token.id ?? "",
          name: token.name ?? "",
          clientId: token.client_id ?? "",
          enabled: token.enabled ?? true,
          expiresAt: token.expires_at ?? undefined,
          // In the API's answers, and not in its client's types.
          secretVersion: versionSchema.safeParse(token).data?.client_secret_version,
        })),
      ),
    notificationPolicies: (accountId) =>
      ask("the notification policies", "Notifications Read", (client) =>
        all(client.alerting.policies.list({ account_id: accountId }), ({ id, name }) => ({
          id: id ?? "",
          name: name ?? "",
        })),
      ),
    botManagement: (zoneId) =>
      ask("the zone's bot settings", "Bot Management Read", async (client) => {
        const found = await client.botManagement.get({ zone_id: zoneId });
        return {
          fightMode: "fight_mode" in found && found.fight_mode === true,
          definitelyAutomated: "sbfm_definitely_automated" in found ? found.sbfm_definitely_automated : undefined,
        };
      }),
    regions: (accountId) =>
      ask("the account's region list", undefined, async (client) => {
        const { result } = await client.addressing.regionalHostnames.regions.list({ account_id: accountId });
        return result.flatMap(({ key, label }) => (key ? [{ key, label: label ?? "" }] : []));
      }),
    tunnelConnections: (accountId, tunnelId) =>
      ask("the tunnel's connections", "Cloudflare Tunnel Read", async (client) => {
        const connectors = await all(
          client.zeroTrust.tunnels.cloudflared.connections.get(tunnelId, { account_id: accountId }),
          ({ conns }) => conns?.length ?? 0,
        );
        return connectors.reduce((sum, count) => sum + count, 0);
      }),
    customHostname: (zoneId, hostname) =>
      ask(`the custom hostname ${hostname}`, "SSL and Certificates Read", async (client) => {
        const query = { zone_id: zoneId, hostname: { exact: hostname } };
        const found = await all(client.customHostnames.list(query), (one) => one);
        const one = found.find((custom) => custom.hostname === hostname);
        return one && { status: one.status ?? "pending" };
      }),
    customHostnameQuota: (zoneId) =>
      ask("the zone's quota of custom hostnames", "SSL and Certificates Read", async (client) => {
        const { used, hard_cap } = await client.customHostnames.quota.get({ zone_id: zoneId });
        return { used, hardCap: hard_cap };
      }),
    fallbackOrigin: (zoneId) =>
      ask("the zone's fallback origin", "SSL and Certificates Read", async (client) => {
        const { origin } = await client.customHostnames.fallbackOrigin.get({ zone_id: zoneId });
        return origin;
      }),
  };
}

/** @returns the same lookups, each of which is made once for the same arguments, also by callers at the same time */
export function memoizeLookups(lookups: CloudflareLookups): CloudflareLookups {
  const results = new Map<string, unknown>();
  const memoize = (name: string, lookup: (...args: unknown[]) => unknown) =>
    [
      name,
      (...args: unknown[]) => {
        const key = JSON.stringify([name, ...args]);
        if (!results.has(key)) results.set(key, lookup(...args));
        return results.get(key);
      },
    ] as const;
  return Object.fromEntries(
    Object.entries(lookups).map(([name, lookup]) => memoize(name, lookup)),
  ) as unknown as CloudflareLookups;
}

function zoneOf(zone: Cloudflare.Zones.Zone): Zone {
  return {
    id: zone.id,
    name: zone.name,
    status: zone.status ?? "unknown",
    paused: zone.paused ?? false,
    type: zone.type ?? "full",
    plan: zone.plan?.name ?? "",
    nameServers: zone.name_servers ?? [],
    account: { id: zone.account.id ?? "", name: zone.account.name ?? "" },
  };
}

function applicationOf(app: Cloudflare.ZeroTrust.Access.ApplicationListResponse): AccessApplication {
  const destinations = "destinations" in app ? (app.destinations ?? []) : [];
  const uris = destinations.flatMap((one) => ("uri" in one && one.uri ? [one.uri] : []));
  const older = "self_hosted_domains" in app ? (app.self_hosted_domains ?? []) : [];
  const domain = "domain" in app && app.domain ? [app.domain] : [];
  return {
    id: app.id ?? "",
    name: app.name ?? "",
    type: app.type ?? "",
    destinations: [...new Set(uris.length > 0 ? uris : [...older, ...domain])],
    sessionDuration: "session_duration" in app ? app.session_duration : undefined,
  };
}

/** Does a destination (`host/path`, wildcards for whole labels or parts of one) cover the host? */
function covers(hostname: string): (destination: string) => boolean {
  return (destination) => {
    const host = destination.split("/")[0] ?? "";
    const pattern = host.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${pattern.join("[^.]+")}$`, "i").test(hostname);
  };
}
