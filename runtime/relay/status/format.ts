/** Numbers, times and sizes as the reader writes them. Pure: also part of the page's own program. */
import type { Language } from "./page-data.ts";

/** Dates as in Britain (28 Nov, 24 hours), numbers as in the United States (1.3M). */
const LOCALES = {
  ko: { dates: "ko-KR", numbers: "ko-KR" },
  en: { dates: "en-GB", numbers: "en-US" },
} as const satisfies Record<Language, unknown>;

const DAY_MS = 86_400_000;

/** @param timeZone of the reader; absent: that of this machine */
export function createFormat(language: Language, timeZone?: string) {
  const { dates, numbers } = LOCALES[language];
  const number = (options: Intl.NumberFormatOptions = {}) => {
    const format = new Intl.NumberFormat(numbers, options);
    return (value: number) => format.format(value);
  };
  const date = (options: Intl.DateTimeFormatOptions) => {
    const format = new Intl.DateTimeFormat(dates, { ...options, ...(timeZone !== undefined && { timeZone }) });
    return (at: number) => format.format(at);
  };
  const unit = (name: string, unitDisplay: "short" | "long" | "narrow", digits = 0) =>
    number({ style: "unit", unit: name, unitDisplay, maximumFractionDigits: digits });
  const wholeNumber = number({ maximumFractionDigits: 0 });
  const oneDigit = number({ maximumFractionDigits: 1 });
  const compact = number({ notation: "compact", maximumFractionDigits: 1 });
  const units = {
    day: unit("day", "long"),
    hour: unit("hour", language === "ko" ? "long" : "short"),
    minute: unit("minute", language === "ko" ? "long" : "short"),
    second: unit("second", language === "ko" ? "long" : "short"),
    fineSecond: unit("second", language === "ko" ? "long" : "short", 1),
    millisecond: unit("millisecond", "short"),
  };
  const sizes = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"].map((name) => unit(name, "short", 1));
  const clock = date({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const dayAndClock = date({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const fullDate = date({ year: "numeric", month: "short", day: "numeric" });
  const full = date({ dateStyle: "full", timeStyle: "long" });
  const dayName = date({ month: "short", day: "numeric" });
  const dayKey = new Intl.DateTimeFormat("en-CA", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    ...(timeZone !== undefined && { timeZone }),
  });
  const relative = new Intl.RelativeTimeFormat(dates, { numeric: "auto" });

  return {
    /** A count: `12,345`. */
    count: wholeNumber,
    /** A long count in short: `1.2만`, `12.3K`. */
    compact: (value: number) => (value < 10_000 ? wholeNumber(value) : compact(value)),
    /** A rate, with one digit below a hundred. */
    rate: (value: number) => (value < 100 ? oneDigit(value) : wholeNumber(value)),
    percent: number({ style: "percent", maximumFractionDigits: 0 }),
    bytes(value: number): string {
      const power = value < 1 ? 0 : Math.min(sizes.length - 1, Math.floor(Math.log10(value) / 3));
      return sizes[power]!(value / 1000 ** power);
    },
    /** A short time as it is measured: `340 ms`, `2.4 s`, `1 min 20 s`. */
    time(ms: number): string {
      if (ms < 1000) return units.millisecond(Math.round(ms));
      if (ms < 60_000) return units.fineSecond(ms / 1000);
      return this.duration(ms);
    },
    /** A duration by its two largest units: `2 days 3 hr`, `5 min`. */
    duration(ms: number): string {
      const seconds = Math.max(0, Math.round(ms / 1000));
      const parts = [
        [units.day, Math.floor(seconds / 86_400)],
        [units.hour, Math.floor(seconds / 3600) % 24],
        [units.minute, Math.floor(seconds / 60) % 60],
        [units.second, seconds % 60],
      ] as const;
      const first = parts.findIndex(([, value]) => value > 0);
      if (first < 0) return units.second(0);
      return parts
        .slice(first, first + 2)
        .filter(([, value]) => value > 0)
        .map(([format, value]) => format(value))
        .join(" ");
    },
    /** A moment: the time alone today, with the day before and after. */
    moment(at: number, now: number): string {
      if (dayKey.format(at) === dayKey.format(now)) return clock(at);
      return Math.abs(at - now) < 300 * DAY_MS ? dayAndClock(at) : fullDate(at);
    },
    clock,
    day: dayName,
    date: fullDate,
    /** With the time zone, for tooltips. */
    full,
    /** `3 days ago`, `in 2 months`. */
    relative(at: number, now: number): string {
      const days = (at - now) / DAY_MS;
      if (Math.abs(days) >= 60) return relative.format(Math.round(days / 30.4), "month");
      if (Math.abs(days) >= 1) return relative.format(Math.round(days), "day");
      const minutes = Math.round((at - now) / 60_000);
      return Math.abs(minutes) >= 60
        ? relative.format(Math.round(minutes / 60), "hour")
        : relative.format(minutes, "minute");
    },
    /** The reader's day that a moment is in, as `2026-11-28`. */
    dayKey: (at: number): string => dayKey.format(at),
  };
}

export type Format = ReturnType<typeof createFormat>;
