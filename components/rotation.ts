/** When a server's secret must not be rotated, and when its token's own life is spoken of: decisions only. */
import type { DeployedResource } from "./deployed.ts";

/** Less than this is left of the overlap when the new secret is issued, and nobody can put it into a server in time. */
const leastOverlapMs = 3_600_000;
/** From here on `up` and `preview` say that a token comes to the end of its life. */
const warnBeforeMs = 60 * 86_400_000;

/** A server's secret, as the config wants it. */
export interface WantedSecret {
  readonly name: string;
  readonly secretVersion: number;
  /** RFC 3339. */
  readonly previousSecretExpiresAt?: string | undefined;
}

/**
 * @param deployed the version that the last deployment left; undefined for a token that is new
 * @param now milliseconds since 1970
 * @returns why this rotation must not be done now and what to do, or undefined when it may, or when it is none
 */
export function rotationFault(
  { name, secretVersion, previousSecretExpiresAt }: WantedSecret,
  deployed: number | undefined,
  now: number = Date.now(),
): string | undefined {
  if (deployed === undefined || secretVersion <= deployed) return undefined;
  const until = Date.parse(previousSecretExpiresAt ?? "");
  if (until - now >= leastOverlapMs) return undefined;
  const minutes = Math.round((until - now) / 60_000);
  const left = Number.isNaN(until)
    ? "has no end"
    : minutes > 0
      ? `ends in ${minutes} min, at ${previousSecretExpiresAt}`
      : `has ended, at ${previousSecretExpiresAt}`;
  return (
    `the secret of the server ${JSON.stringify(name)} is not rotated: the overlap in which the previous secret works ${left}, ` +
    "and an hour is the least in which a new one can be handed over (a pull request that waited too long?). Give it more time: " +
    `\`npm run rotate -- ${name} --extend\`. To rotate all the same, with servers turned away until they have the new secret: ` +
    "SLM_NETWORK_FORCE_ROTATION=1 pulumi up"
  );
}

/** @returns what is to be said about a token's end of life, or undefined while it is far away */
export function endOfLifeWarning(name: string, expiresAt: string, now: number = Date.now()): string | undefined {
  const end = Date.parse(expiresAt);
  if (Number.isNaN(end) || end - now > warnBeforeMs) return undefined;
  const when =
    end <= now ? `has ended, at ${expiresAt}` : `ends in ${Math.ceil((end - now) / 86_400_000)} days, at ${expiresAt}`;
  return `the life of the service token ${JSON.stringify(name)} ${when}; then no secret of it works. \`npm run rotate -- ${name} --prolong\`, then \`pulumi up\``;
}

const tokenType = "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken";

/**
 * @param tokenName the name of a server's token resource
 * @returns the secret versions that the last deployment left, by the server's name
 */
export function deployedSecretVersions(
  servers: readonly string[],
  tokenName: (server: string) => string,
  deployed: readonly DeployedResource[],
): Map<string, number> {
  return new Map(
    servers.flatMap((server) => {
      const found = deployed.find(({ type, name }) => type === tokenType && name === tokenName(server));
      if (!found) return [];
      const { clientSecretVersion } = found.outputs;
      return [[server, typeof clientSecretVersion === "number" ? clientSecretVersion : 1] as const];
    }),
  );
}
