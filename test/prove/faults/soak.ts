/** `npm run prove -- --soak N`: N minutes of mixed traffic at 80 % of the slots, with faults strewn in; what the relay holds must stay flat. */
import { setTimeout as wait } from "node:timers/promises";
import { BOUNDS } from "../limits.ts";
import { seeded } from "../measure/random.ts";
import type { FaultCase } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { groundOn, pidOf } from "./ground.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, startFaultNetwork } from "./network.ts";
import { obstacleTo } from "./run.ts";
import { growth, type Sample } from "./slope.ts";
import { before, leftBehind, metricsOf, usageOf } from "./watch.ts";

/** Those that leave the relay's process alone: a restart would hide what grows. */
const STREWN = [
  "connector-killed",
  "connector-frozen",
  "line-killed",
  "relay-frozen",
  "model-killed",
  "model-restarted",
  "cut-edge",
  "cut-relay",
  "cut-model",
  "delay-relay",
  "delay-model",
  "half-open-model",
  "keys-slow",
  "disk-full",
  "clock-ahead",
  "descriptors",
];
const SAMPLE_MS = 5000;
/** After a fault calls are caught up; the circuit breaker may be open still. */
const SETTLE_MS = 6000;
const BETWEEN_FAULTS_MS = [15_000, 40_000] as const;
/** Slots that are busy at 80 %. */
const BUSY = 0.8 * BOUNDS.chat;
/** Growth over the judged part that counts as flat: the noise of V8's heap, and of pools of connections. */
const FLAT = { ownMiB: 16, heapMiB: 8, descriptors: 6, handles: 6 } as const;
type Quantity = keyof typeof FLAT | "memoryMiB";

/** What a soak run measured. */
export interface SoakReport {
  readonly seed: number;
  readonly minutes: number;
  readonly samples: Readonly<Record<Quantity | "busy", readonly Sample[]>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly calls: number;
  readonly seen: Readonly<Record<string, number>>;
  readonly jobs: number;
  readonly worstMs: number;
  readonly failures: readonly string[];
}

/** @param note gets a progress line every half minute */
export async function soak(minutes: number, seed: number, note: (text: string) => void): Promise<SoakReport> {
  const network = await startFaultNetwork();
  try {
    return await run(network, minutes, seed, note);
  } finally {
    await network.stop();
  }
}

async function run(
  network: FaultNetwork,
  minutes: number,
  seed: number,
  note: (text: string) => void,
): Promise<SoakReport> {
  const random = seeded(seed);
  const strewn = FAULTS.filter((one) => STREWN.includes(one.name) && obstacleTo(one, network) === undefined);
  const every: Pick<FaultCase, "mayAnswer" | "forgetsAnswers"> = {
    mayAnswer: [...new Set(strewn.flatMap(({ mayAnswer = [] }) => mayAnswer))],
    forgetsAnswers: true,
  };
  const load = new Load({ edgeUrl: network.edgeUrl, lineUrl: network.lineUrl, random, fault: every });
  const failures: string[] = [];
  const faults: Record<string, number> = {};
  const samples: Record<Quantity | "busy", Sample[]> = {
    memoryMiB: [],
    ownMiB: [],
    heapMiB: [],
    descriptors: [],
    handles: [],
    busy: [],
  };
  load.start();
  await wait(3000);
  const was = before(network);
  const pid = pidOf(network, "relay");
  const started = performance.now();
  const end = started + minutes * 60_000;
  const over = new AbortController();
  const ground = groundOn(
    network,
    random,
    () => {},
    (what) => failures.push(what),
  );
  let isBroken = false;
  let mendedAt = Number.NEGATIVE_INFINITY;
  const strew = async () => {
    while (performance.now() < end - 30_000) {
      await wait(
        BETWEEN_FAULTS_MS[0] + random() * (BETWEEN_FAULTS_MS[1] - BETWEEN_FAULTS_MS[0]),
        undefined,
        over,
      ).catch(() => {});
      const one = strewn[Math.floor(random() * strewn.length)];
      if (one === undefined || performance.now() > end - 20_000) return;
      faults[one.name] = (faults[one.name] ?? 0) + 1;
      isBroken = true;
      await one.run(ground).catch((cause: unknown) => failures.push(`${one.name} could not be made: ${String(cause)}`));
      isBroken = false;
      mendedAt = performance.now();
    }
  };
  const strewing = strew();
  for (let next = 1; performance.now() < end; next += 1) {
    await wait(Math.max(0, started + next * SAMPLE_MS - performance.now()));
    await sample(
      network,
      (performance.now() - started) / 60_000,
      samples,
      load,
      isBroken || performance.now() < mendedAt + SETTLE_MS,
    ).catch(() => {});
    if (next % 6 === 0) note(progress(samples, load, faults));
  }
  over.abort();
  await strewing;
  await load.stop();
  await load.settle();
  load.close();
  failures.push(...(await leftBehind(network, was)).map((left) => `left behind: ${left}`));
  if (pidOf(network, "relay") !== pid) failures.push("the relay was started again");
  for (const [what, allowed] of Object.entries(FLAT)) {
    const problem = growth(what, samples[what as Quantity], allowed);
    if (problem !== undefined) failures.push(problem);
  }
  if (load.lost.length > 0)
    failures.push(`${load.lost.length} lost or wrong: ${[...new Set(load.lost)].slice(0, 5).join("; ")}`);
  const { seen, jobs, worstMs } = load;
  return { seed, minutes, samples, faults, calls: seen.total, seen: seen.counts, jobs: jobs.length, worstMs, failures };
}

/** Takes one sample of everything, and brings the load nearer to 80 % of the slots. */
async function sample(
  network: FaultNetwork,
  minute: number,
  samples: Record<Quantity | "busy", Sample[]>,
  load: Load,
  isBroken: boolean,
): Promise<void> {
  const usage = usageOf(pidOf(network, "relay"));
  const metrics = await metricsOf(network);
  const add = (what: Quantity | "busy", value: number | undefined) =>
    value !== undefined && samples[what].push({ minute, value });
  add("memoryMiB", usage?.memoryMiB);
  add("ownMiB", usage?.ownMiB);
  add("descriptors", usage?.descriptors);
  add("heapMiB", (metrics.get("nodejs_heap_size_used_bytes") ?? 0) / 2 ** 20);
  add("handles", metrics.get("nodejs_active_handles_total"));
  let busy = 0;
  for (let times = 0; times < 10; times += 1) {
    busy += ((await metricsOf(network)).get('slm_lane_running{lane="chat"}') ?? 0) / 10;
    await wait(100);
  }
  add("busy", busy);
  // What a fault does to the slots says nothing about the pace.
  if (!isBroken) load.pace = Math.min(10, Math.max(0.2, load.pace * Math.min(1.5, Math.max(0.7, busy / BUSY))));
}

function progress(samples: Record<Quantity | "busy", Sample[]>, load: Load, faults: Record<string, number>): string {
  const last = (what: Quantity | "busy", digits = 0) => samples[what].at(-1)?.value.toFixed(digits) ?? "–";
  const minute = samples.memoryMiB.at(-1)?.minute.toFixed(1) ?? "–";
  const count = Object.values(faults).reduce((sum, times) => sum + times, 0);
  return `${minute} min: ${last("memoryMiB")} MiB (heap ${last("heapMiB")}), ${last("descriptors")} descriptors, ${last("handles")} handles, ${last("busy", 1)} of ${BOUNDS.chat} slots busy; ${load.seen.total} calls, ${load.jobs.length} jobs, ${count} faults, ${load.lost.length} lost`;
}
