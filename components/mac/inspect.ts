/** Reads a Mac's state within a time limit, and the context that tests can replace. */
import type { MacState } from "../../runtime/installer/mac-state.ts";
import type { MacTarget } from "../../ssh/session.ts";
import { dialTarget, type MacConnection } from "./connection.ts";
import { type MacSession, type OpenMac, openMacSession } from "./mac-session.ts";
import type { PreviousState } from "./record.ts";

/** The provider's context, replaceable in tests. */
export interface ProviderContext {
  readonly openMac?: OpenMac;
  /** Shown by Pulumi among the diagnostics. */
  readonly log?: (text: string) => void;
  readonly environment?: NodeJS.ProcessEnv;
  /** Longest wait where the Mac is only read, in ms. */
  readonly inspectTimeoutMs?: number;
}

/** Longest wait for each host, in ms: a Mac that is off, or accepts connections and stays silent, must not block a preview. */
export const inspectConnectMs = 6_000;

/** @returns the context with defaults for what is not given */
export const contextWithDefaults = (given: ProviderContext) => ({
  openMac: openMacSession,
  // Pulumi shows it among the diagnostics.
  log: (text: string) => console.log(text),
  environment: process.env,
  inspectTimeoutMs: 30_000,
  ...given,
});

/** @returns whether an SSH key is configured */
export const hasKey = (environment: NodeJS.ProcessEnv): boolean =>
  Boolean(environment.SSH_AUTH_SOCK) || Boolean(environment.SLM_NETWORK_SSH_KEY);

/** @returns whether another machine answers than the state is about */
export const isOtherMachine = ({ hardwareUuid }: PreviousState, state: MacState): boolean =>
  hardwareUuid !== undefined && hardwareUuid !== state.hardwareUuid;

/** Reads a Mac's state. @returns it, or why it could not be read */
export async function inspectMac(
  connection: MacConnection,
  given: ProviderContext,
): Promise<{ state: MacState } | string> {
  const { environment } = contextWithDefaults(given);
  if (!hasKey(environment)) return "there is no SSH key";
  return withMac(dialTarget(connection, environment), given, async (access) => ({
    state: await access.inspect(),
  })).catch(firstSentence);
}

/** Reads something of a Mac within `inspectTimeoutMs`. @throws Error, also when it is late */
export function withMac<T>(
  target: MacTarget,
  given: ProviderContext,
  use: (access: MacSession) => Promise<T>,
): Promise<T> {
  const { openMac, inspectTimeoutMs } = contextWithDefaults(given);
  return withinMs(inspectTimeoutMs, async () => {
    const access = await openMac(target, inspectConnectMs);
    try {
      return await use(access);
    } finally {
      await access.close();
    }
  });
}

/** A session that opens too late is left alone. */
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

/** @returns an error's first sentence without its full stop; the rest is advice, which the caller replaces */
export const firstSentence = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(/\n|(?<=[.:)]) (?=[A-Z`])/)[0]?.replace(/\.$/, "") ??
  "";
