/** Whether a measured quantity stays flat over time. Pure. */

/** A value at a time, in minutes. */
export interface Sample {
  readonly minute: number;
  readonly value: number;
}

/**
 * The median of the slopes between all pairs of samples, per minute (Theil and Sen): a few samples taken right after a fault do
 * not bend it, as they would a line through two points or of least squares.
 */
export function slopeOf(samples: readonly Sample[]): number {
  const slopes = samples.flatMap((one, index) =>
    samples.slice(index + 1).map((other) => (other.value - one.value) / (other.minute - one.minute)),
  );
  return median(slopes);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/**
 * The least sample of each half minute. What is held rises and falls with the load, with faults and with collections of garbage;
 * what is never given back raises the least of it.
 */
export function leastOf(samples: readonly Sample[]): Sample[] {
  const least = new Map<number, Sample>();
  for (const one of samples) {
    const half = Math.floor(one.minute * 2);
    const before = least.get(half);
    if (before === undefined || one.value < before.value) least.set(half, one);
  }
  return [...least.values()];
}

/**
 * Judges the second half of a run: in the first one caches and pools are filled, and V8 sizes its heap.
 * @param allowed growth over the whole judged part that counts as flat
 * @returns the problem; undefined: it is flat
 */
export function growth(what: string, samples: readonly Sample[], allowed: number): string | undefined {
  const least = leastOf(samples);
  const end = least.at(-1)?.minute ?? 0;
  const judged = least.filter(({ minute }) => minute >= end / 2);
  const [first, last] = [judged.at(0), judged.at(-1)];
  if (first === undefined || last === undefined || judged.length < 5) return `${what}: too few samples to judge`;
  const grown = slopeOf(judged) * (last.minute - first.minute);
  if (grown <= allowed) return undefined;
  const minutes = (last.minute - first.minute).toFixed(0);
  return `${what} grew by ${grown.toFixed(1)} in ${minutes} minutes, from ${median(judged.slice(0, 5).map(({ value }) => value)).toFixed(0)}; ${allowed} counts as flat`;
}

/** What must stay flat, and its growth over the judged half that is noise. */
export const FLAT = {
  /** The heap of the main thread after a full collection, and what its buffers hold. Requests in flight hold some of it. */
  heldMiB: 4,
  /** Memory that is not a mapped file, right after a full collection: allocators give freed pages back late. */
  ownMiB: 16,
  /** Without connections. A thread that is started late opens five, a file of SQLite three. */
  descriptors: 6,
  /** Without connections: timers of the process, threads. */
  handles: 6,
} as const;
export type FlatQuantity = keyof typeof FLAT;

/** @returns the problems of a soak run; empty: everything is flat */
export function notFlat(samples: Readonly<Record<FlatQuantity, readonly Sample[]>>): string[] {
  return Object.entries(FLAT).flatMap(([what, allowed]) => growth(what, samples[what as FlatQuantity], allowed) ?? []);
}
