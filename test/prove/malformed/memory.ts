/** Judges the relay's memory over malformed requests. Pure. */
import { UNCOUNTED_MIB } from "../measure/bound.ts";

/** Samples over the run, evenly, in MiB. */
export interface MemorySamples {
  /** Resident memory before the first request. */
  readonly restMiB: number;
  /** What the main thread holds after a full collection of garbage: its heap, and the memory of its buffers. */
  readonly heldMiB: readonly number[];
  /** Resident memory of the process, right after that collection. */
  readonly residentMiB: readonly number[];
}

/**
 * What the second half may hold above the first one: metrics of new combinations of labels, compiled code. The least samples of
 * the halves are compared: a sample also has the requests that are in flight, such as a body of 8 MiB.
 */
const HELD_GROWTH_MIB = 8;
/** Fewer say nothing about growth. */
const LEAST_SAMPLES = 4;

/**
 * @param budgetMiB `limits.memoryMiB`
 * @returns the problems. Resident memory has a bound, as in the attacks, and need not be flat: malloc and V8 keep freed pages for
 * the next burst. Measured over 80,000 requests: resident 408 MiB after 10,000, 505 after 50,000, and no more than 508 from
 * then on. Of these 508, 199 are free in malloc's arenas, which has 24 in use (22 after 10,000); 74 are mapped files; V8's heaps
 * have 81 free (67 after 10,000), mostly their young generations, which `--max-semi-space-size` bounds.
 */
export function memoryFaults({ restMiB, heldMiB, residentMiB }: MemorySamples, budgetMiB: number): string[] {
  const faults: string[] = [];
  const half = Math.ceil(heldMiB.length / 2);
  const [first, second] = [Math.min(...heldMiB.slice(0, half)), Math.min(...heldMiB.slice(half))];
  if (heldMiB.length < LEAST_SAMPLES) faults.push(`too few samples of what the relay holds: ${shown(heldMiB)} MiB`);
  else if (second > first + HELD_GROWTH_MIB) {
    faults.push(`what the relay holds grows: ${shown(heldMiB)} MiB; ${HELD_GROWTH_MIB} count as flat`);
  }
  const most = budgetMiB + restMiB + UNCOUNTED_MIB;
  if (Math.max(...residentMiB) > most) {
    faults.push(`the relay's memory is over ${most.toFixed(0)} MiB: ${shown(residentMiB)}`);
  }
  return faults;
}

export const shown = (samples: readonly number[]): string => samples.map((value) => value.toFixed(0)).join(", ");
