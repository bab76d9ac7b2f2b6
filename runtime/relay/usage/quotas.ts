/**
 * Quotas of callers and companies. Requests and requests at once are counted exactly; tokens are reserved by an estimate and
 * settled with what was used, so that a quota is exceeded by no more than what ran at that moment. All of it is decided in
 * one synchronous step, so that requests that come together cannot pass together. State is in memory, and made again at the
 * start from the ledger and from what was reserved when a relay was killed.
 */
import type { Limits } from "../../config.ts";
import { DEFAULT_QUOTA, type QuotaLimits, type QuotasByName } from "../../usage-config.ts";
import { normalizeName } from "../access/names.ts";
import { quotaRefusal } from "../too-many-requests.ts";
import type { Calendar } from "./calendar.ts";
import { LONG_QUOTAS, type LongQuota, type MinuteState, type Periods, QuotaFlow } from "./quota-flow.ts";
import { OTHERS, type Reserved, type Spent } from "./store.ts";

/** Told when a quota by day or month is nearly used up, and when it is renewed. */
export interface QuotaWarnings {
  /** @param name of the caller or company and its quota @param share of it that is used, 0 to 1 and more */
  onQuotaWarning(name: string, share: number): void;
  /** Each minute while it stays so: an alert that is not raised again ends after a day, and a quota may be one of a month. */
  onQuotaStillWarned?(name: string, share: number): void;
  onQuotaRenewed?(name: string): void;
}

/** Whose quotas a request counts against. */
export interface QuotaClaim {
  readonly caller: string;
  /** Normalized; null: it names none. */
  readonly company: string | null;
  /** Estimate of what it uses; 0 if that is not known yet. */
  readonly tokens: number;
}

/** A request that was admitted. */
export interface QuotaHold {
  /** Reserves tokens for an embedding model: of those it was admitted with, and more. @throws RelayError as `admit` */
  reserve(tokens: number): void;
  /** Ends it: what it had reserved is free, what it used is charged. Later calls have no effect. */
  settle(tokens: number, embedded: number): void;
  /** State of the quotas by minute as OpenAI's headers; undefined without such a quota. */
  headers(): Readonly<Record<string, string>> | undefined;
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

/** Companies that are counted on their own. A caller bound to `["*"]` can invent names: the rest are counted together. */
const MAX_COMPANIES = 4096;
const WARN_AT = 0.8;
const NO_LIMITS: QuotaLimits = {};
/** Begins the name of the flow of a caller's requests that name no company. Not possible in a company's name. */
const NONE = "\u0000";

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
  readonly #callers = new Map<string, QuotaFlow>();
  readonly #companies = new Map<string, QuotaFlow>();
  readonly #holds = new Set<Hold>();
  #limits: { readonly callers: QuotasByName; readonly companies: QuotasByName } = { callers: {}, companies: {} };
  #isLimited = false;
  #periods: Periods = { dayStart: 0, dayEnd: 0, monthStart: 0, monthEnd: 0 };
  #reservedChanged = false;

  constructor(limits: Limits, calendar: Calendar, now: () => number, warnings: QuotaWarnings | undefined) {
    this.#calendar = calendar;
    this.#now = now;
    this.#warnings = warnings;
    this.update(limits);
  }

