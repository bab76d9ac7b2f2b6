/**
 * The knee of a sweep: how many requests at once give nearly all the tokens per second that the server has, before more of
 * them only wait. Pure.
 *
 * Throughput decides (output tokens per second of the whole server): the fewest at once that reach 90 % of the best. From
 * there it goes up as long as one more adds at least 60 % of what it would on a server without a bound: such a server still
 * has a slot for it. The time to the first token is the guard: where it has jumped, requests wait inside the server.
 */
import type { Level } from "./stats.ts";

/** Part of the best throughput that is enough. */
export const ENOUGH = 0.9;
/** Part of a proportional gain that one more request must bring. */
const WORTH = 0.6;
/** Growth of throughput that counts as growth while doubling. */
const GROWS = 1.08;

type Point = Pick<Level, "atOnce" | "tokensPerSecond" | "ttft" | "writing">;

const byAtOnce = (levels: readonly Point[]): Point[] => [...levels].sort((a, b) => a.atOnce - b.atOnce);

/** What the knee must keep to. */
export interface KneeBounds {
  /** The time to the first token (p90, ms) that the owner wants at most. */
  readonly ttftMs?: number | undefined;
  /** Requests that the server itself says it takes at once: what is over that waits, whatever a noisy measure says. */
  readonly slots?: number | undefined;
}

/**
 * The slots that the server shows: where clearly more requests were open than answers were ever written at once, the rest
 * waited. @returns undefined where nothing waited
 */
export function slotsSeen(levels: readonly Point[]): number | undefined {
  const most = Math.max(0, ...levels.map(({ writing }) => writing));
  // Long questions leave little time in which answers are written: with few more open than slots one may never be seen.
  return most > 0 && levels.some(({ atOnce }) => atOnce >= 2 * most) ? most : undefined;
}

/** The bounds with what the server shows, where it does not say it. */
function known(levels: readonly Point[], bounds: KneeBounds): KneeBounds {
  return { ...bounds, slots: bounds.slots ?? slotsSeen(levels) };
}

const within = ({ ttft, atOnce }: Point, { ttftMs, slots }: KneeBounds): boolean =>
  (ttftMs === undefined || ttft.p90 <= ttftMs) && (slots === undefined || atOnce <= slots);

/** Whether one more step up from `low` to `high` is worth it. */
const worth = (low: Point, high: Point): boolean =>
  high.tokensPerSecond >= low.tokensPerSecond * (1 + WORTH * (high.atOnce / low.atOnce - 1));

/** @returns the level at the knee; the first one when even that is over the bound; undefined of no levels */
export function knee<T extends Point>(levels: readonly T[], bounds: KneeBounds = {}): T | undefined {
  const sorted = byAtOnce(levels) as T[];
  const all = known(levels, bounds);
  const allowed = sorted.filter((level) => within(level, all));
  if (allowed.length === 0) return sorted[0];
  const best = Math.max(...allowed.map(({ tokensPerSecond }) => tokensPerSecond));
  let at = allowed.findIndex(({ tokensPerSecond }) => tokensPerSecond >= ENOUGH * best);
  for (let next = allowed[at + 1]; next !== undefined && worth(allowed[at]!, next); next = allowed[at + 1]) at += 1;
  return allowed[at];
}

/** While doubling: whether the last step is still worth another one. */
export function stillGrows(levels: readonly Point[], bounds: KneeBounds = {}): boolean {
  const sorted = byAtOnce(levels);
  const last = sorted.at(-1);
  if (last === undefined) return true;
  if (!within(last, bounds)) return false;
  const before = sorted.slice(0, -1).map(({ tokensPerSecond }) => tokensPerSecond);
  return before.length === 0 || last.tokensPerSecond >= GROWS * Math.max(...before);
}

/** @returns the next number at once to measure around the knee, or undefined when its neighbours are known */
export function refine(levels: readonly Point[], bounds: KneeBounds = {}): number | undefined {
  const at = knee(levels, bounds);
  if (at === undefined) return undefined;
  const sorted = byAtOnce(levels).map(({ atOnce }) => atOnce);
  const index = sorted.indexOf(at.atOnce);
  const [below, above] = [sorted[index - 1] ?? 0, sorted[index + 1]];
  if (at.atOnce - below > 1) return Math.ceil((at.atOnce + below) / 2);
  const best = Math.max(...levels.map(({ tokensPerSecond }) => tokensPerSecond));
  const couldPay = best >= at.tokensPerSecond * (1 + WORTH / at.atOnce);
  const { slots } = known(levels, bounds);
  if (couldPay && (slots === undefined || at.atOnce < slots) && above !== undefined && above - at.atOnce > 1)
    return Math.floor((at.atOnce + above) / 2);
  // From where on requests only wait is told as well: half as many again is near enough.
  const beyond = at.atOnce + Math.ceil(at.atOnce / 2);
  return above !== undefined && beyond < above ? beyond : undefined;
}
