/** What the relay holds: memory, descriptors, slots, files. Seen from outside, by the system and its admin listener. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { pidOf } from "./ground.ts";
import type { FaultNetwork } from "./network.ts";

/** Memory in MiB (resident, and of that what is not a mapped file) and open descriptors; undefined when the process is not there or the system has no /proc. */
export function usageOf(pid: number): { memoryMiB: number; ownMiB: number; descriptors: number } | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const mib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) / 1024;
    return { memoryMiB: mib("VmRSS"), ownMiB: mib("RssAnon"), descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return undefined;
  }
}

/** Watches the relay's memory across its restarts. */
export class RelayWatch {
  peakMiB = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(network: FaultNetwork) {
    this.#timer = setInterval(() => {
      this.peakMiB = Math.max(this.peakMiB, usageOf(pidOf(network, "relay"))?.memoryMiB ?? 0);
    }, 200);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Gauges of the relay by name and labels, as the text of its metrics has them. @throws when it does not answer */
export async function metricsOf(network: FaultNetwork): Promise<Map<string, number>> {
  const answer = await fetch(`${network.adminUrl}/metrics`, { signal: AbortSignal.timeout(5000) });
  const lines = (await answer.text()).split("\n").filter((line) => !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

/** Gauges that are 0 in a relay without requests. */
const HELD =
  /^slm_(lane_running|lane_running_jobs|lane_waiting|lane_waiting_bytes|lane_waiting_jobs|memory_held_bytes|open_requests|open_streams)\b|^slm_jobs\{.*state="(queued|in_progress)"/;
/** Sockets that are kept for the next call, to model server, MongoDB and cloudflared, and a worker's files. */
const KEPT_DESCRIPTORS = 40;
const GONE_WITHIN_MS = 30_000;

/** What may be left behind without being a fault. */
export interface Before {
  readonly descriptors: number;
  /** Names of the Mac's processes, by launchd label. */
  readonly labels: readonly string[];
}

export function before(network: FaultNetwork): Before {
  return { descriptors: usageOf(pidOf(network, "relay"))?.descriptors ?? 0, labels: labelsOf(network) };
}

const labelsOf = ({ mac }: FaultNetwork) =>
  mac.mac.launchd
    .jobs()
    .map(({ definition }) => definition.label)
    .sort();

/** Leases that have not run out; 0 without a file. */
function leasesIn(file: string): number {
  if (!existsSync(file)) return 0;
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return Number(db.prepare("SELECT count(*) AS count FROM leases WHERE until > ?").get(Date.now())?.count ?? 0);
  } finally {
    db.close();
  }
}

/** Waits until nothing is held any more. @returns what is still there after 30 s */
export async function leftBehind(network: FaultNetwork, was: Before): Promise<string[]> {
  let left: string[] = [];
  for (const end = performance.now() + GONE_WITHIN_MS; performance.now() < end; await wait(250)) {
    left = await found(network, was).catch((cause: unknown) => [`the relay's metrics: ${String(cause)}`]);
    if (left.length === 0) break;
  }
  return left;
}

async function found(network: FaultNetwork, was: Before): Promise<string[]> {
  const metrics = await metricsOf(network);
  const held = [...metrics].filter(([name, value]) => HELD.test(name) && value !== 0);
  const left = held.map(([name, value]) => `${name} is ${value}`);
  const descriptors = usageOf(pidOf(network, "relay"))?.descriptors ?? 0;
  if (descriptors > was.descriptors + KEPT_DESCRIPTORS)
    left.push(`${descriptors} descriptors, ${was.descriptors} before`);
  for (const folder of [network.dataDir, network.configDir, join(network.mac.mac.root, "usr/local/slm-network")]) {
    const files = readdirSync(folder).filter((name) => /\.(new|incoming|former|tmp)$|\.broken$|-stand-in/.test(name));
    if (files.length > 0) left.push(`in ${folder}: ${files.join(", ")}`);
  }
  const leases = leasesIn(join(network.dataDir, "documents.sqlite"));
  if (leases > 0) left.push(`${leases} leases of documents`);
  const labels = labelsOf(network);
  if (labels.join() !== was.labels.join()) left.push(`daemons: ${labels.join(", ")}`);
  return left;
}
