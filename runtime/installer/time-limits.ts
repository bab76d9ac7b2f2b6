/** How long the installer waits for what it starts. In one place, so that tests can wait for less. */

/** Milliseconds. */
const limits = {
  /** A new relay answers `/healthz`. */
  relayStarts: 30_000,
  /** A relay can serve. */
  relayReady: 30_000,
  /** A connector that nothing serves beside is connected to Cloudflare. */
  connectorReady: 60_000,
  /** A second connector, beside one that serves, is connected. */
  connectorTakesOver: 30_000,
  /** A connector finishes its requests; a little longer than the longest request. */
  connectorDrains: 185_000,
  /** A model server that launchd started listens. */
  modelListens: 20_000,
};

/**
 * The limits, in milliseconds. Tests of a failure shorten them by `SLM_NETWORK_TIME_SCALE` (0.1: a tenth); it is read only
 * together with `SLM_NETWORK_ROOT`, which no real Mac has, and sudo passes neither on there.
 * @param environment of this process
 */
export function timeLimits(environment: NodeJS.ProcessEnv = process.env): typeof limits {
  const scale = environment.SLM_NETWORK_ROOT ? Number(environment.SLM_NETWORK_TIME_SCALE ?? 1) : 1;
  return Object.fromEntries(Object.entries(limits).map(([name, ms]) => [name, ms * scale])) as typeof limits;
}

/** @returns milliseconds as the messages say them, e.g. `30 s` */
export const inSeconds = (ms: number): string => `${ms / 1000} s`;
