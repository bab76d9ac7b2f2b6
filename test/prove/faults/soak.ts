/** `npm run prove -- --soak N`: N minutes of mixed traffic at 80 % of the slots, with faults strewn in; what the relay holds must stay flat. */
import { setTimeout as wait } from "node:timers/promises";
import { BOUNDS } from "../limits.ts";
import { heldMiB } from "../measure/held.ts";
import { seeded } from "../measure/random.ts";
import { Client } from "./client.ts";
import { connectionsIn, descriptorKinds, type Kinds } from "./descriptors.ts";
import type { FaultCase } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { groundOn, pidOf } from "./ground.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, startFaultNetwork } from "./network.ts";
import { obstacleTo } from "./run.ts";
import { type FlatQuantity, notFlat, type Sample } from "./slope.ts";
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
/** Kept connections end within: cloudflared closes idle ones after 90 s, the relay after 130 s. */
const IDLE_MS = 150_000;
/** The relay asks the model server every half minute (`status/model-watch.ts`) and keeps that connection for the next time. */
const IDLE_CONNECTIONS = 1;
/**
 * All garbage is collected every so many samples: a quarter of a minute, so that each half minute has one although the relay
 * is frozen or has no descriptor now and then.
 */
const COLLECT_EVERY = 3;
const NOTE_EVERY = 6;
type Quantity = FlatQuantity | "memoryMiB" | "heapMiB" | "connections" | "busy";
type Samples = Record<Quantity, Sample[]>;

/** What a soak run measured. */
export interface SoakReport {
  readonly seed: number;
  readonly minutes: number;
  readonly samples: Readonly<Record<Quantity, readonly Sample[]>>;
  /** The relay's descriptors by kind: before the load, in the middle, at the end of the load, and when all is answered. */
  readonly descriptors: readonly Kinds[];
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
  const samples: Samples = {
    memoryMiB: [],
    heapMiB: [],
    heldMiB: [],
    ownMiB: [],
    connections: [],
    descriptors: [],
    handles: [],
    busy: [],
  };
  const kinds = () => descriptorKinds(pidOf(network, "relay"), network.portNames);
  await fillCache(network);
  const descriptors = [kinds()];
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
    const minute = (performance.now() - started) / 60_000;
    if (next % COLLECT_EVERY === 0) await collected(network, minute, samples);
    await sample(network, minute, samples, load, isBroken || performance.now() < mendedAt + SETTLE_MS).catch(() => {});
    if (next % NOTE_EVERY === 0) note(progress(samples, load, faults));
    if (descriptors.length === 1 && minute >= minutes / 2) descriptors.push(kinds());
  }
  descriptors.push(kinds());
  over.abort();
  await strewing;
  await load.stop();
  await load.settle();
  load.close();
  descriptors.push(await whenIdle(kinds));
  failures.push(...(await leftBehind(network, was)).map((left) => `left behind: ${left}`));
  const kept = connectionsIn(descriptors.at(-1)!);
  if (kept > IDLE_CONNECTIONS) failures.push(`${kept} connections are open ${IDLE_MS / 1000} s after the last answer`);
  if (pidOf(network, "relay") !== pid) failures.push("the relay was started again");
  failures.push(...notFlat(samples));
  if (load.lost.length > 0)
    failures.push(`${load.lost.length} lost or wrong: ${[...new Set(load.lost)].slice(0, 5).join("; ")}`);
  const { seen, jobs, worstMs } = load;
  return {
    seed,
    minutes,
    samples,
    descriptors,
    faults,
    calls: seen.total,
    seen: seen.counts,
    jobs: jobs.length,
    worstMs,
    failures,
  };
}

/** Waits until no more connections are open than an idle relay has. @returns the descriptors then, or after `IDLE_MS` */
async function whenIdle(kinds: () => Kinds): Promise<Kinds> {
  for (const end = performance.now() + IDLE_MS; performance.now() < end; await wait(1000)) {
    if (connectionsIn(kinds()) <= IDLE_CONNECTIONS) break;
  }
  return kinds();
}

