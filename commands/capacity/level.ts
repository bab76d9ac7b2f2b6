/** One level of the sweep: so many requests are kept open at once, for a bounded time. */
import type { Call } from "./call.ts";
import { type Level, levelOf } from "./stats.ts";
import type { Question } from "./wire.ts";

/** How one level is measured. */
export interface LevelPlan {
  readonly atOnce: number;
  next(): Question;
  send(question: Question, signal: AbortSignal): Promise<Call>;
  /** Milliseconds that are measured at least, and at most. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** The warm-up ends when every request has begun to answer, or after this many ms. */
  readonly warmUpMs: number;
  /** Ends it early: Ctrl-C, the end of the time or the tokens. */
  readonly signal: AbortSignal;
  /** Told of every call that ended. */
  readonly onCall?: (call: Call) => void;
}

/** Answers of each request that a level waits for, within `mostMs`. */
const ROUNDS = 3;

/**
 * Keeps `atOnce` requests open until the window is long enough, then ends the rest.
 * @returns the level, and its calls; undefined when it was ended before anything could be measured
 */
export async function measureLevel(plan: LevelPlan): Promise<{ level: Level; calls: Call[] } | undefined> {
  const { atOnce, leastMs, mostMs, warmUpMs } = plan;
  const over = new AbortController();
  const signal = AbortSignal.any([plan.signal, over.signal]);
  const calls: Call[] = [];
  let ended = 0;
  let failedInRow = 0;
  const finished = Promise.withResolvers<void>();
  const warm = Promise.withResolvers<void>();
  const began = new Set<number>();
  const worker = async (index: number): Promise<void> => {
    while (!signal.aborted) {
      const call = await plan.send(plan.next(), signal);
      calls.push(call);
      plan.onCall?.(call);
      began.add(index);
      if (began.size === atOnce) warm.resolve();
      if (call.outcome === "done") {
        ended += 1;
        failedInRow = 0;
        if (ended >= (ROUNDS + 1) * atOnce) finished.resolve();
      } else if (call.outcome === "failed" || call.outcome === "refused") {
        failedInRow += 1;
        if (failedInRow >= 3 * atOnce) {
          warm.resolve();
          finished.resolve(); // it takes no more: the level says why
        }
        await pause(50, signal);
      }
    }
  };
  const workers = Array.from({ length: atOnce }, (_, index) => worker(index));
  signal.addEventListener("abort", () => {
    warm.resolve();
    finished.resolve();
  });
  await Promise.race([warm.promise, pause(warmUpMs, signal)]);
  const from = performance.now();
  await pause(leastMs, signal);
  await Promise.race([finished.promise, pause(Math.max(0, mostMs - leastMs), signal)]);
  const to = performance.now();
  over.abort();
  await Promise.all(workers);
  if (to - from < Math.min(leastMs, 1000) / 2) return undefined;
  return { level: levelOf(atOnce, calls, from, to), calls };
}

/** Resolves after `ms`, or when the signal fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
