/** Rules for rotating a server's secret, and for warnings about a token's expiry. Pure. */
import { kindOf } from "../config/resource-types.ts";
import type { DeployedResource } from "./deployed.ts";

/** With less than this left of the overlap when the new secret is issued, it cannot be deployed to a server in time. */
export const leastOverlapMs = 3_600_000;
/** Between the rotation's writing and the `up` that carries it out there is a commit, a preview, perhaps a review. */
const deployWithinMs = 3_600_000;
/** The shortest overlap worth writing into the stack file: a shorter one is refused by an `up` within the hour. */
export const leastWrittenOverlapMs = leastOverlapMs + deployWithinMs;
/** From here on `up` and `preview` say that a token comes to the end of its life. */
const warnBeforeMs = 60 * 86_400_000;

/** A server's secret, as the config wants it. */
export interface WantedSecret {
  readonly name: string;
  readonly secretVersion: number;
  /** RFC 3339. */
  readonly previousSecretExpiresAt?: string | undefined;
}

/** A server's secret, as the last deployment left it. */
export interface DeployedSecret {
  readonly version: number;
  /** Until when the secret before it works (RFC 3339). */
  readonly previousExpiresAt?: string | undefined;
}

/**
 * @param deployed undefined for a token that is new
 * @param now milliseconds since 1970
 * @returns why this rotation must not be done now and what to do, or undefined when it may, or when it is none
 */
export function rotationProblem(
  wanted: WantedSecret,
  deployed: DeployedSecret | undefined,
  now: number = Date.now(),
): string | undefined {
  if (deployed === undefined || wanted.secretVersion === deployed.version) return undefined;
  const problem = backwards(wanted, deployed) ?? insideOverlap(wanted, deployed, now) ?? tooLate(wanted, now);
  if (problem === undefined) return undefined;
  return (
    `the secret of the server ${JSON.stringify(wanted.name)} is not rotated: ${problem}. To rotate all the same, with servers ` +
    "turned away until they have the new secret: SLM_NETWORK_FORCE_ROTATION=1 pulumi up"
  );
}

/** A lower version is one more rotation to Cloudflare, with no overlap at all. */
function backwards({ secretVersion }: WantedSecret, { version, previousExpiresAt }: DeployedSecret) {
  if (secretVersion > version) return undefined;
  const until = previousExpiresAt ? ` and previousSecretExpiresAt: "${previousExpiresAt}"` : "";
  return `secretVersion is ${secretVersion}, and ${version} is deployed: put secretVersion: ${version}${until} back (both stay in the stack file permanently)`;
}

/** A token has two secrets at most: one more rotation ends at once the one that servers may still be using. */
function insideOverlap({ name }: WantedSecret, { previousExpiresAt }: DeployedSecret, now: number) {
  if (!previousExpiresAt || !(Date.parse(previousExpiresAt) > now)) return undefined;
  return `the last rotation's previous secret works until ${previousExpiresAt}, and a second rotation would end it at once. It becomes possible then: take the change back, and \`npm run rotate -- ${name}\` after that time`;
}

function tooLate({ name, previousSecretExpiresAt }: WantedSecret, now: number) {
  const until = Date.parse(previousSecretExpiresAt ?? "");
  if (until - now >= leastOverlapMs) return undefined;
  const minutes = Math.round((until - now) / 60_000);
  const left = Number.isNaN(until)
    ? "has no end"
    : minutes > 0
      ? `ends in ${minutes} min, at ${previousSecretExpiresAt}`
      : `has ended, at ${previousSecretExpiresAt}`;
  return (
    `the overlap in which the previous secret works ${left}, and an hour is the least in which a new one can be handed over ` +
    `(a pull request that waited too long?). Give it more time: \`npm run rotate -- ${name} --extend\``
  );
}

/** @returns a warning about a token's end of life, or undefined while it is far away */
export function endOfLifeWarning(name: string, expiresAt: string, now: number = Date.now()): string | undefined {
  const end = Date.parse(expiresAt);
  if (Number.isNaN(end) || end - now > warnBeforeMs) return undefined;
  const when =
    end <= now ? `has ended, at ${expiresAt}` : `ends in ${Math.ceil((end - now) / 86_400_000)} days, at ${expiresAt}`;
  return `the life of the service token ${JSON.stringify(name)} ${when}; then no secret of it works. \`npm run rotate -- ${name} --prolong\`, then \`pulumi up\``;
}

/** @param name prefix of the program's resources. @returns the name of a server's token resource */
export const tokenName = (name: string, server: string): string => `${name}-token-${server}`;

/**
 * @param tokenName the name of a server's token resource
 * @returns the secrets that the last deployment left, by the server's name
 */
export function deployedSecrets(
  servers: readonly string[],
  tokenName: (server: string) => string,
  deployed: readonly DeployedResource[],
): Map<string, DeployedSecret> {
  return new Map(
    servers.flatMap((server) => {
      const found = deployed.find(({ type, name }) => kindOf(type) === "serviceToken" && name === tokenName(server));
      if (!found) return [];
      const { clientSecretVersion: version, previousClientSecretExpiresAt: until } = found.outputs;
      // The provider imports a token without its version: what an adoption brought in is not known yet.
      if (typeof version !== "number") return [];
      return [
        [
          server,
          {
            version,
            ...(typeof until === "string" && { previousExpiresAt: until }),
          },
        ] as const,
      ];
    }),
  );
}
