/** What of the Cloudflare account will disappoint though `up` succeeds; beside the cheap part (`cloudflare-ready.ts`). */

import {
  type BotManagement,
  type CloudflareAccess,
  cloudflareLookups,
  type ServiceToken,
} from "../../accounts/cloudflare.ts";
import type { Owned } from "../../accounts/collisions.ts";
import { type Finding, ok, warn } from "../../accounts/finding.ts";
import { describeFailure } from "../../accounts/lookup-result.ts";

/** What the stack's config says. */
export interface CloudflareWanted {
  readonly accountId: string;
  readonly zoneId: string;
  readonly hostname: string;
  readonly access: {
    readonly servers: readonly { readonly name: string }[];
    readonly people: { readonly sessionDuration: string };
  };
}

/** Asks for it. Only for an account whose cheap part had no fault with the token: it says nothing of permissions again. */
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

/** What stops callers who are no browsers. */
export function botFinding({ fightMode, definitelyAutomated }: BotManagement): Finding {
  const id = "cloudflare.bots";
  const where = "dash.cloudflare.com → the zone → Security → Settings → Bot traffic";
  if (fightMode) {
    return warn(
      id,
      "Bot Fight Mode is on in the zone: it answers servers with a challenge that they cannot solve, whatever token they send",
      `Switch it off (${where}): it cannot be switched off for one hostname`,
    );
  }
  if (definitelyAutomated && definitelyAutomated !== "allow") {
    return warn(
      id,
      `Super Bot Fight Mode is set to ${definitelyAutomated} what is surely automated, which servers are`,
      `Set "Definitely automated" to Allow (${where}), or add a WAF rule that skips it for the hostname`,
    );
  }
  return ok(id, "no Bot Fight Mode in the way of servers");
}

function botsUnknown(isPermission: boolean, said: string): Finding {
  return warn(
    "cloudflare.bots",
    isPermission
      ? "whether Bot Fight Mode is on is not known: the token may not read it"
      : `whether Bot Fight Mode is on is not known: ${said}`,
    "See that it is off: dash.cloudflare.com → the zone → Security → Settings → Bot traffic (or give the token Zone · Bot Management · Read)",
  );
}

function tokenNameFindings(
  { hostname, access }: CloudflareWanted,
  tokens: readonly ServiceToken[],
  owned: Owned,
): Finding[] {
  const id = "cloudflare.service-tokens";
  const names = access.servers.map(({ name }) => `${hostname} ${name}`);
  const others = tokens.filter((token) => names.includes(token.name) && !owned("serviceToken", token.id));
  if (others.length === 0) return [ok(id, "no service token of the same name that somebody else made")];
  return others.map(({ name, id: token }) =>
    warn(
      id,
      `there is a service token ${JSON.stringify(name)} (${token}) that this stack did not make; \`up\` makes another of that name`,
      "Delete it when nobody uses it; `npm run init -- --adopt` says what taking it over would mean (its secret cannot be read)",
    ),
  );
}

/** @param expiresOn RFC 3339 */
export function endFindings(expiresOn: string | undefined, now: number): Finding[] {
  const days = Math.floor((Date.parse(expiresOn ?? "") - now) / 86_400_000);
  if (Number.isNaN(days) || days > 30) return [];
  const says = `the Cloudflare API token ends in ${days} days, at ${expiresOn}; no \`up\` works after that`;
  return [
    warn("cloudflare.token-end", says, "Roll it (dash.cloudflare.com → My Profile → API Tokens) and tell who deploys"),
  ];
}
