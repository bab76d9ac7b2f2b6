/** How long the callers' prompts and answers are, by rows of the ledger. Pure. */

/** Half of the values are at most `p50`, nine tenths at most `p90`. */
export interface LengthQuantiles {
  readonly p50: number;
  readonly p90: number;
}

/** Lengths in tokens. */
export interface Lengths {
  /** Answers that they are taken from. */
  readonly calls: number;
  readonly prompt: LengthQuantiles;
  readonly answer: LengthQuantiles;
}

/** Newest answers that are looked at: enough for the quantiles, and read within milliseconds. */
export const LENGTHS_OF = 20_000;

/** @param rows one for each answer of a language model @returns undefined of none */
export function lengthsOf(rows: readonly { readonly prompt: number; readonly answer: number }[]): Lengths | undefined {
  if (rows.length === 0) return undefined;
  const quantiles = (values: number[]): LengthQuantiles => {
    values.sort((a, b) => a - b);
    const at = (share: number) => values[Math.ceil(share * values.length) - 1]!;
    return { p50: at(0.5), p90: at(0.9) };
  };
  return {
    calls: rows.length,
    prompt: quantiles(rows.map(({ prompt }) => prompt)),
    answer: quantiles(rows.map(({ answer }) => answer)),
  };
}
