/** Waiting for Atlas' background work, as Terraform's `retry.StateChangeConf` does (terraform-plugin-sdk, helper/retry/state.go). */
import { pause } from "../plugin/clock.ts";

/** What one poll saw: a state's name, and the object that has it. */
export interface Seen<T> {
  state: string;
  value: T;
}

/** How to wait. Times are the official provider's, in ms; `SANDBOX_PROVIDER_CLOCK` shortens them. */
export interface StateChange<T> {
  /** States to go on waiting in. Any other one is an error. */
  pending: readonly string[];
  target: readonly string[];
  /** Before the first poll. @default 0 */
  delayMs?: number;
  /** The shortest pause between polls. */
  minPauseMs: number;
  timeoutMs: number;
  poll(): Promise<Seen<T>>;
}

/** The time limit is over. */
export class StateTimeout extends Error {
  override name = "StateTimeout";
}

const longestPauseMs = 10_000;

/**
 * Polls until a target state is reached. The engine's cancellation does not end it, as in the official provider.
 * @throws StateTimeout after the time limit; Error in an unexpected state; whatever `poll` throws
 */
export async function stateChange<T>(change: StateChange<T>): Promise<T> {
  const { pending, target, delayMs = 0, minPauseMs, timeoutMs, poll } = change;
  if (delayMs > 0) await pause(delayMs);
  for (let waited = delayMs, next = 100; ; next = Math.min(next * 2, longestPauseMs)) {
    const { state, value } = await poll();
    if (target.includes(state)) return value;
    const wanted = target.map((name) => `'${name}'`).join(", ");
    if (!pending.includes(state)) {
      throw new Error(`unexpected state '${state}', wanted target ${wanted}. last error: %!s(<nil>)`);
    }
    const ms = Math.max(next, minPauseMs);
    waited += ms;
    if (waited > timeoutMs) {
      throw new StateTimeout(
        `timeout while waiting for state to become ${wanted} (last state: '${state}', timeout: ${goDuration(timeoutMs)})`,
      );
    }
    await pause(ms);
  }
}

/** Milliseconds as Go prints a duration: `3h0m0s`, `45m0s`, `30s`. */
export function goDuration(ms: number): string {
  const seconds = ms / 1000;
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const rest = `${seconds % 60}s`;
  return hours > 0 ? `${hours}h${minutes}m${rest}` : minutes > 0 ? `${minutes}m${rest}` : rest;
}
