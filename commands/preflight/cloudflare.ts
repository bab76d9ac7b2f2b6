/** What may disappoint in the Cloudflare account although `up` succeeds; the cheap checks are in accounts/cloudflare-readiness.ts. */

import {
  type BotManagement,
  type CloudflareAccess,
  cloudflareLookups,
  type ServiceToken,
} from "../../accounts/cloudflare.ts";
import type { Owned } from "../../accounts/collisions.ts";
import { type Finding, ok, warn } from "../../accounts/finding.ts";
import { describeFailure } from "../../accounts/lookup-result.ts";

/** The part of the stack's config that is checked. */
export interface CloudflareWanted {
  readonly accountId: string;
  readonly zoneId: string;
  readonly hostname: string;
  readonly access: {
    readonly servers: readonly { readonly name: string }[];
    readonly people: { readonly sessionDuration: string };
  };
  readonly metrics: { readonly scrapers: readonly { readonly name: string }[] };
}

/** For an account whose token passed the cheap checks: reports no permission a second time. */
export async function cloudflareMore(
  wanted: CloudflareWanted,
  access: CloudflareAccess,
  owned: Owned,
): Promise<Finding[]> {
  const lookups = cloudflareLookups(access);
  const [organization, bots, tokens, token] = await Promise.all([
    lookups.zeroTrustOrganization(wanted.accountId),
    lookups.botManagement(wanted.zoneId),
    lookups.serviceTokens(wanted.accountId),
    lookups.token(wanted.accountId),
  ]);
  return [
    ...(organization.ok
      ? [sessionFinding(wanted.access.people.sessionDuration, organization.value.sessionDuration)]
      : []),
    ...(bots.ok
      ? [botFinding(bots.value)]
      : [botsUnknown(bots.failure.kind === "permission", describeFailure(bots.failure))]),
    ...(tokens.ok ? tokenNameFindings(wanted, tokens.value, owned) : []),
    ...(token.ok ? endFindings(token.value.expiresOn, Date.now()) : []),
  ];
}

const units: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1 };
/** Seconds of a duration as Access writes it: `24h`, `1h30m`. */
export const secondsOf = (duration: string): number =>
  [...duration.matchAll(/(\d+(?:\.\d+)?)([hms])/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * (units[unit ?? ""] ?? 0),
    0,
  );

/** People sign in again when the organisation's session ends, however long the application's is. */
export function sessionFinding(ours: string, organization: string | undefined): Finding {
  const id = "cloudflare.session";
  if (organization && secondsOf(ours) > secondsOf(organization)) {
    return warn(
      id,
      `access.people.sessionDuration is ${ours}, but the organisation's own session ends after ${organization}: people sign in again then`,
      `Set it to ${organization} or less; or raise the organisation's (one.dash.cloudflare.com → Settings → Authentication → Global session timeout)`,
    );
  }
  return ok(id, `people's session of ${ours} fits the organisation's (${organization ?? "not limited"})`);
}

/** What stops callers that are not browsers. */
export function botFinding({ fightMode, definitelyAutomated }: BotManagement): Finding {
  const id = "cloudflare.bots";
  const where = "dash.cloudflare.com → the zone → Security → Settings → Bot traffic";
  if (fightMode) {
    return warn(
      id,
      "Bot Fight Mode is on in the zone: it answers servers with a challenge that they cannot solve, with or without a token",
      `Turn it off (${where}): it cannot be turned off for one hostname`,
    );
  }
  if (definitelyAutomated && definitelyAutomated !== "allow") {
    return warn(
      id,
      `Super Bot Fight Mode is set to ${definitelyAutomated} "definitely automated" traffic, which includes servers`,
      `Set "Definitely automated" to Allow (${where}), or add a WAF rule that skips it for the hostname`,
    );
  }
  return ok(id, "Bot Fight Mode does not block servers");
}

function botsUnknown(isPermission: boolean, said: string): Finding {
  return warn(
    "cloudflare.bots",
    isPermission
      ? "whether Bot Fight Mode is on is unknown: the token may not read it"
      : `whether Bot Fight Mode is on is unknown: ${said}`,
    "Make sure that it is off: dash.cloudflare.com → the zone → Security → Settings → Bot traffic (or give the token Zone · Bot Management · Read)",
  );
}

function tokenNameFindings(
  { hostname, access, metrics }: CloudflareWanted,
  tokens: readonly ServiceToken[],
  owned: Owned,
): Finding[] {
  const id = "cloudflare.service-tokens";
  const names = [...access.servers, ...metrics.scrapers].map(({ name }) => `${hostname} ${name}`);
  const others = tokens.filter((token) => names.includes(token.name) && !owned("serviceToken", token.id));
  if (others.length === 0) return [ok(id, "no service token outside this stack has the same name")];
  return others.map(({ name, id: token }) =>
    warn(
      id,
      `there is a service token ${JSON.stringify(name)} (${token}) that does not belong to this stack; \`up\` creates another with that name`,
      "Delete it when nobody uses it; `npm run init -- --adopt` says what adopting it means (its secret cannot be read)",
    ),
  );
}

/** @param expiresOn RFC 3339 */
export function endFindings(expiresOn: string | undefined, now: number): Finding[] {
  const days = Math.floor((Date.parse(expiresOn ?? "") - now) / 86_400_000);
  if (Number.isNaN(days) || days > 30) return [];
  const says = `the Cloudflare API token expires in ${days} days, at ${expiresOn}; after that no \`up\` works`;
  return [
    warn(
      "cloudflare.token-end",
      says,
      "Roll it (dash.cloudflare.com → My Profile → API Tokens) and give the new value to everyone who deploys",
    ),
  ];
}