/**
 * Reads so many documents that the relay's cache of them is full (an eighth of `limits.memoryMiB`), and deletes them. The load's
 * few small ones would fill it for hours, which looks like a leak. @throws Error when one cannot be stored
 */
async function fillCache({ edgeUrl }: FaultNetwork): Promise<void> {
  const client = new Client(edgeUrl, "attacker");
  const text = "about 115 chunks ".repeat(6000);
  for (let bytes = 0, next = 1; bytes < (BOUNDS.memoryMiB / 8) * 2 ** 20; next += 1) {
    const path = `/v1/documents?company=cache&title=${next}`;
    const stored = await client.send("PUT", path, {
      body: JSON.stringify({ text: `${next} ${text}` }),
      timeoutMs: 60_000,
    });
    if (!/"stored":\s*true/.test(stored.text)) throw new Error(`a document could not be stored: ${stored.text}`);
    const read = await client.send("GET", `${path}&include=chunks,vectors`, { timeoutMs: 60_000 });
    bytes += (read.text.length * 3) / 4; // vectors are in base64
    await client.send("DELETE", path);
  }
  client.close();
}

/** One sample of what is held once all garbage is collected. None while the relay is frozen or has no descriptor. */
async function collected(network: FaultNetwork, minute: number, samples: Samples): Promise<void> {
  const held = await heldMiB(network.heapFile);
  const usage = usageOf(pidOf(network, "relay"));
  if (held === undefined || usage === undefined) return;
  samples.heldMiB.push({ minute, value: held });
  samples.ownMiB.push({ minute, value: usage.ownMiB });
}

/** Takes one sample of everything else, and brings the load nearer to 80 % of the slots. */
async function sample(
  network: FaultNetwork,
  minute: number,
  samples: Samples,
  load: Load,
  isBroken: boolean,
): Promise<void> {
  const usage = usageOf(pidOf(network, "relay"));
  const kinds = descriptorKinds(pidOf(network, "relay"), network.portNames);
  const metrics = await metricsOf(network);
  const add = (what: Quantity, value: number | undefined) =>
    value !== undefined && samples[what].push({ minute, value });
  add("memoryMiB", usage?.memoryMiB);
  add("heapMiB", (metrics.get("nodejs_heap_size_used_bytes") ?? 0) / 2 ** 20);
  // How many connections are kept for the next call goes with the load and the faults of the last minutes; judged at the end.
  const connections = connectionsIn(kinds);
  add("connections", connections);
  add("descriptors", usage && usage.descriptors - connections);
  add("handles", (metrics.get("nodejs_active_handles_total") ?? 0) - connections);
  let busy = 0;
  for (let times = 0; times < 10; times += 1) {
    busy += ((await metricsOf(network)).get('slm_lane_running{lane="chat"}') ?? 0) / 10;
    await wait(100);
  }
  add("busy", busy);
  // What a fault does to the slots says nothing about the pace.
  if (!isBroken) load.pace = Math.min(10, Math.max(0.2, load.pace * Math.min(1.5, Math.max(0.7, busy / BUSY))));
}

function progress(samples: Samples, load: Load, faults: Record<string, number>): string {
  const last = (what: Quantity, digits = 0) => samples[what].at(-1)?.value.toFixed(digits) ?? "–";
  const minute = samples.memoryMiB.at(-1)?.minute.toFixed(1) ?? "–";
  const count = Object.values(faults).reduce((sum, times) => sum + times, 0);
  return `${minute} min: ${last("memoryMiB")} MiB (own ${last("ownMiB")}, heap ${last("heapMiB")}, held ${last("heldMiB", 1)}), ${last("connections")} connections, ${last("descriptors")} other descriptors, ${last("handles")} handles, ${last("busy", 1)} of ${BOUNDS.chat} slots busy; ${load.seen.total} calls, ${load.jobs.length} jobs, ${count} faults, ${load.lost.length} lost`;
}
