import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type CoarseTimer, CoarseTimers } from "../../../../runtime/relay/http/coarse-timers.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function timer(inMs: number, again?: number): CoarseTimer & { rang: number } {
  return {
    dueAt: performance.now() + inMs,
    index: -1,
    rang: 0,
    onExpire() {
      this.rang += 1;
      this.dueAt = again === undefined ? Number.POSITIVE_INFINITY : performance.now() + again;
    },
  };
}

test("a timer expires at its time or up to a step later, repeats as set, and never expires once deleted", () => {
  const timers = new CoarseTimers(100);
  const once = timer(250);
  const often = timer(250, 500);
  const never = timer(250);
  for (const one of [once, often, never]) timers.add(one);
  timers.delete(never);
  vi.advanceTimersByTime(200);
  expect([once.rang, often.rang]).toEqual([0, 0]);
  vi.advanceTimersByTime(150);
  expect([once.rang, often.rang]).toEqual([1, 1]);
  vi.advanceTimersByTime(600);
  expect([once.rang, often.rang, never.rang]).toEqual([1, 2, 0]);
});

test("a postponed timer does not expire at its first time", () => {
  const timers = new CoarseTimers(100);
  const late = timer(250);
  timers.add(late);
  vi.advanceTimersByTime(200);
  late.dueAt += 1000;
  vi.advanceTimersByTime(800);
  expect(late.rang).toBe(0);
  vi.advanceTimersByTime(400);
  expect(late.rang).toBe(1);
});

test("no Node timer runs without timers; one added later expires", () => {
  const timers = new CoarseTimers(100);
  const first = timer(50);
  timers.add(first);
  timers.delete(first);
  vi.advanceTimersByTime(200);
  expect(vi.getTimerCount()).toBe(0);
  const second = timer(50);
  timers.add(second);
  vi.advanceTimersByTime(200);
  expect(second.rang).toBe(1);
});
