/** Reproducible randomness. */

export interface Random {
  readonly seed: number;
  /** At least 0, below 1. */
  next(): number;
  /** A whole number, `from` and `to` included. */
  between(from: number, to: number): number;
  pick<T>(of: readonly T[]): T;
}

/** `DRILL_SEED`, or a random one; printed, so that a run can be repeated. */
export function seeded(name: string): Random {
  const seed = Number(process.env.DRILL_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`${name}: seed ${seed} (DRILL_SEED=${seed} repeats it)`);
  return randomOf(seed);
}

/** The same numbers for the same seed. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return { seed, next, between, pick: (of) => of[between(0, of.length - 1)]! };
}

/** `DRILL_ROUNDS`, or `usual`. */
export function rounds(usual: number): number {
  return Number(process.env.DRILL_ROUNDS ?? usual);
}
