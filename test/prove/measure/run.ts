/** Runs one case (or two at once) against a fresh relay, and the same without an attack. */
import { type ChildProcess, fork } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { AttackOutcome, Case } from "../case.ts";
import { judge, LEAST_NOISE_MS, type Rest, type Verdict } from "./bound.ts";
import type { FromAttacker, ToAttacker } from "./messages.ts";
import { ended, type Network } from "./network.ts";
import { folderMiB, MemoryWatch, quantile } from "./process.ts";
import { Quiet } from "./quiet.ts";
import type { RelayProcess } from "./relay.ts";

/** Preparations of an attack take no longer. */
const PREPARE_MS = 20_000;
const DISK_EVERY_MS = 500;

/** The largest size seen of the files, in MiB. */
class DiskWatch {
  jobsMiB = 0;
  documentsMiB = 0;
  readonly #dataDir: string;
  readonly #timer: NodeJS.Timeout;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
    this.#timer = setInterval(() => void this.look(), DISK_EVERY_MS);
  }

  async look(): Promise<void> {
    this.jobsMiB = Math.max(this.jobsMiB, await folderMiB(this.#dataDir, "jobs."));
    this.documentsMiB = Math.max(this.documentsMiB, await folderMiB(this.#dataDir, "documents."));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.look();
  }
}

/** The attacker's process. */
class Attack {
  readonly #child: ChildProcess;
  readonly #begun = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<{ outcome: AttackOutcome; failure?: string }>();

  constructor(told: ToAttacker) {
    this.#child = fork(join(import.meta.dirname, "attacker-process.ts"), {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child.on("message", (message: FromAttacker) => {
      this.#begun.resolve();
      if (message.kind === "ended") this.#ended.resolve(message);
    });
    this.#child.once("exit", (code) => {
      this.#begun.resolve();
      this.#ended.resolve({ outcome: { requests: 0, statuses: {} }, failure: `the attacker ended with ${code}` });
    });
    this.#child.send(told);
  }

  async begun(): Promise<void> {
    await Promise.race([this.#begun.promise, wait(PREPARE_MS)]);
  }

  async stop(): Promise<{ outcome: AttackOutcome; failure?: string }> {
    if (this.#child.connected) this.#child.send("stop");
    const late = wait(10_000, { outcome: { requests: 0, statuses: {} }, failure: "the attack did not end" });
    const ending = await Promise.race([this.#ended.promise, late]);
    await ended(this.#child);
    return ending;
  }
}

/** How long a case is measured, and how it is seeded. */
export interface Timing {
  readonly seconds: number;
  readonly seed: number;
  /** Allowed for the machine at the least, in ms. @default LEAST_NOISE_MS */
  readonly noiseMs?: number;
}

/** Runs the cases at once, with one token. Never throws for what the relay does. */
export async function runCase(
  network: Network,
  cases: readonly Case[],
  { seconds, seed, noiseMs = LEAST_NOISE_MS }: Timing,
  rest: Rest,
): Promise<Verdict> {
  const relay = await network.relay();
  const quiet = quietFor(network, cases);
  const memory = new MemoryWatch(relay.pid);
  const disk = new DiskWatch(relay.dataDir);
  const broken: string[] = [];
  let attack: Attack | undefined;
  try {
    await quiet.warmUp();
    memory.reset();
    attack = new Attack({ edgeUrl: network.edgeUrl, cases: cases.map(({ name }) => name), seed });
    quiet.start();
    await attack.begun();
    await Promise.race([wait(seconds * 1000), relayEnds(relay)]);
    await quiet.finish();
    const { outcome, failure } = await attack.stop();
    attack = undefined;
    if (failure !== undefined) broken.push(`the attack failed: ${failure}`);
    if (relay.ended() === undefined) await quiet.afterwards();
    const memoryMiB = memory.peakMiB();
    await disk.stop();
    const over = relay.ended();
    if (over !== undefined) broken.push(over);
    const { jobsMiB, documentsMiB } = disk;
    return judge(cases, { seen: quiet.seen, outcome, memoryMiB, jobsMiB, documentsMiB, broken }, rest, noiseMs);
  } finally {
    await attack?.stop();
    memory.stop();
    await disk.stop();
    await stopped(relay);
  }
}

/** The quiet caller alone, for `seconds`. */
export async function measureRest(network: Network, seconds: number): Promise<Rest> {
  const relay = await network.relay();
  const quiet = quietFor(network, []);
  const memory = new MemoryWatch(relay.pid);
  try {
    await quiet.warmUp();
    memory.reset();
    quiet.start();
    await wait(seconds * 1000);
    await quiet.finish();
    await quiet.afterwards();
    const { waits, controlWaits, wrong } = quiet.seen;
    if (wrong.length > 0) throw new Error(`without an attack answers are wrong: ${wrong.join(", ")}`);
    return { p99Ms: Math.max(quantile(waits, 0.99), quantile(controlWaits, 0.99)), memoryMiB: memory.peakMiB() };
  } finally {
    memory.stop();
    await stopped(relay);
  }
}

function quietFor({ edgeUrl }: Network, cases: readonly Case[]): Quiet {
  const asCompany = cases.some(({ quietIs }) => quietIs === "company");
  const also = [...new Set(cases.flatMap(({ quietAlso = [] }) => quietAlso))];
  return asCompany
    ? new Quiet({ edgeUrl, token: "attacker", company: "quiet", also })
    : new Quiet({ edgeUrl, token: "quiet", also });
}

async function relayEnds(relay: RelayProcess): Promise<void> {
  while (relay.ended() === undefined) await wait(100, undefined, { ref: false });
}

async function stopped(relay: RelayProcess): Promise<void> {
  await relay.stop();
  await rm(relay.dataDir, { recursive: true, force: true });
}
