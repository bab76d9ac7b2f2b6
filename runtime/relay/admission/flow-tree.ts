/**
 * The two levels of fairness: callers by their weight, and within a caller its companies, alike. A flow exists only while
 * something of it waits or runs; when it ends, its debt ends with it, so that a caller who comes back is served like one who
 * comes for the first time: in its first turn, behind what runs and at most one round. (A caller that keeps one request at
 * a time gains by that at most one request a round.)
 */
import type { Caller } from "../../config.ts";
import { DeficitRoundRobin, Flow } from "./deficit-round-robin.ts";
import { MAX_COMPANY_FLOWS, NO_COMPANY, SHARED_FLOW } from "./flow-names.ts";
import type { SlotRequest } from "./slot-request.ts";
import { type Waiter, WaitingList } from "./waiting-list.ts";

/** A company within a caller. */
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

/** A caller, with its companies. */
export class CallerFlow extends Flow {
  readonly companies = new Map<string, CompanyFlow>();
  readonly scheduler = new DeficitRoundRobin<CompanyFlow>();
  waiting = 0;
  bytes = 0;
  running = 0;

  /** The flow a company's requests go into now, if it exists. */
  findCompany(name: string): CompanyFlow | undefined {
    return this.companies.get(this.#flowNameOf(name));
  }

  /** The flow a company's requests go into now; made if need be. */
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

/** What a running request has been charged. */
export interface Charge {
  readonly flow: CompanyFlow;
  readonly byCaller: number;
  readonly byCompany: number;
}

/** All that waits or runs of one class (direct requests, or background work) of a lane. */
export class FlowTree {
  readonly #callers = new Map<string, CallerFlow>();
  readonly #scheduler = new DeficitRoundRobin<CallerFlow>();
  /** As last told by `reweigh`. A request can be older than that, so these go before what its request says. */
  #weights: ReadonlyMap<string, number> = new Map();
  #waiting = 0;
  #bytes = 0;

  get waiting(): number {
    return this.#waiting;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Those with something waiting or running. */
  get callers(): Iterable<CallerFlow> {
    return this.#callers.values();
  }

  /** Those with something waiting. */
  get active(): readonly CallerFlow[] {
    return this.#scheduler.active;
  }

  caller(name: string): CallerFlow | undefined {
    return this.#callers.get(name);
  }

  /** From now on these weights, also for what waits already. */
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

  /** @returns false if it does not wait here (any more) */
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

  /** Takes out the request that is served next, and charges it. Something must wait. */
  next(): { readonly waiter: Waiter; readonly charge: Charge } {
    const flow = this.#scheduler.next().scheduler.next();
    const waiter = flow.queue.oldest!;
    const charge = this.#charge(flow, waiter.request.estimatedTokens);
    this.#dequeue(flow, waiter);
    return { waiter, charge };
  }

  /** Charges a request that starts without having waited. */
  start(request: SlotRequest): Charge {
    return this.#charge(this.#flow(request), request.estimatedTokens);
  }

  /** A request has ended, having used so many tokens. */
  settle({ flow, byCaller, byCompany }: Charge, usedTokens: number): void {
    const { caller } = flow;
    flow.running -= 1;
    caller.running -= 1;
    caller.scheduler.settle(flow, byCompany, usedTokens);
    this.#scheduler.settle(caller, byCaller, usedTokens);
    this.#removeIfEmpty(flow);
  }

  /**
   * Requests that would be served before one more of this caller and company, itself included: others go before it only as
   * often as their share lets them.
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
