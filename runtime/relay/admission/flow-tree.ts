/**
 * The two levels of fairness: callers by weight, and within a caller its companies with equal weights. A flow exists only
 * while it has waiting or running requests. Its debt ends with it, so a returning caller is served as a new one is: after
 * the running requests and at most one round. (A caller with one request at a time gains at most one request per round by
 * that.)
 */
import type { Caller } from "../../config.ts";
import { DeficitRoundRobin, Flow } from "./deficit-round-robin.ts";
import { MAX_COMPANY_FLOWS, NO_COMPANY, SHARED_FLOW } from "./flow-names.ts";
import type { SlotRequest } from "./slot-request.ts";
import { type Waiter, WaitingList } from "./waiting-list.ts";

/** A company of a caller. */
export class CompanyFlow extends Flow {
  readonly caller: CallerFlow;
  readonly queue = new WaitingList();
  bytes = 0;
  running = 0;

  constructor(name: string, caller: CallerFlow) {
    super(name, 1);
    this.caller = caller;
  }

  get waiting(): number {
    return this.queue.length;
  }
}

/** A caller and its companies. */
export class CallerFlow extends Flow {
  readonly companies = new Map<string, CompanyFlow>();
  readonly scheduler = new DeficitRoundRobin<CompanyFlow>();
  waiting = 0;
  bytes = 0;
  running = 0;

  /** The flow of a company's new requests, if it exists. */
  findCompany(name: string): CompanyFlow | undefined {
    return this.companies.get(this.#flowNameOf(name));
  }

  /** The flow of a company's new requests; created if necessary. */
  companyFlow(name: string): CompanyFlow {
    const own = this.#flowNameOf(name);
    let flow = this.companies.get(own);
    if (flow === undefined) {
      flow = new CompanyFlow(own, this);
      this.companies.set(own, flow);
    }
    return flow;
  }

  #flowNameOf(name: string): string {
    if (name === NO_COMPANY || this.companies.has(name)) return name;
    const unnamed = Number(this.companies.has(NO_COMPANY)) + Number(this.companies.has(SHARED_FLOW));
    return this.companies.size - unnamed < MAX_COMPANY_FLOWS ? name : SHARED_FLOW;
  }
}

/** What a running request was charged, for `settle`. */
export interface Charge {
  readonly flow: CompanyFlow;
  readonly byCaller: number;
  readonly byCompany: number;
}

/** All waiting and running requests of one class (direct, or background work) of a queue. */
export class FlowTree {
  readonly #callers = new Map<string, CallerFlow>();
  readonly #scheduler = new DeficitRoundRobin<CallerFlow>();
  /** As last set by `setWeights`. They override the weight in a request, which can be older. */
  #weights: ReadonlyMap<string, number> = new Map();
  #waiting = 0;
  #bytes = 0;

