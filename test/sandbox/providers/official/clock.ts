/** Time in these tests: our plugins run on a shortened clock, the official ones on the real one. */
import { clockVariable } from "../../../../sandbox/providers/plugin/clock.ts";
import { isInstalled } from "../plugin.ts";

/** Real milliseconds per millisecond of the official plugins. */
export const factor = isInstalled ? 1 : 0.001;

/** For `startPlugin`. */
export const clock = { [clockVariable]: String(factor) };

/** Ten retries take three and a half minutes, an access list entry ten seconds and more. */
export const timeout = isInstalled ? 600_000 : 60_000;

/** The times of requests, as pauses in ms of the official plugins. A lower bound: a busy machine only makes them longer. */
export const pausesBetween = (times: readonly number[]): number[] =>
  times.slice(1).map((time, index) => (time - (times[index] ?? time)) / factor);
