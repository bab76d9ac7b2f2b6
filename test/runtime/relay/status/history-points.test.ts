import { expect, it } from "vitest";
import { createFormat } from "../../../../runtime/relay/status/format.ts";
import { stepsOf } from "../../../../runtime/relay/status/history-points.ts";
import type { UsageAnswer, UsagePoint } from "../../../../runtime/relay/status/page-data.ts";
import { AT } from "./sample.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const none = { calls: 0, failed: 0, refused: 0, tokensIn: 0, tokensOut: 0 };
const point = (at: number, calls: number, firstTokenMs: number | null = null): UsagePoint => ({
  ...none,
  at,
  calls,
  firstTokenMs,
  waitMs: null,
  timed: calls,
});
const usage = (changes: Partial<UsageAnswer>): UsageAnswer => ({
  span: "hour",
  from: AT - HOUR,
  to: AT + 1,
  stepMs: MINUTE,
  points: [],
  companies: [],
  entry: [],
  today: none,
  month: { ...none, savings: { hits: 0, calls: 0, reused: 0, sparedMs: 0 } },
  ...changes,
});
const seoul = createFormat("en", "Asia/Seoul");

it("has every step of the period, also those without calls", () => {
  const steps = stepsOf(usage({ points: [point(AT - 30 * MINUTE, 7, 250)] }), seoul);
  expect(steps).toHaveLength(61);
  expect(steps.filter(({ calls }) => calls > 0)).toMatchObject([{ at: AT - 30 * MINUTE, calls: 7, firstTokenMs: 250 }]);
  expect(steps[0]).toMatchObject({ at: AT - HOUR, calls: 0, firstTokenMs: null });
});

it("puts hours together to the reader's own days, and leaves out a first day that is not whole", () => {
  const midnight = Date.parse("2026-11-28T00:00:00+09:00");
  const points = [point(midnight - 2 * HOUR, 10, 100), point(midnight - HOUR, 30, 500), point(midnight, 5)];
  const query = { span: "month", from: midnight - 40 * HOUR, to: midnight + 3 * HOUR, stepMs: HOUR, points } as const;
  expect(stepsOf(usage(query), seoul).map(({ at, calls, firstTokenMs }) => [at, calls, firstTokenMs])).toEqual([
    [midnight - 24 * HOUR, 40, 400],
    [midnight, 5, null],
  ]);
  // Fourteen hours west the same calls belong to one day; the one before is whole there, and had none.
  const west = stepsOf(usage(query), createFormat("en", "America/New_York"));
  expect(west.map(({ calls }) => calls)).toEqual([0, 45]);
});
