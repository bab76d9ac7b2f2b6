/**
 * Checks whether the Cloudflare account is ready for this stack. The cheap part of `npm run preflight`, which `up` and `preview` do by
 * themselves: a dozen parallel lookups, and one harmless request for each write permission.
 */

import {
  type CloudflareAccess,
  type CloudflareLookups,
  cloudflareLookups,
  type Organization,
  type Zone,
} from "./cloudflare.ts";
import {
  applicationFindings,
  deletedTunnelFindings,
  type Owned,
  recordFindings,
  tunnelFindings,
} from "./collisions.ts";
import type { Finding } from "./finding.ts";
import { type PeopleConfig, signsIn } from "./identity-providers.ts";
import type { LookupFailure, LookupResult } from "./lookup-result.ts";
import { fail, ok, warn } from "./messages.ts";
import {
  dashboardName,
  neededPermissions,
  type PermissionState,
  permissionName,
  permissionStates,
  type Uses,
} from "./permissions.ts";

/** What the stack's config says of the account. */
export interface WantedStack extends Uses {
  readonly accountId: string;
  readonly zoneId: string;
  readonly hostname: string;
  /** As the program names it. */
  readonly tunnelName: string;
  readonly access?: { readonly people: People };
  readonly macs?: PeopleConfig["macs"];
}

/** Who signs in, and by what. */
export interface People {
  readonly emails: readonly string[];
  readonly emailDomains: readonly string[];
  readonly identityProviders: readonly string[];
}

/** How to look. */
export interface ReadinessOptions {
  readonly access: CloudflareAccess;
  /** Of the same access. @default a new one */
  readonly lookups?: CloudflareLookups | undefined;
  readonly owned: Owned;
  /** Ids of the state's tunnels, where they are known. */
  readonly tunnelIds?: readonly string[] | undefined;
  /** Only what a preview needs. */
  readonly readOnly: boolean;
}

/** @returns the findings, in the order of the steps of `up`; zone and organisation when they could be read */
export async function cloudflareReadiness(
  wanted: WantedStack,
  look: ReadinessOptions,
): Promise<{ findings: Finding[]; zone?: Zone; organization?: Organization }> {
  const { accountId, zoneId, hostname, tunnelName } = wanted;
  const { lookups = cloudflareLookups(look.access) } = look;
  const token = await tokenFinding(lookups, accountId, look.access);
  if (token.level === "fail") return { findings: [token] };

  const makesOneTimePin = await lacksOneTimePin(lookups, wanted);
  const needed = neededPermissions({ ...wanted, makesOneTimePin }, look.readOnly);
  const [permissions, zone, organization, records, tunnels, applications, saas] = await Promise.all([
    permissionStates(look.access, wanted, needed),
    lookups.zone(zoneId),
    lookups.zeroTrustOrganization(accountId),
    lookups.dnsRecordsOf(zoneId, hostname),
    lookups.tunnels(accountId),
    lookups.accessApplications(accountId, hostname),
    saasFindings(lookups, wanted),
  ]);
  const destinations = [hostname, `${hostname}/status`];
  const findings = [
    token,
    ...permissions.map(permissionFinding),
    ...zoneFindings(zone, wanted),
    ...organizationFindings(organization),
    ...saas,
    ...found("cloudflare.hostname", records, (value) =>
      recordFindings(hostname, value, tunnels.ok ? tunnels.value : [], look.owned),
    ),
    ...found("cloudflare.applications", applications, (value) => applicationFindings(destinations, value, look.owned)),
    ...found("cloudflare.tunnel", tunnels, (value) => [
      ...tunnelFindings(tunnelName, value, look.owned),
      ...deletedTunnelFindings(value, look.tunnelIds),
    ]),
  ];
  return {
    findings,
    ...(zone.ok && { zone: zone.value }),
    ...(organization.ok && { organization: organization.value }),
  };
}

/** @returns whether `up` would have to make the one-time PIN; false when it is unknown, which has its own finding */
async function lacksOneTimePin(lookups: CloudflareLookups, { access, macs, accountId }: WantedStack): Promise<boolean> {
  const people = access?.people ?? none;
  if (!signsIn({ people, ...(macs && { macs }) }) || !people.identityProviders.includes("onetimepin")) return false;
  const found = await lookups.identityProviders(accountId);
  return found.ok && !found.value.some(({ type }) => type === "onetimepin");
}
const none: People = { emails: [], emailDomains: [], identityProviders: [] };

/** Commands that remove them. Config keys have a colon. */
function removalOf(names: readonly string[]): string {
  const keys = names.filter((name) => name.includes(":"));
  const variables = names.filter((name) => !name.includes(":"));
  const todo = [
    ...(variables.length > 0 ? [`unset ${variables.join(" ")}`] : []),
    ...keys.map((key) => `pulumi config rm ${key}`),
  ];
  return todo.join("; ");
}

