/** The fault cases of one run, on one network. */
import { seeded } from "../measure/random.ts";
import type { FaultCase } from "./fault.ts";
import { FAULTS } from "./faults.ts";
import { startFaultNetwork } from "./network.ts";
import { type FaultVerdict, runFault } from "./run.ts";

/** What a case takes with its way back, on the average; and the start of the network with the second store. */
export const FAULT_SECONDS = 22;
export const START_SECONDS = 75;

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
