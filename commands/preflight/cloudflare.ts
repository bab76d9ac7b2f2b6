/** What may disappoint in the Cloudflare account although `up` succeeds; the cheap checks are in accounts/cloudflare-readiness.ts. */

import {
  type BotManagement,
  type CloudflareAccess,
  cloudflareLookups,
  type ServiceToken,
} from "../../accounts/cloudflare.ts";
import type { Owned } from "../../accounts/collisions.ts";
import type { Finding } from "../../accounts/finding.ts";
import type { LookupFailure } from "../../accounts/lookup-result.ts";
import { ok, warn } from "./messages.ts";

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
    ...(bots.ok ? [botFinding(bots.value)] : [botsUnknown(bots.failure)]),
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
    return warn(id, (say) => say.session.short(ours, organization));
  }
  return ok(id, (say) => say.session.ok(ours, organization));
}

/** What stops callers that are not browsers. */
export function botFinding({ fightMode, definitelyAutomated }: BotManagement): Finding {
  const id = "cloudflare.bots";
  if (fightMode) return warn(id, (say) => say.bots.fightMode());
  if (definitelyAutomated && definitelyAutomated !== "allow") {
    return warn(id, (say) => say.bots.automated(definitelyAutomated));
  }
  return ok(id, (say) => say.bots.ok);
}

function botsUnknown(failure: LookupFailure): Finding {
  const noPermission = failure.kind === "permission";
  return warn("cloudflare.bots", (say) => (noPermission ? say.bots.noPermission() : say.bots.unknown(failure)));
}

function tokenNameFindings(
  { hostname, access, metrics }: CloudflareWanted,
  tokens: readonly ServiceToken[],
  owned: Owned,
): Finding[] {
  const id = "cloudflare.service-tokens";
  const names = [...access.servers, ...metrics.scrapers].map(({ name }) => `${hostname} ${name}`);
  const others = tokens.filter((token) => names.includes(token.name) && !owned("serviceToken", token.id));
  if (others.length === 0) return [ok(id, (say) => say.serviceTokens.ok)];
  return others.map(({ name, id: token }) => warn(id, (say) => say.serviceTokens.other(name, token)));
}

/** @param expiresOn RFC 3339 */
export function endFindings(expiresOn: string | undefined, now: number): Finding[] {
  const days = Math.floor((Date.parse(expiresOn ?? "") - now) / 86_400_000);
  if (Number.isNaN(days) || days > 30) return [];
  return [warn("cloudflare.token-end", (say) => say.tokenEnds(days, expiresOn))];
}
