/**
 * The plugins' pauses: between retries, and while waiting for the clouds' background work. They are as long as the official
 * plugins', which makes some failures take minutes; `SANDBOX_PROVIDER_CLOCK` shortens all of them by one factor.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** The variable with the factor: more than 0, at most 1. @default 1 */
export const clockVariable = "SANDBOX_PROVIDER_CLOCK";

/** @returns the factor @throws when the variable is not a number between 0 (excluded) and 1 */
export function clockFactor(environment: NodeJS.ProcessEnv): number {
  const given = environment[clockVariable];
  if (given === undefined || given === "") return 1;
  const factor = Number(given);
  if (!(factor > 0 && factor <= 1)) {
    throw new Error(`${clockVariable} is ${JSON.stringify(given)}: it must be a number over 0 and at most 1`);
  }
  return factor;
}

/** Waits `ms` of the official plugins' time. Rejects when `signal` fires. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await sleep(Math.ceil(ms * clockFactor(process.env)), undefined, signal && { signal });
}
