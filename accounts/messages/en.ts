/** What the checks of the accounts say, in English. `ko.ts` has the same keys: a message without a translation does not compile. */
import type { DnsRecord } from "../cloudflare.ts";
import type { Said } from "../finding.ts";
import { describeFailure, type LookupFailure } from "../lookup-result.ts";
import type { Permission } from "../permissions.ts";

const tokensPage =
  "dash.cloudflare.com → My Profile → API Tokens (a token of the account's: Manage Account → API Tokens) → Edit";
const customHostnames = "dash.cloudflare.com → the zone → SSL/TLS → Custom Hostnames";
const tunnelsPage = "one.dash.cloudflare.com → Networks → Tunnels";
/** What to do about anything that somebody made by hand. */
const adoptAdvice =
  "`npm run init -- --adopt` says what can be taken over as it is, and how; after an `up` that was killed it may be its own (`npm run recover`)";
const unchecked = (failure: LookupFailure): string => `could not be checked: ${describeFailure(failure)}`;

/** A permission, and how the API and the dashboard name it. */
export interface NamedPermission extends Permission {
  readonly name: string;
  readonly dashboard: string;
}
/** Where credentials are taken from. */
export type Where = "the stack's config" | "the environment";

const lacking = ({ name, why }: NamedPermission): string => `the API token lacks ${name}, needed for ${why}`;

