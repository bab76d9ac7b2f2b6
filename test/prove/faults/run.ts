/** Runs one fault case: the load, the fault, the way back to health, and what must be found afterwards. */
import { setTimeout as wait } from "node:timers/promises";
import { CHAT, chatBody } from "../case.ts";
import { BOUNDS } from "../limits.ts";
import { seeded } from "../measure/random.ts";
import { Client } from "./client.ts";
import { canMount } from "./disk.ts";
import type { FaultCase } from "./fault.ts";
import { groundOn } from "./ground.ts";
import { Load } from "./load.ts";
import type { FaultNetwork } from "./network.ts";
import { before, leftBehind, RelayWatch } from "./watch.ts";

/** One line of the table. */
export interface FaultVerdict {
  readonly name: string;
  readonly fault: string;
  /** Faults that were made. */
  readonly tried: number;
  /** Calls of clients, and what they saw. */
  readonly calls: number;
  readonly seen: Readonly<Record<string, number>>;
  readonly jobs: number;
  readonly documents: number;
  /** What was acknowledged and is lost, twice or wrong. */
  readonly lost: readonly string[];
  /** Calls of the quiet caller that were answered. */
  readonly answered: number;
  /** Longest time of the quiet caller from the first try to its answer, in ms. */
  readonly worstMs: number;
  readonly memoryMiB: number;
  readonly memoryBoundMiB: number;
  /** From the end of the fault until every path answered again, in ms; undefined: never. */
  readonly healthyMs: number | undefined;
  readonly leftBehind: readonly string[];
  /** Empty: it holds. */
  readonly failures: readonly string[];
  /** Why it did not run. */
  readonly skipped?: string;
}

/** Load before the fault, so that it meets work of every kind. */
const WARM_MS = 1500;
const HEALTHY_SECONDS = 20;
/** Answers in a row that count as healthy. */
const IN_A_ROW = 4;
/** Above the budget: V8's heap, garbage, the stores' caches and their threads, and the relay at rest. */
const MEMORY_MIB = BOUNDS.memoryMiB + 260;

/** Why a case cannot run here; undefined if it can. */
export function obstacleTo(one: FaultCase, network: Pick<FaultNetwork, "server">): string | undefined {
  if (one.needs === "disk" && !canMount) return "needs Linux and root, for a disk of its own";
  if (one.needs === "prlimit" && process.platform !== "linux") return "needs Linux' prlimit";
  if (one.needs === "sshd" && network.server === undefined) return "needs an sshd";
  return undefined;
}

/** Never throws for what the product does. */
export async function runFault(network: FaultNetwork, one: FaultCase, seed: number): Promise<FaultVerdict> {
  const skipped = obstacleTo(one, network);
  if (skipped !== undefined) return { ...NOTHING, name: one.name, fault: one.fault, skipped };
  const random = seeded(seed);
  await network.use(one.store ?? "embedded");
  if ((await healthy(network, 60_000)) === undefined) {
    return { ...NOTHING, name: one.name, fault: one.fault, failures: ["the network was not healthy before the fault"] };
  }
  const load = new Load({ edgeUrl: network.edgeUrl, lineUrl: network.lineUrl, random, fault: one });
  const was = before(network);
  const watch = new RelayWatch(network);
  const failures: string[] = [];
  let tried = 0;
  const ground = groundOn(
    network,
    random,
    () => {
      tried += 1;
    },
    (what) => failures.push(what),
  );
  load.start();
  try {
    await wait(WARM_MS);
    await one.run(ground).catch((cause: unknown) => failures.push(`the fault could not be made: ${String(cause)}`));
    const boundMs = (one.healthySeconds ?? HEALTHY_SECONDS) * 1000;
    const healthyMs = await healthy(network, boundMs + 60_000);
    await load.stop();
    await load.settle();
    const left = await leftBehind(network, was);
    if (healthyMs === undefined) failures.push("not healthy again");
    else if (healthyMs > boundMs) failures.push(`healthy after ${Math.round(healthyMs)} ms, bound ${boundMs} ms`);
    if (load.lost.length > 0)
      failures.push(`${load.lost.length} lost or wrong: ${[...new Set(load.lost)].slice(0, 3).join("; ")}`);
    if (left.length > 0) failures.push(`left behind: ${left.join("; ")}`);
    if (watch.peakMiB > MEMORY_MIB)
      failures.push(`peak memory ${Math.round(watch.peakMiB)} MiB, bound ${MEMORY_MIB} MiB`);
    return {
      name: one.name,
      fault: one.fault,
      tried,
      calls: load.seen.total,
      seen: load.seen.counts,
      jobs: load.jobs.length,
      documents: load.documents.titles().length,
      lost: load.lost,
      answered: load.answered,
      worstMs: load.worstMs,
      memoryMiB: watch.peakMiB,
      memoryBoundMiB: MEMORY_MIB,
      healthyMs,
      leftBehind: left,
      failures,
    };
  } finally {
    watch.stop();
    load.close();
  }
}

const NOTHING = {
  tried: 0,
  calls: 0,
  seen: {},
  jobs: 0,
  documents: 0,
  lost: [],
  answered: 0,
  worstMs: 0,
  memoryMiB: 0,
  memoryBoundMiB: MEMORY_MIB,
  healthyMs: undefined,
  leftBehind: [],
  failures: [],
} as const;

/** @returns the time until every path has answered four times in a row, in ms; undefined after `withinMs` */
async function healthy(network: FaultNetwork, withinMs: number): Promise<number | undefined> {
  const from = performance.now();
  const paths = [network.edgeUrl, ...(network.lineUrl === undefined ? [] : [network.lineUrl])];
  const times = await Promise.all(paths.map((url) => healthyPath(network, url, from, withinMs)));
  return times.includes(undefined) ? undefined : Math.max(...times.map((time) => time!));
}

async function healthyPath(
  network: FaultNetwork,
  url: string,
  from: number,
  withinMs: number,
): Promise<number | undefined> {
  let row = 0;
  let since = 0;
  while (performance.now() - from < withinMs) {
    // A connection of its own each time: one that is kept may lead to what is gone.
    const client = new Client(url, "quiet");
    const sentAt = performance.now();
    const isReady = (await isServed(client)) && (await isAdminReady(network));
    client.close();
    if (!isReady) row = 0;
    else if (++row === 1) since = sentAt - from;
    if (row === IN_A_ROW) return Math.max(0, since);
    await wait(100);
  }
  return undefined;
}

/** One call of each kind: of the model server's two lanes, and a document that is stored, not only divided. */
export async function isServed(client: Pick<Client, "send">): Promise<boolean> {
  const chat = await client.send("POST", CHAT, { body: chatBody({ ms: 1, answer: "ok" }), timeoutMs: 2500 });
  if (chat.status !== 200) return false;
  const input = JSON.stringify({ model: "e", input: ["ok"] });
  const embedded = await client.send("POST", "/v1/embeddings", { body: input, timeoutMs: 2500 });
  if (embedded.status !== 200) return false;
  const text = JSON.stringify({ text: "ok" });
  const stored = await client.send("PUT", `/v1/documents?company=healthy&title=ok`, { body: text, timeoutMs: 2500 });
  return stored.status < 300 && /"stored":\s*true/.test(stored.text);
}

const isAdminReady = (network: FaultNetwork): Promise<boolean> =>
  fetch(`${network.adminUrl}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
    async (answer) => {
      await answer.arrayBuffer();
      return answer.status === 200;
    },
    () => false,
  );
