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
import { type Finding, fail, ok, warn } from "./finding.ts";
import { type PeopleConfig, signsIn } from "./identity-providers.ts";
import type { LookupFailure, LookupResult } from "./lookup-result.ts";
import { describeFailure } from "./lookup-result.ts";
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

const tokensPage =
  "dash.cloudflare.com → My Profile → API Tokens (a token of the account's: Manage Account → API Tokens) → Edit";

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

/** Config keys have a colon. */
function removalAdvice(names: readonly string[]): string {
  const keys = names.filter((name) => name.includes(":"));
  const variables = names.filter((name) => !name.includes(":"));
  const todo = [
    ...(variables.length > 0 ? [`unset ${variables.join(" ")}`] : []),
    ...keys.map((key) => `pulumi config rm ${key}`),
  ];
  return `The API token is enough: ${todo.join("; ")}`;
}

async function tokenFinding(
  lookups: CloudflareLookups,
  accountId: string,
  { apiToken, beside = [] }: CloudflareAccess,
): Promise<Finding> {
  const id = "cloudflare.token";
  if (!apiToken) {
    return fail(
      id,
      "no Cloudflare API token is set",
      "Make one (dash.cloudflare.com → My Profile → API Tokens) and put it into the environment: export CLOUDFLARE_API_TOKEN=…",
    );
  }
  const token = await lookups.token(accountId);
  if (token.ok) {
    const { status, expiresOn } = token.value;
    if (status !== "active") return fail(id, `the Cloudflare API token is ${status}`, `Make a new one: ${tokensPage}`);
    return ok(id, `the Cloudflare API token works${expiresOn ? `, until ${expiresOn}` : ""}`);
  }
  const { failure } = token;
  if (beside.length > 0 && ["credentials", "permission", "refused"].includes(failure.kind)) {
    return fail(
      id,
      `Cloudflare refuses the credentials (${failure.reason}). ${beside.join(" and ")} go out beside the API token, from the provider, too`,
      removalAdvice(beside),
    );
  }
  if (failure.kind === "credentials") {
    return fail(
      id,
      `Cloudflare does not know the API token (${failure.reason})`,
      "Copy it again, without spaces and line ends: CLOUDFLARE_API_TOKEN holds the token's value, not its name or id, and no Global API Key",
    );
  }
  if (failure.kind === "address") {
    return fail(
      id,
      `the API token may not be used from here (${failure.reason})`,
      `Add this address under Client IP Address Filtering: ${tokensPage}`,
    );
  }
  return notChecked(id, failure);
}

/** A check that could not be made; not a problem of the stack. */
export function notChecked(id: string, failure: LookupFailure): Finding {
  const later = "Try again; https://www.cloudflarestatus.com says whether it is them";
  const todo =
    failure.kind === "limited"
      ? "Wait five minutes: Cloudflare takes 1200 calls in that time"
      : failure.kind === "unreachable"
        ? later
        : "See what it says; `up` may fail with the same words";
  return warn(id, `could not be checked: ${describeFailure(failure)}`, todo);
}