  get waiting(): number {
    return this.#waiting;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Callers with waiting or running requests. */
  get callers(): Iterable<CallerFlow> {
    return this.#callers.values();
  }

  /** Callers with waiting requests. */
  get active(): readonly CallerFlow[] {
    return this.#scheduler.active;
  }

  caller(name: string): CallerFlow | undefined {
    return this.#callers.get(name);
  }

  /** Sets new weights, for waiting requests too. */
  setWeights(callers: readonly Pick<Caller, "name" | "weight">[]): void {
    this.#weights = new Map(callers.map(({ name, weight }) => [name, weight]));
    for (const flow of this.#callers.values()) flow.weight = this.#weights.get(flow.name) ?? flow.weight;
  }

  add(waiter: Waiter): void {
    const company = this.#flow(waiter.request);
    const { caller } = company;
    company.queue.add(waiter);
    if (company.waiting === 1) caller.scheduler.activate(company);
    if (caller.waiting === 0) this.#scheduler.activate(caller);
    this.#count(company, waiter, 1);
  }

  /** @returns false if it is not waiting here */
  remove(waiter: Waiter): boolean {
    const company = this.#callers.get(waiter.request.caller.name)?.companies;
    for (const flow of company?.values() ?? []) {
      if (waiter.list !== flow.queue) continue;
      this.#dequeue(flow, waiter);
      this.#removeIfEmpty(flow);
      return true;
    }
    return false;
  }

  /** Removes the request that is served next, and charges it. Something must be waiting. */
  next(): { readonly waiter: Waiter; readonly charge: Charge } {
    const flow = this.#scheduler.next().scheduler.next();
    const waiter = flow.queue.oldest!;
    const charge = this.#charge(flow, waiter.request.estimatedTokens);
    this.#dequeue(flow, waiter);
    return { waiter, charge };
  }

  /** Charges a request that starts without waiting. */
  start(request: SlotRequest): Charge {
    return this.#charge(this.#flow(request), request.estimatedTokens);
  }

  /** Settles the charge of a request that has ended. */
  settle({ flow, byCaller, byCompany }: Charge, usedTokens: number): void {
    const { caller } = flow;
    flow.running -= 1;
    caller.running -= 1;
    caller.scheduler.settle(flow, byCompany, usedTokens);
    this.#scheduler.settle(caller, byCaller, usedTokens);
    this.#removeIfEmpty(flow);
  }

  /**
   * How many requests would be served up to and including a new one of this caller and company. Other flows are served
   * before it only in proportion to their shares.
   */
  servedUntilNew({ name, weight }: Pick<Caller, "name" | "weight">, company: string): number {
    const caller = this.#callers.get(name);
    const own = caller?.findCompany(company);
    let turns = (own?.waiting ?? 0) + 1;
    const companyTurns = turns;
    for (const sibling of caller?.scheduler.active ?? []) {
      if (sibling !== own) turns += Math.min(sibling.waiting, companyTurns);
    }
    const callerTurns = turns;
    for (const other of this.#scheduler.active) {
      if (other !== caller) turns += Math.min(other.waiting, Math.ceil((callerTurns * other.weight) / weight));
    }
    return turns;
  }

  /** When the request that has waited longest began to, by the queue's clock; infinite when none waits. */
  get oldestSince(): number {
    let since = Number.POSITIVE_INFINITY;
    for (const caller of this.#callers.values()) {
      for (const { queue } of caller.companies.values()) since = Math.min(since, queue.oldest?.since ?? since);
    }
    return since;
  }

  *waiters(): Generator<Waiter> {
    for (const caller of this.#callers.values()) {
      for (const company of caller.companies.values()) yield* company.queue.newestFirst();
    }
  }

  #flow({ caller: { name, weight }, company = NO_COMPANY }: SlotRequest): CompanyFlow {
    let caller = this.#callers.get(name);
    if (caller === undefined) {
      caller = new CallerFlow(name, weight);
      this.#callers.set(name, caller);
    }
    caller.weight = this.#weights.get(name) ?? weight;
    return caller.companyFlow(company);
  }

  #charge(flow: CompanyFlow, estimatedTokens: number): Charge {
    const { caller } = flow;
    flow.running += 1;
    caller.running += 1;
    const byCompany = caller.scheduler.charge(flow, estimatedTokens);
    return { flow, byCompany, byCaller: this.#scheduler.charge(caller, estimatedTokens) };
  }

  #dequeue(flow: CompanyFlow, waiter: Waiter): void {
    const { caller } = flow;
    flow.queue.remove(waiter);
    this.#count(flow, waiter, -1);
    if (flow.waiting === 0) caller.scheduler.deactivate(flow);
    if (caller.waiting === 0) this.#scheduler.deactivate(caller);
  }

  #count(flow: CompanyFlow, { request: { bytes } }: Waiter, by: 1 | -1): void {
    flow.bytes += by * bytes;
    flow.caller.bytes += by * bytes;
    flow.caller.waiting += by;
    this.#waiting += by;
    this.#bytes += by * bytes;
  }

  #removeIfEmpty(flow: CompanyFlow): void {
    const { caller } = flow;
    if (flow.waiting + flow.running === 0) caller.companies.delete(flow.name);
    if (caller.waiting + caller.running === 0) this.#callers.delete(caller.name);
  }
}
