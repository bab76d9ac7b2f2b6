/** `npm run capacity` twice in a row on real model servers of known slots: the same n, and how far the numbers differ. */
import { measure } from "../../../commands/capacity/measure.ts";
import { readOptions } from "../../../commands/capacity/options.ts";
import { findTarget } from "../../../commands/capacity/target.ts";
import { startRealModel } from "../../../sandbox/model/real.ts";
import type { RealServer } from "../../../sandbox/tools/real/ensure.ts";

/** A server to measure. */
export interface Wanted {
  readonly kind: RealServer;
  readonly slots: number;
}

/** One server, measured twice. Rates in output tokens per second, times in ms. */
export interface Twice extends Wanted {
  readonly runs: readonly {
    readonly n: number | undefined;
    readonly tokensPerSecond: number | undefined;
    readonly spread: number | undefined;
    readonly windows: number | undefined;
    readonly ttftP90: number | undefined;
    readonly seconds: number;
    readonly endedBy: string | undefined;
  }[];
  /** Largest difference of the two runs' throughput at the knee, as a part. */
  readonly differs: number;
}

/** @param args of `npm run capacity` */
export async function measureTwice(
  wanted: Wanted,
  args: readonly string[],
  log: (line: string) => void,
): Promise<Twice> {
  const server = await startRealModel({ ...wanted, log });
  try {
    const options = readOptions(args);
    const target = await findTarget(new URL(server.url), {}, options);
    const runs: Twice["runs"][number][] = [];
    for (let run = 1; run <= 2; run += 1) {
      log(`${wanted.kind} with ${wanted.slots} slots, run ${run}`);
      const found = await measure(target, options, new AbortController().signal);
      const knee = found.deciding?.sweep.knee;
      runs.push({
        n: knee?.atOnce,
        tokensPerSecond: knee?.tokensPerSecond,
        spread: knee?.spread,
        windows: knee?.runs,
        ttftP90: knee?.ttft.p90,
        seconds: found.seconds,
        endedBy: found.endedBy,
      });
      log(JSON.stringify(runs.at(-1)));
    }
    const [a, b] = runs.map(({ tokensPerSecond }) => tokensPerSecond ?? Number.NaN);
    return { ...wanted, runs, differs: Math.abs(a! - b!) / Math.max(a!, b!) };
  } finally {
    await server.close();
  }
}