function permissionFinding({ permission, state, failure }: PermissionState): Finding {
  const name = permissionName(permission);
  const id = `cloudflare.permission.${name.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  if (state === "held") return ok(id, `the API token has ${name}`);
  if (state === "missing") {
    const elsewhere =
      failure?.kind === "no-access"
        ? `, and it covers the right ${permission.scope === "Zone" ? "zone (Zone Resources)" : "account (Account Resources)"}`
        : "";
    return fail(
      id,
      `the API token lacks ${name}, needed for ${permission.why}`,
      `Add ${dashboardName(permission)}${elsewhere}: ${tokensPage}`,
    );
  }
  if (failure?.kind === "not-enabled") {
    const product =
      permission.group === "SSL and Certificates" ? "Cloudflare for SaaS is switched on" : "Zero Trust is set up";
    return warn(id, `${name}: not known before ${product}`, "Run this again after that");
  }
  return notChecked(id, failure ?? { kind: "refused", subject: name, reason: "no answer" });
}

function zoneFindings(zone: LookupResult<Zone>, { accountId, zoneId }: WantedStack): Finding[] {
  const id = "cloudflare.zone";
  if (!zone.ok) {
    const { kind } = zone.failure;
    if (kind === "permission") return [];
    if (kind !== "no-access" && kind !== "not-found") return [notChecked(id, zone.failure)];
    return [
      fail(
        id,
        `slm-network:zoneId: the API token sees no zone ${zoneId}`,
        `Compare the id (dash.cloudflare.com → the zone → Overview → API), and see that the token covers the zone: ${tokensPage} → Zone Resources`,
      ),
    ];
  }
  const { name, status, paused, account, nameServers, plan } = zone.value;
  const findings: Finding[] = [];
  if (account.id && account.id !== accountId) {
    const says = `slm-network:accountId: ${JSON.stringify(accountId)} is not the account of the zone ${name}, which is ${JSON.stringify(account.id)} (${account.name})`;
    findings.push(fail(id, says, "Set accountId to that one: a tunnel answers only for zones of its own account"));
  }
  if (status !== "active") {
    const servers = nameServers.length > 0 ? ` (${nameServers.join(", ")})` : "";
    const todo = `Name Cloudflare's name servers${servers} at the registrar of ${name}, and wait until dash.cloudflare.com shows it Active (minutes to a day)`;
    findings.push(fail(id, `the zone ${name} is ${status}, so Cloudflare does not answer for it yet`, todo));
  }
  if (paused) {
    const says = `the zone ${name} is paused: its names then bypass Cloudflare, and a tunnel can only be reached through it`;
    findings.push(
      fail(id, says, "dash.cloudflare.com → the zone → Overview → Advanced Actions → Enable Cloudflare on Site"),
    );
  }
  return findings.length > 0 ? findings : [ok(id, `the zone ${name} is active (${plan || "plan not known"})`)];
}

function organizationFindings(organization: LookupResult<{ authDomain: string }>): Finding[] {
  const id = "cloudflare.zero-trust";
  if (organization.ok) return [ok(id, `Zero Trust is set up: ${organization.value.authDomain}`)];
  if (organization.failure.kind === "not-enabled") {
    return [
      fail(
        id,
        "Zero Trust is not set up in this account, so Access refuses every call",
        "Open https://one.dash.cloudflare.com once: choose the account, a team name, the Free plan (it asks for a way to pay and charges nothing for up to 50 people)",
      ),
    ];
  }
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
  const where = "dash.cloudflare.com → the zone → SSL/TLS → Custom Hostnames";
  const quota = await lookups.customHostnameQuota(zoneId);
  if (!quota.ok && quota.failure.kind === "not-enabled") {
    const says =
      "slm-network:route.mode: saas needs Cloudflare for SaaS, which is not switched on for the zone: Cloudflare refuses custom hostnames";
    const todo = `${where} → Enable Cloudflare for SaaS (it asks for a way to pay; 100 names are included)`;
    return [fail(id, says, todo)];
  }
  if (!quota.ok) return found(id, quota, () => []);
  const { used, hardCap } = quota.value;
  if (used < hardCap) return [ok(id, `Cloudflare for SaaS is on: ${used} of at most ${hardCap} custom hostnames`)];
  const own = await lookups.customHostname(zoneId, saasHostname);
  if (own.ok && own.value !== undefined) return [ok(id, `the custom hostname ${saasHostname} exists`)];
  // Enterprise plans may exceed the number.
  return [
    warn(
      id,
      `the zone has ${used} custom hostnames, and plans below Enterprise take at most ${hardCap}: ${saasHostname} may be refused`,
      `Remove those that are not used (${where}), or take another zone`,
    ),
  ];
}

/** The permission, the zone or Zero Trust has a finding of its own, which says what to do. */
const hasOwnFinding = ({ kind }: LookupFailure): boolean => ["permission", "no-access", "not-enabled"].includes(kind);

function found<T>(id: string, answer: LookupResult<T>, judge: (value: T) => Finding[]): Finding[] {
  if (answer.ok) return judge(answer.value);
  return hasOwnFinding(answer.failure) ? [] : [notChecked(id, answer.failure)];
}
