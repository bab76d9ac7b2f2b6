/** The steps of a chart: every step of the period, also those without calls; a month by the reader's own days. Pure. */
import type { Format } from "./format.ts";
import type { UsageAnswer, UsagePoint } from "./page-data.ts";

export interface Step extends Omit<UsagePoint, "timed"> {
  readonly timed: number;
}

const HOUR_MS = 3_600_000;

/** @returns the steps, oldest first */
export function stepsOf(usage: UsageAnswer, format: Pick<Format, "dayKey">): Step[] {
  const known = new Map(usage.points.map((point) => [point.at, point]));
  const steps: Step[] = [];
  for (let at = usage.from; at < usage.to; at += usage.stepMs) steps.push(known.get(at) ?? emptyStep(at));
  return usage.span === "month" ? byDay(steps, format) : steps;
}

const emptyStep = (at: number): Step => ({
  at,
  calls: 0,
  failed: 0,
  refused: 0,
  tokensIn: 0,
  tokensOut: 0,
  firstTokenMs: null,
  waitMs: null,
  timed: 0,
});

/** Hours to days. The first day is left out unless it is whole. */
function byDay(hours: readonly Step[], { dayKey }: Pick<Format, "dayKey">): Step[] {
  const days = new Map<string, Step[]>();
  for (const hour of hours) {
    const key = dayKey(hour.at);
    const day = days.get(key);
    if (day === undefined) days.set(key, [hour]);
    else day.push(hour);
  }
  const [first] = hours;
  if (first !== undefined && dayKey(first.at - HOUR_MS) === dayKey(first.at)) days.delete(dayKey(first.at));
  return [...days.values()].map((all) => ({
    at: all[0]!.at,
    calls: sum(all, "calls"),
    failed: sum(all, "failed"),
    refused: sum(all, "refused"),
    tokensIn: sum(all, "tokensIn"),
    tokensOut: sum(all, "tokensOut"),
    firstTokenMs: weighted(all, "firstTokenMs"),
    waitMs: weighted(all, "waitMs"),
    timed: sum(all, "timed"),
  }));
}

const sum = (
  all: readonly Step[],
  field: "calls" | "failed" | "refused" | "tokensIn" | "tokensOut" | "timed",
): number => all.reduce((total, one) => total + one[field], 0);

function weighted(all: readonly Step[], field: "firstTokenMs" | "waitMs"): number | null {
  let [total, weight] = [0, 0];
  for (const one of all) {
    const value = one[field];
    if (value === null) continue;
    // A step with a time has at least one call behind it.
    total += value * Math.max(1, one.timed);
    weight += Math.max(1, one.timed);
  }
  return weight === 0 ? null : total / weight;
}
