/** What one caller or one company has used of its quotas. */
import type { QuotaLimits } from "../../usage-config.ts";
import { SlidingMinute } from "./windows.ts";

/** A quota: a field of `QuotaLimits` that limits. */
export type QuotaName = Exclude<keyof QuotaLimits, "warnAt">;

/** Quotas of a day or month. They are renewed at a fixed time, and warned of. */
export const LONG_QUOTAS = ["tokensPerDay", "tokensPerMonth", "embeddingTokensPerDay"] as const;
export type LongQuota = (typeof LONG_QUOTAS)[number];

/** When the day and the month that run now began and end, in ms since 1970. */
export interface Periods {
  readonly dayStart: number;
  readonly dayEnd: number;
  readonly monthStart: number;
  readonly monthEnd: number;
}

/** A quota that a claim would exceed. */
export interface Exceeded {
  readonly quota: QuotaName;
  readonly limit: number;
  /** Used and reserved. */
  readonly used: number;
  readonly needed: number;
  readonly retryAfterMs: number;
}

/** When a request at once may end, for want of anything better. */
const AT_ONCE_RETRY_MS = 1000;

export class QuotaFlow {
  readonly scope: "caller" | "company";
  readonly name: string;
  limits: QuotaLimits;
  running = 0;
  /** Of requests that run: not used yet, but taken. */
  reserved = 0;
  reservedEmbedded = 0;
  readonly warned = new Set<LongQuota>();
  /** Made when they are needed: most flows have no quota by minute. */
  #known: { readonly requests: SlidingMinute; readonly tokens: SlidingMinute } | undefined;
  #dayStart = 0;
  #monthStart = 0;
  #day = 0;
  #month = 0;
  #embeddedDay = 0;

  constructor(scope: "caller" | "company", name: string, limits: QuotaLimits) {
    this.scope = scope;
    this.name = name;
    this.limits = limits;
  }

  /** Nothing runs, and nothing was used this month. */
  get isIdle(): boolean {
    return this.running === 0 && this.#month === 0;
  }

  /**
   * The first quota that one more request, or more tokens of a running one, would exceed.
   * @param embedded tokens for an embedding model, some of which may be reserved already; undefined: it needs none
   */
  exceeded(
    now: number,
    requests: 0 | 1,
    tokens: number,
    embedded: number | undefined,
    periods: Periods,
  ): Exceeded | undefined {
    const { limits } = this;
    const { requestsPerMinute, atOnce, tokensPerMinute } = limits;
    if (requests === 1) {
      if (requestsPerMinute !== undefined) {
        const used = this.#minutes.requests.total(now);
        if (used + 1 > requestsPerMinute) {
          const retryAfterMs = this.#minutes.requests.untilAtMost(now, requestsPerMinute - 1);
          return { quota: "requestsPerMinute", limit: requestsPerMinute, used, needed: 1, retryAfterMs };
        }
      }
      if (atOnce !== undefined && this.running + 1 > atOnce) {
        return { quota: "atOnce", limit: atOnce, used: this.running, needed: 1, retryAfterMs: AT_ONCE_RETRY_MS };
      }
    }
    if (tokensPerMinute !== undefined) {
      const spent = this.#minutes.tokens.total(now);
      const used = spent + this.reserved;
      if (isOver(used, tokens, tokensPerMinute, requests)) {
        const room = tokensPerMinute - this.reserved - tokens;
        const retryAfterMs = Math.max(AT_ONCE_RETRY_MS, this.#minutes.tokens.untilAtMost(now, Math.max(0, room)));
        return { quota: "tokensPerMinute", limit: tokensPerMinute, used, needed: tokens, retryAfterMs };
      }
    }
    for (const quota of LONG_QUOTAS) {
      const limit = limits[quota];
      const needed = quota === "embeddingTokensPerDay" ? embedded : tokens;
      if (limit === undefined || needed === undefined) continue;
      const used = this.used(quota, periods);
      if (isOver(used, needed, limit, requests)) {
        const retryAfterMs = (quota === "tokensPerMonth" ? periods.monthEnd : periods.dayEnd) - now;
        return { quota, limit, used, needed, retryAfterMs: Math.max(1, retryAfterMs) };
      }
    }
    return undefined;
  }

  /** Used and reserved of a quota of a day or month. */
  used(quota: LongQuota, periods: Periods): number {
    this.#renew(periods);
    if (quota === "tokensPerMonth") return this.#month + this.reserved;
    return quota === "tokensPerDay" ? this.#day + this.reserved : this.#embeddedDay + this.reservedEmbedded;
  }

  /** Requests and tokens left of the quotas by minute; undefined without one. */
  left(now: number): { requests: MinuteState | undefined; tokens: MinuteState | undefined } {
    const { requestsPerMinute, tokensPerMinute } = this.limits;
    return {
      requests: minuteState(this.#known?.requests, requestsPerMinute, 0, now),
      tokens: minuteState(this.#known?.tokens, tokensPerMinute, this.reserved, now),
    };
  }

  countRequest(at: number): void {
    if (this.limits.requestsPerMinute !== undefined) this.#minutes.requests.add(at, 1);
  }

  /** Charges used tokens. */
  charge(at: number, tokens: number, embedded: number, periods: Periods): void {
    if (tokens === 0) return;
    this.#renew(periods);
    this.chargeMinute(at, tokens);
    this.#day += tokens;
    this.#month += tokens;
    this.#embeddedDay += embedded;
  }

  chargeMinute(at: number, tokens: number): void {
    if (this.limits.tokensPerMinute !== undefined) this.#minutes.tokens.add(at, tokens);
  }

  /** Adds what was used before the start. */
  seed(of: "day" | "month", tokens: number, embedded: number, periods: Periods): void {
    this.#renew(periods);
    if (of === "month") this.#month += tokens;
    else {
      this.#day += tokens;
      this.#embeddedDay += embedded;
    }
  }

  get #minutes(): { readonly requests: SlidingMinute; readonly tokens: SlidingMinute } {
    this.#known ??= { requests: new SlidingMinute(), tokens: new SlidingMinute() };
    return this.#known;
  }

  #renew({ dayStart, monthStart }: Periods): void {
    if (this.#dayStart !== dayStart) {
      this.#dayStart = dayStart;
      this.#day = 0;
      this.#embeddedDay = 0;
    }
    if (this.#monthStart === monthStart) return;
    this.#monthStart = monthStart;
    this.#month = 0;
  }
}

/** State of a quota by minute. */
export interface MinuteState {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of it is there again, in ms. */
  readonly resetMs: number;
}

function minuteState(
  window: SlidingMinute | undefined,
  limit: number | undefined,
  reserved: number,
  now: number,
): MinuteState | undefined {
  if (limit === undefined) return undefined;
  const used = (window?.total(now) ?? 0) + reserved;
  return { limit, remaining: Math.max(0, limit - used), resetMs: window?.untilAtMost(now, 0) ?? 0 };
}

/** A new request whose tokens are not known yet needs a quota that is not used up. */
const isOver = (used: number, tokens: number, limit: number, requests: 0 | 1): boolean =>
  tokens === 0 ? requests === 1 && used >= limit : used + tokens > limit;
