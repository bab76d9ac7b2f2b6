import * as pulumi from "@pulumi/pulumi";

/** Less than this is left of the overlap when the new secret is issued, and nobody can put it into a server in time. */
const leastOverlapMs = 3_600_000;
/** From here on `up` and `preview` say that a token comes to the end of its life. */
const warnBeforeMs = 60 * 86_400_000;

/** The two inputs of a service token that make a rotation. */
export interface SecretState {
  readonly clientSecretVersion?: number | undefined;
  /** RFC 3339. */
  readonly previousClientSecretExpiresAt?: string | undefined;
}

/**
 * @param now milliseconds since 1970
 * @returns why this rotation must not be done now and what to do, or undefined when it may, or when it is none
 */
export function rotationFault(
  name: string,
  old: SecretState,
  wanted: SecretState,
  now: number = Date.now(),
): string | undefined {
  if ((wanted.clientSecretVersion ?? 1) <= (old.clientSecretVersion ?? 1)) return undefined;
  const until = Date.parse(wanted.previousClientSecretExpiresAt ?? "");
  if (until - now >= leastOverlapMs) return undefined;
  const minutes = Math.round((until - now) / 60_000);
  const left = Number.isNaN(until)
    ? "has no end"
    : minutes > 0
      ? `ends in ${minutes} min, at ${wanted.previousClientSecretExpiresAt}`
      : `has ended, at ${wanted.previousClientSecretExpiresAt}`;
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

/**
 * A hook that stops the update of a service token that would rotate it with too little overlap left, in a preview too.
 *
 * @param serverOf the server's name by the token resource's name
 */
export function overlapGuard(name: string, serverOf: ReadonlyMap<string, string>): pulumi.ResourceHook {
  return new pulumi.ResourceHook(
    `${name}-overlap-guard`,
    ({ name: resource, oldInputs, newInputs }) => {
      const fault = rotationFault(
        serverOf.get(resource) ?? resource,
        oldInputs as SecretState,
        newInputs as SecretState,
      );
      if (fault) throw new Error(fault);
    },
    { onDryRun: true },
  );
}