async function tokenFinding(
  lookups: CloudflareLookups,
  accountId: string,
  { apiToken, beside = [] }: CloudflareAccess,
): Promise<Finding> {
  const id = "cloudflare.token";
  if (!apiToken) return fail(id, (say) => say.token.missing());
  const token = await lookups.token(accountId);
  if (token.ok) {
    const { status, expiresOn } = token.value;
    if (status !== "active") return fail(id, (say) => say.token.inactive(status));
    return ok(id, (say) => (expiresOn ? say.token.worksUntil(expiresOn) : say.token.works));
  }
  const { failure } = token;
  if (beside.length > 0 && ["credentials", "permission", "refused"].includes(failure.kind)) {
    return fail(id, (say) => say.token.beside(failure.reason, beside, removalOf(beside)));
  }
  if (failure.kind === "credentials") return fail(id, (say) => say.token.unknown(failure.reason));
  if (failure.kind === "address") return fail(id, (say) => say.token.address(failure.reason));
  return notChecked(id, failure);
}

/** A check that could not be made; not a problem of the stack. */
export function notChecked(id: string, failure: LookupFailure): Finding {
  const { kind } = failure;
  const key = kind === "limited" || kind === "unreachable" ? kind : "other";
  return warn(id, (say) => say.notChecked[key](failure));
}

function permissionFinding({ permission, state, failure }: PermissionState): Finding {
  const name = permissionName(permission);
  const id = `cloudflare.permission.${name.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  if (state === "held") return ok(id, (say) => say.permission.held(name));
  if (state === "missing") {
    const key =
      failure?.kind !== "no-access" ? "missing" : permission.scope === "Zone" ? "missingInZone" : "missingInAccount";
    return fail(id, (say) => say.permission[key]({ ...permission, name, dashboard: dashboardName(permission) }));
  }
  if (failure?.kind === "not-enabled") {
    const key = permission.group === "SSL and Certificates" ? "beforeSaas" : "beforeZeroTrust";
    return warn(id, (say) => say.permission[key](name));
  }
  return notChecked(id, failure ?? { kind: "refused", subject: name, reason: "no answer" });
}

function zoneFindings(zone: LookupResult<Zone>, { accountId, zoneId }: WantedStack): Finding[] {
  const id = "cloudflare.zone";
  if (!zone.ok) {
    const { kind } = zone.failure;
    if (kind === "permission") return [];
    if (kind !== "no-access" && kind !== "not-found") return [notChecked(id, zone.failure)];
    return [fail(id, (say) => say.zone.unseen(zoneId))];
  }
  const { name, status, paused, account, nameServers, plan } = zone.value;
  const findings: Finding[] = [];
  if (account.id && account.id !== accountId) {
    findings.push(fail(id, (say) => say.zone.otherAccount(accountId, name, account.id, account.name)));
  }
  if (status !== "active") {
    const servers = nameServers.length > 0 ? ` (${nameServers.join(", ")})` : "";
    findings.push(fail(id, (say) => say.zone.inactive(name, status, servers)));
  }
  if (paused) findings.push(fail(id, (say) => say.zone.paused(name)));
  return findings.length > 0 ? findings : [ok(id, (say) => say.zone.active(name, plan))];
}

function organizationFindings(organization: LookupResult<{ authDomain: string }>): Finding[] {
  const id = "cloudflare.zero-trust";
  if (organization.ok) {
    const { authDomain } = organization.value;
    return [ok(id, (say) => say.zeroTrust.on(authDomain))];
  }
  if (organization.failure.kind === "not-enabled") return [fail(id, (say) => say.zeroTrust.off())];
  return found(id, organization, () => []);
}

/**
 * Mode `saas` needs Cloudflare for SaaS, which a person switches on for the zone.
 * @see https://developers.cloudflare.com/cloudflare-for-platforms/cloudflare-for-saas/quotas-and-billing/
 */
async function saasFindings(lookups: CloudflareLookups, { zoneId, route }: WantedStack): Promise<Finding[]> {
  const { saasHostname } = route;
  if (saasHostname === undefined) return [];
  const id = "cloudflare.saas";
  const quota = await lookups.customHostnameQuota(zoneId);
  if (!quota.ok && quota.failure.kind === "not-enabled") return [fail(id, (say) => say.saas.off())];
  if (!quota.ok) return found(id, quota, () => []);
  const { used, hardCap } = quota.value;
  if (used < hardCap) return [ok(id, (say) => say.saas.on(used, hardCap))];
  const own = await lookups.customHostname(zoneId, saasHostname);
  if (own.ok && own.value !== undefined) return [ok(id, (say) => say.saas.exists(saasHostname))];
  // Enterprise plans may exceed the number.
  return [warn(id, (say) => say.saas.full(used, hardCap, saasHostname))];
}

/** The permission, the zone or Zero Trust has a finding of its own, which says what to do. */
const hasOwnFinding = ({ kind }: LookupFailure): boolean => ["permission", "no-access", "not-enabled"].includes(kind);

function found<T>(id: string, answer: LookupResult<T>, judge: (value: T) => Finding[]): Finding[] {
  if (answer.ok) return judge(answer.value);
  return hasOwnFinding(answer.failure) ? [] : [notChecked(id, answer.failure)];
}
