/**
 * `npm run bench -- --peers`: the relay beside other gateways, in one run, rounds interleaved. The relay checks a token of each
 * request and queues; the others pass on. A table, `--json`, and with `--svg FILE` the picture of the docs.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildRelay } from "../../built-relay.ts";
import { createAccess } from "../access.ts";
import type { Values } from "../measures.ts";
import { startNode, startRelay, type Target } from "../targets.ts";
import { firstToken, latency, type Origin, overload, PATIENCE, streams } from "./measures.ts";
import { type Peers, pictureOf, tableOf } from "./report.ts";
import { type Peer, startPeers } from "./targets.ts";

/** How it is run. */
export interface PeersOptions {
  readonly quick: boolean;
  readonly json: boolean;
  /** Where the picture goes. */
  readonly svg?: string | undefined;
}

const note = (text: string) => process.stderr.write(`${text}\n`);

async function originOf(url: string): Promise<Origin> {
  const state = async () =>
    (await (await fetch(`${url}/bench`)).json()) as { slots: number; serviceMs: number; wasted: number };
  const { slots, serviceMs } = await state();
  return { slots, serviceMs, wasted: async () => (await state()).wasted };
}

/** Runs the comparison and prints it. */
export async function benchPeers({ quick, json, svg }: PeersOptions): Promise<void> {
  const [rounds, seconds] = quick ? [2, 1.5] : [5, 4];
  const folder = await mkdtemp(join(tmpdir(), "slm-peers-"));
  const running: Target[] = [];
  const keep = <T extends Target>(target: T): T => {
    running.push(target);
    return target;
  };
  const bare = (target: Target): Peer => ({ ...keep(target), headers: {} });
  const results = new Map<string, Values[]>();
  let unavailable: Peers["unavailable"] = [];
  try {
    const access = createAccess(6000);
    const token = () => access.token();
    const program = await buildRelay(folder);
    const direct = bare(await startNode("direct", "peers/origin.ts"));
    const origin = await originOf(direct.url);
    note("starting the gateways (the first time they are installed, which takes minutes)");
    const started = await startPeers(folder, direct.url);
    unavailable = started.flatMap((one) => ("unavailable" in one ? [one] : []));
    for (const { name, unavailable: why } of unavailable) note(`${name} is left out: ${why}`);
    const others = started.flatMap((one) => ("unavailable" in one ? [] : [keep(one)]));
    const proxy = bare(await startNode("bare node proxy", "bare-proxy.ts", direct.url));
    const relay = bare(await startRelay(folder, program, direct.url, access));
    // With as many slots as the origin has, and a wait well below the callers' own time-out: what an owner would set.
    const patience = Math.max(1, Math.floor((PATIENCE * origin.serviceMs) / 2000));
    const queueing = {
      ...bare(await startRelay(folder, program, direct.url, access, origin.slots, patience)),
      name: "relay",
    };
    const all = [direct, proxy, relay, ...others];
    const add = (name: string, values: Values) => results.set(name, [...(results.get(name) ?? []), values]);
    note("warming up");
    for (const target of all) await latency(target, { token, seconds: 2 });
    for (let round = 0; round < rounds; round += 1) {
      note(`round ${round + 1} of ${rounds}`);
      for (const [at] of all.entries()) {
        const target = all[(at + round) % all.length]!;
        for (const measure of [latency, firstToken, streams])
          add(target.name, await measure(target, { token, seconds }));
        const tokens = { quiet: token, noisy: access.loud.token };
        add(target.name, await overload(target.name === "relay" ? queueing : target, tokens, origin, seconds));
      }
    }
  } finally {
    await Promise.all(running.map((target) => target.stop().catch(() => {})));
    await rm(folder, { recursive: true, force: true });
  }
  const peers: Peers = {
    at: new Date().toISOString().slice(0, 10),
    rounds,
    seconds,
    medians: mediansOf(results),
    unavailable,
  };
  if (json) console.log(JSON.stringify(peers, undefined, 2));
  else console.log(tableOf(peers));
  if (svg !== undefined) await writeFile(svg, pictureOf(peers));
}

function mediansOf(results: ReadonlyMap<string, readonly Values[]>): Peers["medians"] {
  return Object.fromEntries(
    [...results].map(([name, measured]) => {
      const names = [...new Set(measured.flatMap((values) => Object.keys(values)))];
      const values = names.map((value) => {
        const known = measured.flatMap((one) => (Number.isFinite(one[value]) ? [one[value]!] : []));
        return [value, middle(known)] as const;
      });
      return [name, Object.fromEntries(values)];
    }),
  );
}

/** The median; of an even number the mean of the two in the middle. */
function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
