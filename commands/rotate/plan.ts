/** What a rotation writes, and when it is refused: pure decisions, by the program's own rule (accounts/rotation.ts). */
import {
  type DeployedSecret,
  leastOverlapMs,
  leastWrittenOverlapMs,
  rotationProblem,
} from "../../accounts/rotation.ts";
import { Refusal } from "../errors.ts";
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
  /** How long the previous secret works on, in ms. */
  overlapMs: number;
  /** Overrides the refusals that protect callers. */
  force: boolean;
  /** In ms since 1970. */
  now: number;
  /** When the token itself expires, in ms since 1970; undefined when unknown. */
  endOfLife: number | undefined;
  /** The secret of the last deployment; undefined when the state cannot be read or has none. */
  deployed?: DeployedSecret | undefined;
}

/** RFC 3339 has four digits for the year; the config accepts nothing else. */
const lastMoment = Date.parse("9999-12-31T23:59:59Z");
/** A rotation also prolongs a token that expires sooner. */
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
  checkOverlap(overlapMs, now, force);
  if (wish.what === "extend") {
    if (version === 1) throw new Refusal(`${server} has never been rotated, so there is no overlap to extend`);
    return { previousSecretExpiresAt: rfc3339(now + overlapMs) };
  }
  if (until > now && !force) {
    throw new Refusal(
      `${server} is in an overlap: its previous secret works until ${rfc3339(until)}, and a token has two secrets at most, so a rotation now would end the previous one immediately. It becomes possible in ${inWords(until - now)}, at ${rfc3339(until)}. If a secret has leaked: --force, then \`pulumi up\` immediately`,
    );
  }
  const soon = wish.endOfLife !== undefined && wish.endOfLife - now < Math.max(prolongWithinMs, overlapMs);
  const change = {
    secretVersion: version + 1,
    previousSecretExpiresAt: rfc3339(now + overlapMs),
    ...(soon && { duration: longer(server, settings.duration) }),
  };
  // The file may be older than the deployment: lost lines, another branch.
  const fault = rotationProblem({ name: server, ...change }, wish.deployed, now);
  if (fault && !force) throw new Refusal(`\`pulumi up\` would refuse this: ${fault}`);
  return change;
}

/** @throws Refusal for an overlap that a later `up` would refuse, with the limit */
function checkOverlap(overlapMs: number, now: number, force: boolean): void {
  if (now + overlapMs > lastMoment) {
    throw new Refusal(
      `--overlap ends after the year 9999, which the config does not accept: give at most ${Math.floor((lastMoment - now) / 86_400_000)}d`,
    );
  }
  if (overlapMs >= leastWrittenOverlapMs || force) return;
  throw new Refusal(
    `--overlap is ${inWords(overlapMs)}: with less than ${inWords(leastOverlapMs)} of it left, \`pulumi up\` refuses the rotation, because the new secret could not be handed over in time; and time passes until \`up\` runs. The least is ${inWords(leastWrittenOverlapMs)}: --overlap ${leastWrittenOverlapMs / 3_600_000}h. --force writes it anyway`,
  );
}

/** @returns until when `pulumi up` accepts the rotation, in ms since 1970 */
export const deployBefore = (previousSecretExpiresAt: string): number =>
  Date.parse(previousSecretExpiresAt) - leastOverlapMs;

/**
 * One year more. Cloudflare does not say whether a changed duration counts from the token's creation or from the change;
 * a longer one than before moves the end either way.
 */
function longer(server: string, duration = defaultDuration): string {
  const hours = (durationMs(duration) ?? Number.NaN) / 3_600_000;
  if (Number.isNaN(hours)) {
    throw new Refusal(
      `the duration of ${server} is ${JSON.stringify(duration)}, which is not a duration: write e.g. ${defaultDuration}`,
    );
  }
  const longerHours = Math.ceil(hours) + yearHours;
  if (!Number.isSafeInteger(longerHours)) {
    throw new Refusal(`the duration of ${server} is ${JSON.stringify(duration)}: it cannot be made longer`);
  }
  return `${longerHours}h`;
}
