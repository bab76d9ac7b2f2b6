/** Numbers of one level of concurrency, out of its calls. Pure. */
import type { Call } from "./call.ts";

/** What one level showed. Times in ms. */
export interface Level {
  /** Requests that were kept open at once. */
  readonly atOnce: number;
  /** Output tokens of the whole server per second. */
  readonly tokensPerSecond: number;
  /** Output tokens per second that 90 % of the answers reach while they are written. */
  readonly perAnswer: number;
  /** Time to the first token. */
  readonly ttft: Quantiles;
  readonly requestsPerSecond: number;
  readonly finished: number;
  readonly refused: number;
  readonly failed: number;
  /** Seconds that were measured, without the warm-up. */
  readonly seconds: number;
  /** Answers that were being written at the same time for some of it: never more than the server computes at once. */
  readonly writing: number;
  /** Windows that the numbers are medians of. */
  readonly runs: number;
  /** Half the distance between the windows' quartiles of throughput, as a part of it; 0 of one window. */
  readonly spread: number;
  /** Why requests failed or were refused, one example. */
  readonly why?: string | undefined;
}

/** Of a set of times. */
export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** @returns the q-quantile (nearest rank); NaN of nothing */
export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export const quantiles = (values: readonly number[]): Quantiles => ({
  p50: quantile(values, 0.5),
  p90: quantile(values, 0.9),
  p99: quantile(values, 0.99),
});

/** Tokens that came between `from` and `to`: pieces are weighed, since one may carry several tokens. */
export function tokensBetween({ pieces, outputTokens, outcome }: Call, from: number, to: number): number {
  const inside = pieces.filter((at) => at >= from && at < to).length;
  const weight = outcome === "done" && pieces.length > 0 ? outputTokens / pieces.length : 1;
  return inside * weight;
}

/** Part of the window for which answers must be written at the same time to count as that many. */
const SOME_TIME = 0.02;

/**
 * Answers that are being written at the same time, each from its first token to its last. Queueing shows here without any
 * measure of speed: a server of two slots never writes three answers at once, however many are open.
 */
export function writingAtOnce(calls: readonly Call[], from: number, to: number): number {
  const edges = calls.flatMap(({ pieces }) => {
    const [start, end] = [Math.max(from, pieces[0] ?? to), Math.min(to, pieces.at(-1) ?? from)];
    return start < end
      ? [
          { at: start, step: 1 },
          { at: end, step: -1 },
        ]
      : [];
  });
  edges.sort((a, b) => a.at - b.at || a.step - b.step);
  const time: number[] = [];
  let [count, since] = [0, from];
  for (const { at, step } of edges) {
    time[count] = (time[count] ?? 0) + at - since;
    count += step;
    since = at;
  }
  let above = 0;
  for (let n = time.length - 1; n > 0; n -= 1) {
    above += time[n] ?? 0;
    if (above >= SOME_TIME * (to - from)) return n;
  }
  return 0;
}

/** Sums up the calls of one level that were open between `from` and `to`. */
export function levelOf(atOnce: number, calls: readonly Call[], from: number, to: number): Level {
  const seconds = Math.max(1e-3, (to - from) / 1000);
  const tokens = calls.reduce((sum, one) => sum + tokensBetween(one, from, to), 0);
  const first = calls.flatMap(({ startedAt, pieces: [at] }) =>
    at !== undefined && startedAt >= from - 1 ? [at - startedAt] : [],
  );
  // In a short window every request may have begun before it: then those that wrote in it count.
  const anyFirst = calls.flatMap(({ startedAt, pieces: [at] }) => (at !== undefined ? [at - startedAt] : []));
  const rates = calls.flatMap(({ pieces, outputTokens, outcome }) => {
    const [start, end] = [pieces[0], pieces.at(-1)];
    if (start === undefined || end === undefined || pieces.length < 3 || end <= start) return [];
    const tokensAfterFirst = (outcome === "done" ? outputTokens : pieces.length) - 1;
    return [(tokensAfterFirst * 1000) / (end - start)];
  });
  const ended = calls.filter(({ outcome, endedAt }) => outcome === "done" && endedAt >= from && endedAt < to);
  const wrong = calls.filter(({ outcome }) => outcome === "failed" || outcome === "refused");
  return {
    atOnce,
    tokensPerSecond: tokens / seconds,
    perAnswer: quantile(rates, 0.1),
    ttft: quantiles(first.length >= 3 ? first : anyFirst),
    requestsPerSecond: ended.length / seconds,
    finished: ended.length,
    refused: wrong.filter(({ outcome }) => outcome === "refused").length,
    failed: wrong.filter(({ outcome }) => outcome === "failed").length,
    seconds,
    writing: writingAtOnce(calls, from, to),
    runs: 1,
    spread: 0,
    why: wrong[0]?.why,
  };
}
