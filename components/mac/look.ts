/** A short look at a Mac, and what the provider needs of its surroundings. */
import type { MacState } from "../../runtime/installer/mac-state.ts";
import type { MacTarget } from "../../ssh/session.ts";
import { type MacAccess, type Reach, reachMac } from "./access.ts";
import { dialTarget, type MacConnection } from "./connection.ts";
import type { FormerRecord } from "./record.ts";

/** What a test may change about the surroundings. */
export interface Surroundings {
  readonly reach?: Reach;
  /** Shown by Pulumi among the diagnostics. */
  readonly say?: (text: string) => void;
  readonly environment?: NodeJS.ProcessEnv;
  /** Longest wait where the Mac is only read, in ms. */
  readonly lookMs?: number;
}

/** A Mac that is switched off, or takes connections and stays mute, must not hold up a preview: longest wait for each host, in ms. */
export const lookConnectMs = 6_000;

/** @returns what is given, and the real ones for the rest */
export const surroundings = (given: Surroundings) => ({
  reach: reachMac,
  // Pulumi shows it among the diagnostics.
  say: (text: string) => console.log(text),
  environment: process.env,
  lookMs: 30_000,
  ...given,
});

/** @returns whether there is anything to sign in with */
export const hasKey = (environment: NodeJS.ProcessEnv): boolean =>
  Boolean(environment.SSH_AUTH_SOCK) || Boolean(environment.SLM_NETWORK_SSH_KEY);

/** @returns whether another machine answers than the state is about */
export const isOther = ({ hardwareUuid }: FormerRecord, state: MacState): boolean =>
  hardwareUuid !== undefined && hardwareUuid !== state.hardwareUuid;

/** A short look at a Mac. @returns its state, or why it could not be had */
export async function look(connection: MacConnection, given: Surroundings): Promise<{ state: MacState } | string> {
  const { environment } = surroundings(given);
  if (!hasKey(environment)) return "there is no SSH key";
  return readMac(dialTarget(connection, environment), given, async (access) => ({
    state: await access.inspect(),
  })).catch(firstSentence);
}

/** Reads something of a Mac within `lookMs`. @throws Error, also when it is late */
export function readMac<T>(target: MacTarget, given: Surroundings, use: (access: MacAccess) => Promise<T>): Promise<T> {
  const { reach, lookMs } = surroundings(given);
  return withinMs(lookMs, async () => {
    const access = await reach(target, lookConnectMs);
    try {
      return await use(access);
    } finally {
      await access.close();
    }
  });
}

/** A session that comes about too late is left to its own end. */
async function withinMs<T>(ms: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** @returns an error's first sentence without its full stop; the rest is advice, and what is said around it has its own */
export const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(/\n|(?<=[.:)]) (?=[A-Z`])/)[0]?.replace(/\.$/, "") ??
  "";
