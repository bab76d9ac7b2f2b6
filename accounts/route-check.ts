/** Checks of the route against the account, made before anything is declared. */
import { zonesAbove } from "../config/host-name.ts";
import type { RouteConfig } from "../config/route.ts";
import type { Region } from "./cloudflare-types.ts";

/** Lookups in the account, each made only in the mode that needs it. */
export interface RouteLookups {
  /** The account's list; `refused` says why it could not be read. */
  regions(): Promise<readonly Region[] | { readonly refused: string }>;
  /** Which of these names are zones of the account, as far as the API token can see. */
  zonesAmong(names: readonly string[]): Promise<readonly string[]>;
  /** The state of a custom hostname of the zone, e.g. `active`, `pending`; undefined: it does not exist. */
  customHostnameStatus(hostname: string): Promise<string | undefined>;
  /** The zone's fallback origin, when it has one. */
  fallbackOrigin(): Promise<string | undefined>;
}

/**
 * @returns why the hostname does not fit the zone, or undefined when it does.
 * Universal SSL covers the zone and one label under it: https://developers.cloudflare.com/ssl/edge-certificates/universal-ssl/limitations/
 */
export function hostnameProblem(hostname: string, zoneName: string): string | undefined {
  if (!hostname.endsWith(`.${zoneName}`)) {
    return `slm-network:hostname: ${JSON.stringify(hostname)} is not under the zone ${zoneName} (slm-network:zoneId): use e.g. slm.${zoneName}, or the id of the zone it belongs to`;
  }
  if (hostname.slice(0, -zoneName.length - 1).includes(".")) {
    return `slm-network:hostname: ${JSON.stringify(hostname)} has more than one label under ${zoneName}, and Cloudflare's Universal SSL certificate covers one: use e.g. ${hostname.slice(0, -zoneName.length - 1).replaceAll(".", "-")}.${zoneName}`;
  }
  return undefined;
}

/** @returns why the account cannot have the region, or undefined when it can */
export function regionProblem(regionKey: string, regions: readonly Region[] | { readonly refused: string }) {
  const at = `slm-network:route.regionKey: ${JSON.stringify(regionKey)}`;
  const instead =
    "Use mode: proxied and measure where callers enter (`npm run probe`), or mode: saas (docs/routes.md says what each can do)";
  if ("refused" in regions) {
    return `${at} cannot be checked, since the account's region list could not be read (${regions.refused}). The API token must be allowed to read it, and Regional Services is an Enterprise add-on. ${instead}`;
  }
  if (regions.some(({ key }) => key === regionKey)) return undefined;
  if (regions.length === 0) {
    return `${at} is not available: the account's region list is empty, so Regional Services (an Enterprise add-on) is not part of its plan. ${instead}`;
  }
  const keys = regions.map(({ key, label }) => `${key} (${label})`).join(", ");
  return `${at} is not in the account's region list, which has ${keys}: take one of these keys`;
}

/** @returns why the name cannot be a custom hostname of this zone; `ownZones` are those of the names above it that are in the account */
export function saasProblems(args: {
  saasHostname: string;
  hostname: string;
  zoneName: string;
  ownZones: readonly string[];
  fallbackOrigin: string | undefined;
}): string[] {
  const { saasHostname, hostname, zoneName, ownZones, fallbackOrigin } = args;
  const own = [zoneName, ...ownZones].find((zone) => saasHostname === zone || saasHostname.endsWith(`.${zone}`));
  const problems: string[] = [];
  if (own !== undefined) {
    problems.push(
      `slm-network:route.saasHostname: ${JSON.stringify(saasHostname)} belongs to ${own}, a zone of this same account. ` +
        "Cloudflare then serves it by that zone, and Access does not stand before it as a custom hostname. Use a name of a domain " +
        `outside this account (its DNS may be anywhere), or mode: proxied with a hostname under ${own} and that zone's zoneId`,
    );
  }
  if (fallbackOrigin !== undefined && fallbackOrigin !== hostname) {
    problems.push(
      `slm-network:route.mode: the zone ${zoneName} has the fallback origin ${fallbackOrigin} already, and a zone has one: to ` +
        `declare ${hostname} in its place would take its custom hostnames from it. Use another zone (slm-network:zoneId), or remove that one first`,
    );
  }
  return problems;
}

/**
 * Looks up what the mode depends on; nothing in mode `proxied`.
 * @returns every problem, with the value, why and what can be done instead
 */
export async function routeProblems(
  config: { hostname: string; route: RouteConfig },
  zoneName: string,
  account: RouteLookups,
): Promise<string[]> {
  const { hostname, route } = config;
  const problems = [hostnameProblem(hostname, zoneName)];
  if (route.mode === "regional" && route.regionKey !== undefined) {
    problems.push(regionProblem(route.regionKey, await account.regions()));
  }
  if (route.mode === "saas" && route.saasHostname !== undefined) {
    const { saasHostname } = route;
    const [ownZones, fallbackOrigin] = await Promise.all([
      account.zonesAmong(zonesAbove(saasHostname)),
      account.fallbackOrigin(),
    ]);
    problems.push(...saasProblems({ saasHostname, hostname, zoneName, ownZones, fallbackOrigin }));
  }
  return problems.filter((problem) => problem !== undefined);
}