export const en = {
  notChecked: {
    limited: (failure: LookupFailure): Said => [
      unchecked(failure),
      "Wait five minutes: Cloudflare takes 1200 calls in that time",
    ],
    unreachable: (failure: LookupFailure): Said => [
      unchecked(failure),
      "Try again; https://www.cloudflarestatus.com says whether it is them",
    ],
    other: (failure: LookupFailure): Said => [
      unchecked(failure),
      "See what it says; `up` may fail with the same words",
    ],
  },
  token: {
    missing: (): Said => [
      "no Cloudflare API token is set",
      "Make one (dash.cloudflare.com → My Profile → API Tokens) and put it into the environment: export CLOUDFLARE_API_TOKEN=…",
    ],
    inactive: (status: string): Said => [`the Cloudflare API token is ${status}`, `Make a new one: ${tokensPage}`],
    works: "the Cloudflare API token works",
    worksUntil: (end: string) => `the Cloudflare API token works, until ${end}`,
    /** @param fix commands that remove them */
    beside: (reason: string, names: readonly string[], fix: string): Said => [
      `Cloudflare refuses the credentials (${reason}). ${names.join(" and ")} go out beside the API token, from the provider, too`,
      `The API token is enough: ${fix}`,
    ],
    unknown: (reason: string): Said => [
      `Cloudflare does not know the API token (${reason})`,
      "Copy it again, without spaces and line ends: CLOUDFLARE_API_TOKEN holds the token's value, not its name or id, and no Global API Key",
    ],
    address: (reason: string): Said => [
      `the API token may not be used from here (${reason})`,
      `Add this address under Client IP Address Filtering: ${tokensPage}`,
    ],
  },
  permission: {
    held: (name: string) => `the API token has ${name}`,
    missing: (permission: NamedPermission): Said => [lacking(permission), `Add ${permission.dashboard}: ${tokensPage}`],
    missingInZone: (permission: NamedPermission): Said => [
      lacking(permission),
      `Add ${permission.dashboard}, and it covers the right zone (Zone Resources): ${tokensPage}`,
    ],
    missingInAccount: (permission: NamedPermission): Said => [
      lacking(permission),
      `Add ${permission.dashboard}, and it covers the right account (Account Resources): ${tokensPage}`,
    ],
    beforeSaas: (name: string): Said => [
      `${name}: not known before Cloudflare for SaaS is switched on`,
      "Run this again after that",
    ],
    beforeZeroTrust: (name: string): Said => [
      `${name}: not known before Zero Trust is set up`,
      "Run this again after that",
    ],
  },
  zone: {
    unseen: (zoneId: string): Said => [
      `slm-network:zoneId: the API token sees no zone ${zoneId}`,
      `Compare the id (dash.cloudflare.com → the zone → Overview → API), and see that the token covers the zone: ${tokensPage} → Zone Resources`,
    ],
    otherAccount: (accountId: string, zone: string, id: string, name: string): Said => [
      `slm-network:accountId: ${JSON.stringify(accountId)} is not the account of the zone ${zone}, which is ${JSON.stringify(id)} (${name})`,
      "Set accountId to that one: a tunnel answers only for zones of its own account",
    ],
    /** @param servers the zone's name servers, in parentheses; empty when unknown */
    inactive: (zone: string, status: string, servers: string): Said => [
      `the zone ${zone} is ${status}, so Cloudflare does not answer for it yet`,
      `Name Cloudflare's name servers${servers} at the registrar of ${zone}, and wait until dash.cloudflare.com shows it Active (minutes to a day)`,
    ],
    paused: (zone: string): Said => [
      `the zone ${zone} is paused: its names then bypass Cloudflare, and a tunnel can only be reached through it`,
      "dash.cloudflare.com → the zone → Overview → Advanced Actions → Enable Cloudflare on Site",
    ],
    active: (zone: string, plan: string) => `the zone ${zone} is active (${plan || "plan not known"})`,
  },
  zeroTrust: {
    on: (authDomain: string) => `Zero Trust is set up: ${authDomain}`,
    off: (): Said => [
      "Zero Trust is not set up in this account, so Access refuses every call",
      "Open https://one.dash.cloudflare.com once: choose the account, a team name, the Free plan (it asks for a way to pay and charges nothing for up to 50 people)",
    ],
  },
  saas: {
    off: (): Said => [
      "slm-network:route.mode: saas needs Cloudflare for SaaS, which is not switched on for the zone: Cloudflare refuses custom hostnames",
      `${customHostnames} → Enable Cloudflare for SaaS (it asks for a way to pay; 100 names are included)`,
    ],
    on: (used: number, hardCap: number) => `Cloudflare for SaaS is on: ${used} of at most ${hardCap} custom hostnames`,
    exists: (hostname: string) => `the custom hostname ${hostname} exists`,
    full: (used: number, hardCap: number, hostname: string): Said => [
      `the zone has ${used} custom hostnames, and plans below Enterprise take at most ${hardCap}: ${hostname} may be refused`,
      `Remove those that are not used (${customHostnames}), or take another zone`,
    ],
  },
  hostname: {
    ours: (hostname: string) => `${hostname}: its record is this stack's`,
    free: (hostname: string) => `${hostname} is free`,
    /** @param tunnel name or id of the tunnel that the record leads to */
    taken: (hostname: string, record: DnsRecord, tunnel: string | undefined): Said => {
      const comment = record.comment ? `, comment ${JSON.stringify(record.comment)}` : "";
      const proxied = record.proxied ? "proxied" : "DNS only";
      const leads = tunnel === undefined ? record.content : `the tunnel ${tunnel}`;
      return [
        `slm-network:hostname: ${JSON.stringify(hostname)} is taken: a ${record.type} record (${proxied}${comment}) leads it to ${leads}, and this stack did not make it`,
        `Take another name (one label under the zone), or see who uses this one and delete the record (dash.cloudflare.com → the zone → DNS); ${adoptAdvice}`,
      ];
    },
  },
  applications: {
    none: "no Access application of somebody else's on the hostname",
    same: (destination: string, app: string, destinations: string): Said => [
      `${destination} belongs to the Access application ${JSON.stringify(app)} (${destinations}), which this stack did not make`,
      `Delete it (one.dash.cloudflare.com → Access → Applications) when nobody needs it; ${adoptAdvice}`,
    ],
    below: (destination: string, app: string, destinations: string): Said => [
      `${destination} belongs to the Access application ${JSON.stringify(app)} (${destinations}), so calls to that path are checked by its policies, not by this stack's`,
      "Delete it if that is not meant",
    ],
  },
  tunnel: {
    free: (name: string) => `the tunnel's name ${name} is free, or this stack's`,
    deleted: (tunnelId: string): Said => [
      `the stack's tunnel ${tunnelId} was deleted in the dashboard: callers get 530, and neither \`pulumi refresh\` nor \`up\` notices`,
      "`pulumi state delete --target-dependents <URN of the tunnel>` (`pulumi stack --show-urns`), then `npm run init -- --adopt` for what is left of it in the account, then `npm run up`",
    ],
    taken: (name: string, tunnelId: string, status: string): Said => [
      `there is a tunnel ${JSON.stringify(name)} (${tunnelId}, ${status}) that this stack did not make`,
      `Rename or delete it (${tunnelsPage}); ${adoptAdvice}`,
    ],
    takenLocally: (name: string, tunnelId: string, status: string): Said => [
      `there is a tunnel ${JSON.stringify(name)} (${tunnelId}, ${status}) that this stack did not make`,
      `Delete it once its connector is stopped (${tunnelsPage}): it is configured by a file beside its connector, which cannot be taken over`,
    ],
  },
  atlasKey: {
    noSecret: (where: Where): Said => halfOfAccount(where, "id", "secret"),
    noId: (where: Where): Said => halfOfAccount(where, "secret", "id"),
    noPrivate: (where: Where): Said => halfOfKey(where, "public", "private"),
    noPublic: (where: Where): Said => halfOfKey(where, "private", "public"),
    ignoredBaseUrl: (configured: string, used: string): Said => [
      `mongodbatlas:baseUrl (${configured}) is ignored: the credentials are in the environment, so the provider takes the base URL from there, too, and asks ${used}`,
      `export MONGODB_ATLAS_BASE_URL=${configured}, or remove it from the config`,
    ],
    /** @param setting what makes the provider do so */
    secretsManager: (setting: string): Said => [
      `Atlas could not be checked: the provider takes its credentials from AWS Secrets Manager, since ${setting} is set, which this check cannot`,
      "For the check, set MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY alone; or go on without it",
    ],
  },
  shell: {
    headers: (name: string): Said => [
      `${name} is set in this shell: it is sent with every call to Cloudflare`,
      unset(name),
    ],
    government: (name: string): Said => [
      `${name} is set in this shell: it sends every call to Atlas for Government`,
      unset(name),
    ],
    opsManager: (name: string): Said => [
      `${name} is set in this shell: it is the base URL of Atlas, when MONGODB_ATLAS_BASE_URL is not set`,
      unset(name),
    ],
    hiddenToken: (): Said => [
      "CLOUDFLARE_API_TOKEN is set in this shell and ignored: cloudflare:apiToken of the stack's config comes first",
      unset("CLOUDFLARE_API_TOKEN"),
    ],
    precedence: (used: string, others: readonly string[]): Said => [
      `${used} comes before ${others.join(" and ")}, which has another value: Atlas is asked with the first`,
      unset(used),
    ],
  },
};

function halfOfAccount(where: Where, half: string, other: string): Said {
  return [
    `${where} has the client ${half} of an Atlas service account and not the client ${other}; the provider takes both from one place`,
    "export MONGODB_ATLAS_CLIENT_ID=… MONGODB_ATLAS_CLIENT_SECRET=…, or both by `pulumi config set --secret`; or remove the one that is set, to sign in with an API key",
  ];
}

function halfOfKey(where: Where, half: string, other: string): Said {
  return [
    `${where} has the ${half} half of the Atlas API key and not the ${other} one; the provider takes both from one place`,
    `export MONGODB_ATLAS_PUBLIC_KEY=… MONGODB_ATLAS_PRIVATE_KEY=…, and take mongodbatlas:${half}Key out of the config; or both by \`pulumi config set --secret\``,
  ];
}

function unset(name: string): string {
  return `unset ${name}, unless that is meant`;
}

/** The messages of the checks of the accounts, in any language. */
export type Messages = typeof en;
