/** The flows of all callers and companies that quotas count, with their limits; those nobody uses are forgotten. */
import type { Limits } from "../../limits-config.ts";
import { DEFAULT_QUOTA, type QuotaLimits, type QuotasByName } from "../../usage-config.ts";
import { normalizeName } from "../access/names.ts";
import type { Calendar } from "./calendar.ts";
import { OTHERS } from "./others.ts";
import { type Periods, QuotaFlow } from "./quota-flow.ts";

/** Companies that are counted on their own. A caller bound to `["*"]` can invent names: the rest are counted together. */
const MAX_COMPANIES = 4096;
const NO_LIMITS: QuotaLimits = {};
/** Begins the name of the flow of a caller's requests that name no company. Not possible in a company's name. */
const NONE = "\u0000";

export class QuotaFlows {
  readonly #calendar: Calendar;
  readonly #callers = new Map<string, QuotaFlow>();
  readonly #companies = new Map<string, QuotaFlow>();
  #limits: { readonly callers: QuotasByName; readonly companies: QuotasByName } = { callers: {}, companies: {} };
  #periods: Periods = { dayStart: 0, dayEnd: 0, monthStart: 0, monthEnd: 0 };
  #isLimited = false;

  constructor(limits: Limits, calendar: Calendar) {
    this.#calendar = calendar;
    this.update(limits);
  }

  /** Whether anybody has a quota. */
  get isLimited(): boolean {
    return this.#isLimited;
  }

  update({ callers = {}, companies = {} }: Limits): void {
    const normalized = (list: QuotasByName) =>
      Object.fromEntries(Object.entries(list).map(([name, quota]) => [normalizeName(name), quota]));
    this.#limits = { callers, companies: normalized(companies) };
    this.#isLimited = [callers, companies].some((list) => Object.keys(list).length > 0);
    for (const flow of this.all()) flow.limits = this.#limitsOf(flow.scope, flow.name);
  }

  /** The flows that a request counts in. */
  of(caller: string, company: string | null): readonly [QuotaFlow, QuotaFlow] {
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

  *all(): Generator<QuotaFlow> {
    yield* this.#callers.values();
    yield* this.#companies.values();
  }

  /** The day and the month of a time. */
  periodsAt(now: number): Periods {
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

/** A flow's name for people. */
export function shownName({ scope, name }: QuotaFlow): string {
  if (name.startsWith(NONE)) return `requests of ${name.slice(NONE.length)} that name no company`;
  if (name === OTHERS) return "all further companies together";
  return `the ${scope} ${JSON.stringify(name)}`;
}
