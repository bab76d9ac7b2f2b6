/** What follows from a sweep: settings, users, waits, a day's tokens, and what a cloud would charge. Pure. */
import type { Level } from "./stats.ts";

/** What the owner says about the users and the clouds. */
export interface Assumptions {
  /** Questions that one user asks in an hour. */
  readonly questionsPerHour: number;
  /** Price of a million output tokens elsewhere, in the owner's currency; absent: not calculated. */
  readonly pricePerMillion?: number | undefined;
  readonly currency: string;
}

/** What to do with the result. */
export interface Advice {
  /** For `limits.chat` and, with Ollama, `OLLAMA_NUM_PARALLEL`. */
  readonly atOnce: number;
  /** Users that the Mac serves at their rate of questions, with the slots 70 % busy, so that few wait. */
  readonly users: number;
  /** Mean wait for a slot at that many users, in ms. */
  readonly waitMs: number;
  /** The same at twice the users; undefined: the queue would grow without end. */
  readonly waitAtTwiceMs: number | undefined;
  readonly tokensPerDay: number;
  /** What that many output tokens would cost elsewhere. */
  readonly costPerDay: number | undefined;
}

/** Part of the time that the slots are busy with as many users as are recommended. */
export const BUSY = 0.7;

/**
 * Probability that a request has to wait, of a queue with `servers` servers and `load` requests' worth of work in progress
 * on average (Erlang C). @returns 1 when the load is not bearable
 */
export function erlangC(servers: number, load: number): number {
  if (load >= servers) return 1;
  // By the recurrence of Erlang B, which does not overflow.
  let blocked = 1;
  for (let n = 1; n <= servers; n += 1) blocked = (load * blocked) / (n + load * blocked);
  return blocked / (1 - (load / servers) * (1 - blocked));
}

/** Mean wait in ms of a queue with that many servers; undefined: it grows without end. */
export function meanWaitMs(servers: number, requestsPerSecond: number, serviceMs: number): number | undefined {
  const load = (requestsPerSecond * serviceMs) / 1000;
  if (load >= servers) return undefined;
  return (erlangC(servers, load) * serviceMs) / (servers - load);
}

/** @param level at the knee @param answerTokens of a usual answer */
export function advise(level: Level, answerTokens: number, assumptions: Assumptions): Advice {
  const { questionsPerHour, pricePerMillion } = assumptions;
  const requestsPerSecond = level.tokensPerSecond / Math.max(1, answerTokens);
  const serviceMs = (level.atOnce * 1000) / Math.max(1e-9, requestsPerSecond); // Little's law
  const ofOneUser = questionsPerHour / 3600;
  const users = Math.floor((BUSY * requestsPerSecond) / ofOneUser);
  const tokensPerDay = Math.round(level.tokensPerSecond * 86_400);
  return {
    atOnce: level.atOnce,
    users,
    waitMs: meanWaitMs(level.atOnce, users * ofOneUser, serviceMs) ?? 0,
    waitAtTwiceMs: meanWaitMs(level.atOnce, 2 * users * ofOneUser, serviceMs),
    tokensPerDay,
    costPerDay: pricePerMillion === undefined ? undefined : (tokensPerDay * pricePerMillion) / 1e6,
  };
}
