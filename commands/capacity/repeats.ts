/** The same level measured several times: on a machine that is not quiet one window says little, the median of several more. Pure. */
import { type Level, quantile } from "./stats.ts";

/** Standard deviations of a normal distribution in its median absolute deviation. */
const SIGMAS = 1.4826;
/** Standard error of a median, over the one of a mean. */
const OF_MEDIAN = 1.2533;

/** Fewest and most windows of a level around the knee. */
export const LEAST_RUNS = 3;
export const MOST_RUNS = 7;
/** A level is settled when the standard error of its throughput is at most this part of it. */
const SETTLED = 0.03;

/** The middle value; of an even number the mean of the two. */
export function median(values: readonly number[]): number {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (known.length === 0) return Number.NaN;
  const half = known.length / 2;
  return Number.isInteger(half) ? (known[half - 1]! + known[half]!) / 2 : known[Math.floor(half)]!;
}

/**
 * One level out of its windows: rates and times are medians, counts are sums.
 * @param runs of one `atOnce`, at least one
 */
export function merged(runs: readonly Level[]): Level {
  const [first] = runs;
  if (first === undefined) throw new Error("no window of a level");
  if (runs.length === 1) return first;
  const middle = (of: (level: Level) => number) => median(runs.map(of));
  const sum = (of: (level: Level) => number) => runs.reduce((total, level) => total + of(level), 0);
  const why = runs.find((level) => level.why !== undefined)?.why;
  const rates = runs.map(({ tokensPerSecond }) => tokensPerSecond);
  return {
    atOnce: first.atOnce,
    tokensPerSecond: median(rates),
    perAnswer: middle(({ perAnswer }) => perAnswer),
    ttft: {
      p50: middle(({ ttft }) => ttft.p50),
      p90: middle(({ ttft }) => ttft.p90),
      p99: middle(({ ttft }) => ttft.p99),
    },
    requestsPerSecond: middle(({ requestsPerSecond }) => requestsPerSecond),
    finished: sum(({ finished }) => finished),
    refused: sum(({ refused }) => refused),
    failed: sum(({ failed }) => failed),
    seconds: sum(({ seconds }) => seconds),
    writing: Math.max(...runs.map(({ writing }) => writing)),
    runs: runs.length,
    // Half the range of the middle half, of few windows of all: one that was disturbed is not the method's spread.
    spread: (quantile(rates, 0.75) - quantile(rates, 0.25)) / 2 / Math.max(1e-9, median(rates)),
    ...(why !== undefined && { why }),
  };
}

/** Whether one more window would say little more. */
export function isSettled(runs: readonly Level[]): boolean {
  if (runs.length >= MOST_RUNS) return true;
  if (runs.length < LEAST_RUNS) return false;
  const rates = runs.map(({ tokensPerSecond }) => tokensPerSecond);
  const middle = median(rates);
  const deviation = SIGMAS * median(rates.map((rate) => Math.abs(rate - middle)));
  return (OF_MEDIAN * deviation) / Math.sqrt(rates.length) <= SETTLED * middle;
}
