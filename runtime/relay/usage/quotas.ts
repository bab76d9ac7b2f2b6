/**
 * Quotas of callers and companies. Requests and requests at once are counted exactly; tokens are reserved by an estimate and
 * settled with what was used, so that a quota is exceeded by no more than what ran at that moment. All of it is decided in
 * one synchronous step, so that requests that come together cannot pass together. State is in memory, and made again at the
 * start from the ledger and from what was reserved when a relay was killed.
 */
import type { Limits } from "../../limits-config.ts";
import { quotaRefusal } from "../too-many-requests.ts";
import type { Calendar } from "./calendar.ts";
import type { Periods, QuotaFlow } from "./quota-flow.ts";
import { QuotaFlows, shownName } from "./quota-flows.ts";
import { headersOf } from "./quota-headers.ts";
import { Hold, type QuotaHold } from "./quota-hold.ts";
import { type QuotaWarnings, warnOf } from "./quota-warnings.ts";
import type { Reserved, Spent } from "./store.ts";

/** Whose quotas a request counts against. */
export interface QuotaClaim {
  readonly caller: string;
  /** Normalized; null: it names none. */
  readonly company: string | null;
  /** Estimate of what it uses; 0 if that is not known yet. */
  readonly tokens: number;
}

export interface QuotaOptions {
  readonly calendar: Calendar;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: (() => number) | undefined;
  readonly warnings?: QuotaWarnings | undefined;
}

export interface Quotas {
  /**
   * Counts a request against the quotas of its caller and of its company, or against neither.
   * @throws RelayError `quota_exceeded`, `quota_spent`, `company_budget_spent`, all 429
   */
  admit(claim: QuotaClaim): QuotaHold;
  /** Sets new limits. What was used of quotas by day and month stays; those by minute begin with what comes. */
  update(limits: Limits): void;
  /** Adds what was used before the start. Call it once. */
  seed(spent: Spent): void;
  /** What is reserved now; undefined if nothing has changed since the last call, or nothing is limited. */
  reserved(): readonly Reserved[] | undefined;
  /** Ends warnings of quotas that were renewed. Call it every minute. */
  tick(): void;
}

export function createQuotas(limits: Limits, { calendar, now = Date.now, warnings }: QuotaOptions): Quotas {
  const book = new QuotaBook(limits, calendar, now, warnings);
  return {
    admit: (claim) => book.admit(claim),
    update: (next) => book.update(next),
    seed: (spent) => book.seed(spent),
    reserved: () => book.reserved(),
    tick: () => book.tick(),
  };
}

class QuotaBook implements Quotas {
  readonly #calendar: Calendar;
  readonly #now: () => number;
  readonly #warnings: QuotaWarnings | undefined;
  readonly #flows: QuotaFlows;
  readonly #holds = new Set<Hold>();
  #reservedChanged = false;

  constructor(limits: Limits, calendar: Calendar, now: () => number, warnings: QuotaWarnings | undefined) {
    this.#calendar = calendar;
    this.#now = now;
    this.#warnings = warnings;
    this.#flows = new QuotaFlows(limits, calendar);
  }

  update(limits: Limits): void {
    this.#flows.update(limits);
  }

  admit({ caller, company, tokens }: QuotaClaim): QuotaHold {
    const now = this.#now();
    const periods = this.#flows.periodsAt(now);
    const flows = this.#flows.of(caller, company);
    this.#check(flows, now, 1, tokens, undefined, periods);
    for (const flow of flows) {
      flow.running += 1;
      flow.reserved += tokens;
      flow.countRequest(now);
    }
    const hold = new Hold(this, flows, caller, company ?? "", tokens);
    if (tokens > 0) this.#reservedChanged = true;
    this.#holds.add(hold);
    this.#warn(flows, periods);
    return hold;
  }

  reserve(hold: Hold, tokens: number, embedded: number): void {
    const now = this.#now();
    const periods = this.#flows.periodsAt(now);
    this.#check(hold.flows, now, 0, tokens, embedded, periods);
    for (const flow of hold.flows) {
      flow.reserved += tokens;
      flow.reservedEmbedded += embedded;
    }
    this.#reservedChanged = true;
    this.#warn(hold.flows, periods);
  }

  settle(hold: Hold, tokens: number, embedded: number): void {
    const now = this.#now();
    const periods = this.#flows.periodsAt(now);
    for (const flow of hold.flows) {
      flow.running -= 1;
      flow.reserved -= hold.tokens;
      flow.reservedEmbedded -= hold.embedded;
      flow.charge(now, tokens, embedded, periods);
    }
    this.#holds.delete(hold);
    if (hold.tokens > 0) this.#reservedChanged = true;
    this.#warn(hold.flows, periods);
  }

  headersOf(flows: readonly QuotaFlow[]): Record<string, string> | undefined {
    return this.#flows.isLimited ? headersOf(flows, this.#now()) : undefined;
  }

  seed({ month, day, minute }: Spent): void {
    const periods = this.#flows.periodsAt(this.#now());
    for (const [of, list] of [
      ["month", month],
      ["day", day],
    ] as const) {
      for (const { caller, company, tokens, embedded } of list) {
        for (const flow of this.#flows.of(caller, company === "" ? null : company)) {
          flow.seed(of, tokens, embedded, periods);
        }
      }
    }
    for (const { at, caller, company, tokens, counted } of minute) {
      for (const flow of this.#flows.of(caller, company === "" ? null : company)) {
        if (counted) flow.countRequest(at);
        flow.chargeMinute(at, tokens);
      }
    }
    this.#warn([...this.#flows.all()], periods);
  }

  reserved(): readonly Reserved[] | undefined {
    if (!this.#flows.isLimited || !this.#reservedChanged) return undefined;
    this.#reservedChanged = false;
    const sums = new Map<string, Reserved>();
    for (const { caller, company, tokens, embedded } of this.#holds) {
      if (tokens === 0) continue;
      const key = `${caller}\u0000${company}`;
      const sum = sums.get(key) ?? { caller, company, tokens: 0, embedded: 0 };
      sums.set(key, { ...sum, tokens: sum.tokens + tokens, embedded: sum.embedded + embedded });
    }
    return [...sums.values()];
  }

  tick(): void {
    this.#warn(
      [...this.#flows.all()].filter(({ warned }) => warned.size > 0),
      this.#flows.periodsAt(this.#now()),
      true,
    );
  }

  #check(
    flows: readonly QuotaFlow[],
    now: number,
    requests: 0 | 1,
    tokens: number,
    embedded: number | undefined,
    periods: Periods,
  ): void {
    if (!this.#flows.isLimited) return;
    for (const flow of flows) {
      const exceeded = flow.exceeded(now, requests, tokens, embedded, periods);
      if (exceeded === undefined) continue;
      const { scope } = flow;
      throw quotaRefusal(
        { scope, name: shownName(flow), ...exceeded, timeZone: this.#calendar.timeZone },
        this.headersOf(flows),
      );
    }
  }

  #warn(flows: readonly QuotaFlow[], periods: Periods, isTick = false): void {
    if (this.#flows.isLimited && this.#warnings !== undefined) warnOf(flows, periods, this.#warnings, isTick);
  }
}
