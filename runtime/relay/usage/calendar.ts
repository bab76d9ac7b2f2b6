/** Days and months of a time zone. Pure, but for a cache. */

const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
/** Every offset has been the same for this long since 1972: zones change it at quarter hours. */
const QUARTER_MS = 900_000;
const CACHED_OFFSETS = 4096;

export type UsageStep = "minute" | "hour" | "day";

/** Times are ms since 1970. */
export class Calendar {
  readonly timeZone: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #offsets = new Map<number, number>();

  /** @throws RangeError for an unknown time zone */
  constructor(timeZone: string) {
    this.timeZone = timeZone;
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  }

  /** Start of the minute, of the hour or of the day that a time is in. */
  startOf(step: UsageStep, at: number): number {
    if (step === "minute") return Math.floor(at / MINUTE_MS) * MINUTE_MS;
    if (step === "day") return this.dayStart(at);
    const offset = this.#offset(at);
    return Math.floor((at + offset) / HOUR_MS) * HOUR_MS - offset;
  }

  /** Midnight, or the first moment of a day that has none. */
  dayStart(at: number): number {
    return this.#timeOf(Math.floor(this.#local(at) / DAY_MS) * DAY_MS);
  }

  nextDay(at: number): number {
    return this.#timeOf((Math.floor(this.#local(at) / DAY_MS) + 1) * DAY_MS);
  }

  monthStart(at: number): number {
    const local = new Date(this.#local(at));
    return this.#timeOf(Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), 1));
  }

  nextMonth(at: number): number {
    const local = new Date(this.#local(at));
    return this.#timeOf(Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + 1, 1));
  }

  /** The day as `2026-11-28`. */
  dayName(at: number): string {
    return new Date(this.#local(at)).toISOString().slice(0, 10);
  }

  /** Start of a day or month given as `2026-11-28` or `2026-11`; undefined if there is no such day. */
  parseDay(text: string): number | undefined {
    const [, year, month, day = "01"] = /^(\d{4})-(\d{2})(?:-(\d{2}))?$/.exec(text) ?? [];
    if (year === undefined || month === undefined) return undefined;
    const local = Date.UTC(Number(year), Number(month) - 1, Number(day));
    const isReal = new Date(local).toISOString().startsWith(`${year}-${month}-${day}`);
    return isReal ? this.#timeOf(local) : undefined;
  }

  #local(at: number): number {
    return at + this.#offset(at);
  }

  /** The time at which clocks show this; where they skip it, the first moment after. */
  #timeOf(local: number): number {
    const near = local - this.#offset(local);
    const found = local - this.#offset(near);
    return this.#local(found) < local ? near : found;
  }

  /** Local time minus UTC. */
  #offset(at: number): number {
    const quarter = Math.floor(at / QUARTER_MS) * QUARTER_MS;
    const known = this.#offsets.get(quarter);
    if (known !== undefined) return known;
    const part: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(quarter)) part[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
    const offset = Date.UTC(year, month - 1, day, hour, minute, second) - quarter;
    if (this.#offsets.size >= CACHED_OFFSETS) this.#offsets.clear();
    this.#offsets.set(quarter, offset);
    return offset;
  }
}
