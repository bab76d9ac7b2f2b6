import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Alarm, Alarms } from "../../../../runtime/relay/http/alarms.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function alarm(inMs: number, again?: number): Alarm & { rang: number } {
  return {
    dueAt: performance.now() + inMs,
    place: -1,
    rang: 0,
    ring() {
      this.rang += 1;
      this.dueAt = again === undefined ? Number.POSITIVE_INFINITY : performance.now() + again;
    },
  };
}

test("an alarm rings at its time or up to a step later, again as it says, and no more once deleted", () => {
  const alarms = new Alarms(100);
  const once = alarm(250);
  const often = alarm(250, 500);
  const never = alarm(250);
  for (const one of [once, often, never]) alarms.add(one);
  alarms.delete(never);
  vi.advanceTimersByTime(200);
  expect([once.rang, often.rang]).toEqual([0, 0]);
  vi.advanceTimersByTime(150);
  expect([once.rang, often.rang]).toEqual([1, 1]);
  vi.advanceTimersByTime(600);
  expect([once.rang, often.rang, never.rang]).toEqual([1, 2, 0]);
});

test("one that was put off does not ring at its first time", () => {
  const alarms = new Alarms(100);
  const late = alarm(250);
  alarms.add(late);
  vi.advanceTimersByTime(200);
  late.dueAt += 1000;
  vi.advanceTimersByTime(800);
  expect(late.rang).toBe(0);
  vi.advanceTimersByTime(400);
  expect(late.rang).toBe(1);
});

test("without alarms there is no timer; one that comes later is heard", () => {
  const alarms = new Alarms(100);
  const first = alarm(50);
  alarms.add(first);
  alarms.delete(first);
  vi.advanceTimersByTime(200);
  expect(vi.getTimerCount()).toBe(0);
  const second = alarm(50);
  alarms.add(second);
  vi.advanceTimersByTime(200);
  expect(second.rang).toBe(1);
});
