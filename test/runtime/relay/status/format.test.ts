import { expect, it } from "vitest";
import { createFormat } from "../../../../runtime/relay/status/format.ts";
import { AT } from "./sample.ts";

const en = createFormat("en", "Asia/Seoul");
const ko = createFormat("ko", "Asia/Seoul");
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

it("writes counts, rates and shares as the language does", () => {
  expect([en.count(12_345), ko.count(12_345)]).toEqual(["12,345", "12,345"]);
  expect([en.compact(9_999), en.compact(1_260_000), ko.compact(1_260_000)]).toEqual(["9,999", "1.3M", "126만"]);
  expect([en.rate(38.44), en.rate(143.2), en.rate(0)]).toEqual(["38.4", "143", "0"]);
  expect([en.percent(0.943), ko.percent(0)]).toEqual(["94%", "0%"]);
});

it("writes sizes with the unit that fits", () => {
  expect([0, 999, 1_000, 4_210_000, 994e9, 5e15].map(en.bytes)).toEqual([
    ...["0 byte", "999 byte", "1 kB", "4.2 MB", "994 GB", "5,000 TB"],
  ]);
});

it("writes times and durations by their largest units", () => {
  expect([0, 340.4, 2_420, 59_940].map((ms) => en.time(ms))).toEqual(["0 ms", "340 ms", "2.4 sec", "59.9 sec"]);
  expect([340, 2_420].map((ms) => ko.time(ms))).toEqual(["340ms", "2.4초"]);
  expect(en.time(80_000)).toBe("1 min 20 sec");
  expect(en.duration(2 * DAY + 3 * HOUR + 59 * MINUTE)).toBe("2 days 3 hr");
  expect(ko.duration(2 * DAY + 3 * HOUR)).toBe("2일 3시간");
  expect([ko.duration(3 * HOUR), ko.duration(0), en.duration(-5)]).toEqual(["3시간", "0초", "0 sec"]);
  // The second largest unit is the next one: 2 days and 5 minutes are 2 days.
  expect(en.duration(2 * DAY + 5 * MINUTE)).toBe("2 days");
});

it("writes moments in the reader's time zone, with the day where it is another", () => {
  expect(en.moment(AT, AT)).toBe("13:00");
  expect(en.moment(AT - 14 * HOUR, AT)).toBe("27 Nov, 23:00");
  expect(ko.moment(AT - 14 * HOUR, AT)).toBe("11월 27일 23:00");
  expect(en.moment(AT - 400 * DAY, AT)).toBe("24 Oct 2025");
  expect(createFormat("en", "America/New_York").moment(AT, AT)).toBe("23:00");
  expect(en.full(AT)).toMatch(/28 November 2026.*13:00:00 GMT\+9/);
  expect(ko.full(AT)).toMatch(/2026년 11월 28일.*1시/);
  expect(en.dayKey(AT - 14 * HOUR)).toBe("2026-11-27");
});

it("writes how long ago or until when", () => {
  expect([-3 * DAY, 19 * DAY, 200 * DAY, -90 * MINUTE, 5 * MINUTE].map((ms) => en.relative(AT + ms, AT))).toEqual([
    ...["3 days ago", "in 19 days", "in 7 months", "1 hour ago", "in 5 minutes"],
  ]);
  expect(ko.relative(AT + 19 * DAY, AT)).toBe("19일 후");
});
