/** The fault cases of one run, on one network. */
import { seeded } from "../measure/random.ts";
import type { FaultCase } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { startFaultNetwork } from "./network.ts";
import { type FaultVerdict, runFault } from "./run.ts";

/** What a case takes with its way back, on the average; and the start of the network with the second store. */
const FAULT_SECONDS = 26;
const START_SECONDS = 75;
/** The quiet caller alone, before the attacks. */
export const REST_SECONDS = 10;
/** Start, warm-up, the answers still to come and the end of an attack, beside what is measured. */
const AROUND_SECONDS = 4;
const MOST_ATTACK_SECONDS = 30;
/** An attack needs so long to take effect. */
export const LEAST_ATTACK_SECONDS = 4;
/** What a run chooses without `--only`: faults with `--quick`, pairs of attacks without. */
export const QUICK_FAULTS = 3;
export const RANDOM_PAIRS = 6;
/** Minutes of a run without `--minutes`, in which everything it chooses has room. */
export const MINUTES = { quick: 5, all: 30 } as const;

/** What the faults of a run take, in seconds. */
export const faultSecondsOf = (faults: number): number => (faults === 0 ? 0 : START_SECONDS + faults * FAULT_SECONDS);

/** Seconds that each attack is measured, so that attacks and faults fit into the run. May be below `LEAST_ATTACK_SECONDS`. */
export const attackSecondsOf = (minutes: number, attacks: number, faults: number): number =>
  Math.min(MOST_ATTACK_SECONDS, (minutes * 60 - REST_SECONDS - faultSecondsOf(faults)) / attacks - AROUND_SECONDS);

/** @returns undefined when no case has the name */
export const faultNamed = (name: string): FaultCase | undefined => FAULTS.find((one) => one.name === name);

/** `count` of the cases, chosen by the seed, in the order of the table. */
export function some<T>(count: number, seed: number, of: readonly T[]): T[] {
  const random = seeded(seed);
  const left = [...of];
  while (left.length > count) left.splice(Math.floor(random() * left.length), 1);
  return left;
}

/** @param note gets a line for each case @returns what ran, and the names of those that no time was left for */
export async function runFaults(
  cases: readonly FaultCase[],
  { seed, deadline }: { seed: number; deadline: number },
  note: (text: string) => void,
): Promise<{ verdicts: FaultVerdict[]; left: string[] }> {
  const network = await startFaultNetwork();
  const verdicts: FaultVerdict[] = [];
  const left: string[] = [];
  try {
    for (const one of cases) {
      if (performance.now() > deadline) {
        left.push(one.name);
        continue;
      }
      const verdict = await runFault(network, one, seed);
      const { failures, skipped } = verdict;
      note(`${one.name}: ${skipped ?? (failures.length === 0 ? "holds" : failures.join("; "))}`);
      verdicts.push(verdict);
    }
  } finally {
    await network.stop();
  }
  return { verdicts, left };
}