  update({ callers = {}, companies = {} }: Limits): void {
    const normalized = (list: QuotasByName) =>
      Object.fromEntries(Object.entries(list).map(([name, quota]) => [normalizeName(name), quota]));
    this.#limits = { callers, companies: normalized(companies) };
    this.#isLimited = [callers, companies].some((list) => Object.keys(list).length > 0);
    for (const flow of this.#flows()) flow.limits = this.#limitsOf(flow.scope, flow.name);
  }

  admit({ caller, company, tokens }: QuotaClaim): QuotaHold {
    const now = this.#now();
    const periods = this.#periodsAt(now);
    const flows = this.#flowsOf(caller, company);
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

  /** More tokens of an admitted request. */
  reserve(hold: Hold, tokens: number, embedded: number): void {
    const now = this.#now();
    const periods = this.#periodsAt(now);
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
    const periods = this.#periodsAt(now);
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
    if (!this.#isLimited) return undefined;
    const now = this.#now();
    const states = flows.map((flow) => flow.left(now));
    const headers: Record<string, string> = {};
    for (const unit of ["requests", "tokens"] as const) {
      const [least] = states
        .flatMap((state) => state[unit] ?? [])
        .sort((a: MinuteState, b: MinuteState) => a.remaining - b.remaining);
      if (least === undefined) continue;
      headers[`x-ratelimit-limit-${unit}`] = String(least.limit);
      headers[`x-ratelimit-remaining-${unit}`] = String(least.remaining);
      headers[`x-ratelimit-reset-${unit}`] = goDuration(least.resetMs);
    }
    return Object.keys(headers).length === 0 ? undefined : headers;
  }

  seed({ month, day, minute }: Spent): void {
    const periods = this.#periodsAt(this.#now());
    for (const [of, list] of [
      ["month", month],
      ["day", day],
    ] as const) {
      for (const { caller, company, tokens, embedded } of list) {
        for (const flow of this.#flowsOf(caller, company === "" ? null : company)) {
          flow.seed(of, tokens, embedded, periods);
        }
      }
    }
    for (const { at, caller, company, tokens, counted } of minute) {
      for (const flow of this.#flowsOf(caller, company === "" ? null : company)) {
        if (counted) flow.countRequest(at);
        flow.chargeMinute(at, tokens);
      }
    }
    this.#warn([...this.#flows()], periods);
  }

  reserved(): readonly Reserved[] | undefined {
    if (!this.#isLimited || !this.#reservedChanged) return undefined;
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
      [...this.#flows()].filter(({ warned }) => warned.size > 0),
      this.#periodsAt(this.#now()),
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
    if (!this.#isLimited) return;
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
    if (!this.#isLimited || this.#warnings === undefined) return;
    for (const flow of flows) {
      for (const quota of LONG_QUOTAS) {
        const limit = flow.limits[quota];
        const share = limit === undefined ? 0 : flow.used(quota, periods) / limit;
        const isOver = limit !== undefined && share >= (flow.limits.warnAt ?? WARN_AT);
        if (isOver === flow.warned.has(quota)) {
          if (isOver && isTick) this.#warnings.onQuotaStillWarned?.(warningName(flow, quota), share);
          continue;
        }
        if (isOver) flow.warned.add(quota);
        else flow.warned.delete(quota);
        if (isOver) this.#warnings.onQuotaWarning(warningName(flow, quota), share);
        else this.#warnings.onQuotaRenewed?.(warningName(flow, quota));
      }
    }
  }

  #flowsOf(caller: string, company: string | null): readonly [QuotaFlow, QuotaFlow] {
    return [this.#flowOf("caller", this.#callers, caller), this.#companyFlow(company ?? NONE + caller)];
  }

  #companyFlow(name: string): QuotaFlow {
    const isFull = this.#companies.size >= MAX_COMPANIES && !this.#companies.has(name);
    const isNamed = Object.hasOwn(this.#limits.companies, name);
    return this.#flowOf("company", this.#companies, isFull && !isNamed ? OTHERS : name);
  }

  #flowOf(scope: "caller" | "company", list: Map<string, QuotaFlow>, name: string): QuotaFlow {
    const known = list.get(name);
    if (known !== undefined) return known;
    const made = new QuotaFlow(scope, name, this.#limitsOf(scope, name));
    list.set(name, made);
    return made;
  }

  #limitsOf(scope: "caller" | "company", name: string): QuotaLimits {
    const list = scope === "caller" ? this.#limits.callers : this.#limits.companies;
    const [all, own] = [DEFAULT_QUOTA, name].map((key) => (Object.hasOwn(list, key) ? list[key] : undefined));
    return all === undefined && own === undefined ? NO_LIMITS : { ...all, ...own };
  }

  *#flows(): Generator<QuotaFlow> {
    yield* this.#callers.values();
    yield* this.#companies.values();
  }

  #periodsAt(now: number): Periods {
    const { dayStart, dayEnd } = this.#periods;
    if (now >= dayStart && now < dayEnd) return this.#periods;
    const calendar = this.#calendar;
    this.#periods = {
      dayStart: calendar.dayStart(now),
      dayEnd: calendar.nextDay(now),
      monthStart: calendar.monthStart(now),
      monthEnd: calendar.nextMonth(now),
    };
    // Invented names do not stay.
    for (const [name, flow] of this.#companies) {
      flow.used("tokensPerMonth", this.#periods); // begins the new month
      if (flow.isIdle && flow.warned.size === 0) this.#companies.delete(name);
    }
    return this.#periods;
  }
}

class Hold implements QuotaHold {
  readonly flows: readonly QuotaFlow[];
  readonly caller: string;
  readonly company: string;
  /** Reserved. */
  tokens: number;
  embedded = 0;
  /** Of those it was admitted with, what is not used for an embedding yet. */
  #spare: number;
  readonly #book: QuotaBook;
  #ended = false;

  constructor(book: QuotaBook, flows: readonly QuotaFlow[], caller: string, company: string, tokens: number) {
    this.#book = book;
    this.flows = flows;
    this.caller = caller;
    this.company = company;
    this.tokens = tokens;
    this.#spare = tokens;
  }

  reserve(tokens: number): void {
    if (this.#ended) return;
    const more = Math.max(0, tokens - this.#spare);
    this.#book.reserve(this, more, tokens);
    this.#spare -= tokens - more;
    this.tokens += more;
    this.embedded += tokens;
  }

  settle(tokens: number, embedded: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#book.settle(this, tokens, embedded);
  }

  headers(): Record<string, string> | undefined {
    return this.#book.headersOf(this.flows);
  }
}

function shownName({ scope, name }: QuotaFlow): string {
  if (name.startsWith(NONE)) return `requests of ${name.slice(NONE.length)} that name no company`;
  if (name === OTHERS) return "all further companies together";
  return `the ${scope} ${JSON.stringify(name)}`;
}

const warningName = (flow: QuotaFlow, quota: LongQuota): string => `${shownName(flow)}: ${quota}`;

/** As OpenAI's headers write durations: `1s`, `6m0s`, `20ms`. */
export function goDuration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
