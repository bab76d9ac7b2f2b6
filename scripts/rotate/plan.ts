/** What a rotation writes, and when it is refused: decisions only. */
import { durationMs, inWords, rfc3339 } from "./durations.ts";

/** The settings of a server that a rotation reads and writes, as the stack file has them. */
export interface ServerSettings {
  secretVersion?: number;
  previousSecretExpiresAt?: string;
  duration?: string;
}

/** What was asked for. */
export interface Wish {
  /** `rotate` issues a new secret, `extend` moves the end of the overlap, `prolong` the end of the token's own life. */
  what: "rotate" | "extend" | "prolong";
  /** How long the previous secret goes on working, in milliseconds. */
  overlapMs: number;
  /** Does it against advice. */
  force: boolean;
  /** Milliseconds since 1970. */
  now: number;
  /** When the token's own life ends, in milliseconds since 1970; undefined when it is not known. */
  endOfLife: number | undefined;
}

/** Something that can not be done as asked; the message says why and what can be. */
export class Refusal extends Error {
  override name = "Refusal";
}

/** With less, `pulumi up` stops the rotation. */
const leastOverlapMs = 3_600_000;
/** A token that ends sooner is prolonged along with a rotation. */
const prolongWithinMs = 90 * 86_400_000;
const yearHours = 8_760;
const defaultDuration = `${yearHours}h`;

/**
 * @returns the settings to write, nothing else
 * @throws Refusal
 */
export function plan(server: string, settings: ServerSettings, wish: Wish): ServerSettings {
  if (wish.what === "prolong") return { duration: longer(server, settings.duration) };
  const { now, overlapMs, force } = wish;
  const version = settings.secretVersion ?? 1;
  const until = Date.parse(settings.previousSecretExpiresAt ?? "");
  if (overlapMs < leastOverlapMs && !force) {
    throw new Refusal(
      `--overlap is ${inWords(overlapMs)}: with less than an hour left, \`pulumi up\` stops the rotation, since nobody could hand the new secret over in time. Give two hours or more; --force writes it all the same`,
    );
  }
  if (wish.what === "extend") {
    if (version === 1) throw new Refusal(`${server} has never been rotated, so there is no overlap to extend`);
    return { previousSecretExpiresAt: rfc3339(now + overlapMs) };
  }
  if (until > now && !force) {
    throw new Refusal(
      `${server} is in an overlap: its previous secret works until ${rfc3339(until)}, and a token has two secrets at most, so a rotation now would end that one at once. It becomes possible in ${inWords(until - now)}, at ${rfc3339(until)}. If a secret has leaked: --force, and \`pulumi up\` at once`,
    );
  }
  const soon = wish.endOfLife !== undefined && wish.endOfLife - now < Math.max(prolongWithinMs, overlapMs);
  return {
    secretVersion: version + 1,
    previousSecretExpiresAt: rfc3339(now + overlapMs),
    ...(soon && { duration: longer(server, settings.duration) }),
  };
}

/**
 * One year more. Cloudflare does not say whether a changed duration counts from the token's creation or from the change;
 * a longer one than before moves the end either way.
 */
function longer(server: string, duration = defaultDuration): string {
  const hours = (durationMs(duration) ?? Number.NaN) / 3_600_000;
  if (Number.isNaN(hours)) {
    throw new Refusal(
      `the duration of ${server} is ${JSON.stringify(duration)}, which is no length of time: write e.g. ${defaultDuration}`,
    );
  }
  return `${Math.ceil(hours) + yearHours}h`;
}
