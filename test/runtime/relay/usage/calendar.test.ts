/** Days and months of time zones, with changes of daylight saving time. */
import { describe, expect, it } from "vitest";
import { Calendar, DAY_MS, HOUR_MS } from "../../../../runtime/relay/usage/calendar.ts";
import { isTimeZone } from "../../../../runtime/usage-config.ts";
import { random } from "./rows.ts";

const ZONES = [
  "Asia/Seoul",
  "UTC",
  "America/New_York",
  "Asia/Kathmandu",
  "America/Santiago",
  "Australia/Lord_Howe",
  "Pacific/Apia",
];

describe.each(ZONES)("%s", (timeZone) => {
  const calendar = new Calendar(timeZone);
  const clock = new Intl.DateTimeFormat("en-CA", { timeZone, dateStyle: "short" });

  it("every time lies in its day, and days follow each other without a gap", () => {
    const next = random(timeZone.length);
    for (let round = 0; round < 1500; round += 1) {
      const at = Date.UTC(2024, 0, 1) + Math.floor(next() * 1100 * DAY_MS);
      const [start, end] = [calendar.dayStart(at), calendar.nextDay(at)];
      expect(start).toBeLessThanOrEqual(at);
      expect(end).toBeGreaterThan(at);
      expect(calendar.dayStart(end)).toBe(end);
      expect(calendar.dayStart(end - 1)).toBe(start);
      expect(calendar.dayName(at)).toBe(clock.format(at));
      expect(calendar.parseDay(calendar.dayName(at))).toBe(start);
      const month = calendar.monthStart(at);
      expect(calendar.dayStart(month)).toBe(month);
      expect(calendar.monthStart(calendar.nextMonth(at) - 1)).toBe(month);
      const hour = calendar.startOf("hour", at);
      expect(at - hour).toBeGreaterThanOrEqual(0);
      expect(at - hour).toBeLessThan(HOUR_MS);
    }
  });
});

describe("days as text", () => {
  const calendar = new Calendar("Asia/Seoul");

  it.each([
    ["2026-11-28", "2026-11-28T00:00:00+09:00"],
    ["2026-12", "2026-12-01T00:00:00+09:00"],
    ["2024-02-29", "2024-02-29T00:00:00+09:00"],
  ])("%s begins at %s", (text, time) => {
    expect(calendar.parseDay(text)).toBe(Date.parse(time));
  });

  it.each(["2026-02-29", "2026-13", "2026-00-01", "2026", "26-11-28", "2026-11-28T00:00:00Z", "", " 2026-11-28"])(
    "%j is no day",
    (text) => {
      expect(calendar.parseDay(text)).toBeUndefined();
    },
  );
});

it("names of time zones are those that this Node knows", () => {
  expect(ZONES.every(isTimeZone)).toBe(true);
  expect(["Seoul", "Asia/Nowhere", "KST+9:00x"].some(isTimeZone)).toBe(false);
});
