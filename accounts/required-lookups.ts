/** Lookups whose answer the program cannot go on without: a failure becomes a problem of the config. Reads only. */
import { ConfigError } from "../config/config.ts";
import type { CloudflareLookups } from "./cloudflare.ts";
import type { LoginLookups } from "./identity-providers.ts";
import { describeFailure, type LookupFailure, type LookupResult } from "./lookup-result.ts";
import type { RouteLookups } from "./route-check.ts";

/** What a lookup is for, and the API token's permissions that it needs. */
interface Purpose {
  readonly setting: string;
  readonly permissions: string;
}
const route: Purpose = {
  setting: "slm-network:route.mode: this mode",
  permissions:
    "Zone Read, DNS Read and SSL and Certificates Read. In mode saas, Cloudflare for SaaS must be enabled for the zone (dash.cloudflare.com → the zone → SSL/TLS → Custom Hostnames)",
};
const login: Purpose = {
  setting: "slm-network:access.people: signing in",
  permissions: "Access: Organizations, Identity Providers, and Groups Read",
};

/**
 * @param lookups Cloudflare's; nothing is asked before one of the returned functions is called
 * @throws (each function) ConfigError when there is no API token, or no usable answer
 */
export function requiredLookups(
  { accountId, zoneId }: { readonly accountId: string; readonly zoneId: string },
  lookups: CloudflareLookups,
): RouteLookups & LoginLookups {
  return {
    regions: async () => {
      const result = await lookups.regions(accountId);
      if (!result.ok && isRefusal(result.failure)) return { refused: describeFailure(result.failure) };
      return required(result, route);
    },
    zonesAmong: async (names) => {
      const found = await Promise.all(names.map((name) => lookups.zoneByName(name, accountId)));
      return found.flatMap((result) => required(result, route)?.name ?? []);
    },
    customHostnameStatus: async (hostname) => {
      const result = await lookups.customHostname(zoneId, hostname);
      return isOff(result) ? undefined : required(result, route)?.status;
    },
    fallbackOrigin: async () => {
      const result = await lookups.fallbackOrigin(zoneId);
      if (!result.ok && result.failure.kind === "not-found") return undefined; // none is set
      if (isOff(result)) return undefined;
      return required(result, route);
    },
    identityProviders: async () => required(await lookups.identityProviders(accountId), login),
  };
}

/** Cloudflare for SaaS is off; the check of the account says so, and how to switch it on (`cloudflare-readiness.ts`). */
const isOff = (result: LookupResult<unknown>): boolean => !result.ok && result.failure.kind === "not-enabled";

const isRefusal = ({ status }: LookupFailure): boolean =>
  status !== undefined && status >= 400 && status < 500 && status !== 429;

function required<T>(result: LookupResult<T>, { setting, permissions }: Purpose): T {
  if (result.ok) return result.value;
  const { failure } = result;
  throw new ConfigError([
    failure.kind === "no-credentials"
      ? `${setting} depends on what is in the Cloudflare account, and there is no API token to look: set CLOUDFLARE_API_TOKEN in the environment, as for \`pulumi up\``
      : `${setting} depends on what is in the Cloudflare account, which could not be read (${describeFailure(failure)}). Try again; the API token needs ${permissions}`,
  ]);
}
