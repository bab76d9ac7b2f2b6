/** What is done for the jobs' store from time to time: leases of running jobs are renewed, old jobs removed. */
import type { Log } from "../telemetry/log.ts";
import type { StopReason } from "./disposition.ts";
import type { Run } from "./run.ts";
import { reasonOf } from "./settle.ts";
import type { JobStore } from "./store.ts";

export const LEASE_MS = 120_000;
const RENEW_MS = 30_000;
const SWEEP_MS = 60_000;

/** @param runs that have a lease, now: one that was lost is ended. @returns stops it */
export function startUpkeep(
  store: Pick<JobStore, "renew" | "sweep">,
  runs: () => Iterable<Run>,
  log: Pick<Log, "warn">,
): () => void {
  let stopped = false;

  async function renew(): Promise<void> {
    const held = [...runs()].flatMap(({ attemptId }) => attemptId ?? []);
    if (held.length === 0) return;
    try {
      const still = new Set(await store.renew(held, LEASE_MS));
      for (const run of runs()) {
        const { attemptId } = run;
        if (attemptId === undefined || !held.includes(attemptId) || still.has(attemptId)) continue;
        run.stop.abort("lease_lost" satisfies StopReason);
      }
    } catch (cause) {
      log.warn({ reason: reasonOf(cause) }, "leases of running jobs not renewed");
    }
  }

  async function sweep(): Promise<void> {
    try {
      while (!stopped && (await store.sweep()));
    } catch (cause) {
      log.warn({ reason: reasonOf(cause) }, "old jobs not removed");
    }
  }

  const timers = [setInterval(() => void renew(), RENEW_MS), setInterval(() => void sweep(), SWEEP_MS)];
  for (const timer of timers) timer.unref();
  void sweep();
  return () => {
    stopped = true;
    for (const timer of timers) clearInterval(timer);
  };
}
