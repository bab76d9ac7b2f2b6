/**
 * Deficit round-robin charged in tokens, for one level of flows. Each round adds a quantum (in proportion to the flow's
 * weight) to a flow's deficit counter, and the flow is served while its counter is above zero. The cost of a request is not
 * known beforehand: an estimate is charged at the start and settled at the end, so the counter can fall below zero. The flow
 * then skips rounds until its debt is paid (as with the virtual token counter, https://arxiv.org/abs/2401.00588, in rounds).
 *
 * Invariants:
 * - Only charges still outstanding are refunded: settling never lifts a counter above zero, so an estimate that was too high
 *   does not become credit. Rounds that a flow has skipped because of it count as payment.
 * - Unused quanta are not saved: a flow without waiting requests has no positive counter.
 * - Charges settled while nothing waits cost nothing, and older debts expire then: no other flow was delayed.
 * - A flow with running but no waiting requests pays its debt as rounds pass, as a waiting flow does.
 */

/** Tokens per round for the heaviest flow: about one short request, so that rounds are short. */
export const QUANTUM = 256;
/**
 * Maximum charge before a request has run. Estimates of long bodies (images above all) can be a hundred times too high, and
 * until the request ends its flow would wait for work it never caused. The rest is settled at the end.
 */
export const MAX_ADVANCE = 8192;

/** One flow and its deficit counter. */
export class Flow {
  readonly name: string;
  /** Relative to the other flows of the level. */
  weight: number;
  /** Tokens granted by rounds minus tokens settled; without running requests. */
  settledDeficit = 0;
  /** Tokens charged in advance for running requests. */
  outstanding = 0;
  /** The scheduler's virtual time when the flow last left the active list. */
  idleSinceVirtualTime = 0;
  /** The scheduler's busy period in which the counter last changed. */
  busyPeriod = 0;

  constructor(name: string, weight: number) {
    this.name = name;
    this.weight = weight;
  }

  /** The deficit counter: tokens the flow can still use in this round; below zero it has a debt. */
  get deficit(): number {
    return this.settledDeficit - this.outstanding;
  }
}

/** Schedules the flows of one level. The active list has the flows with waiting requests, in the order they are served. */
export class DeficitRoundRobin<F extends Flow> {
  readonly #active: F[] = [];
  /** Whether the head of the active list has got its quantum of this round. */
  #headHasQuantum = false;
  /** Tokens per unit of weight granted to a flow that is always active. */
  #virtualTime = 0;
  /** Number of busy periods: times during which something waited. */
  #busyPeriod = 0;

  /** The active list: flows with waiting requests, the next one to be served first. */
  get active(): readonly F[] {
    return this.#active;
  }

  /** Appends a flow to the active list: its first request waits. */
  activate(flow: F): void {
    this.#expireDebt(flow);
    const missed = (this.#virtualTime - flow.idleSinceVirtualTime) * flow.weight;
    // Its counter is not above zero, as that of every flow without waiting requests.
    flow.settledDeficit += Math.min(-flow.deficit, missed);
    this.#active.push(flow);
  }

  /** Removes a flow from the active list: none of its requests waits. No effect if it is not active. */
  deactivate(flow: F): void {
    const at = this.#active.indexOf(flow);
    if (at < 0) return;
    if (at === 0) this.#headHasQuantum = false;
    this.#active.splice(at, 1);
    flow.settledDeficit = Math.min(flow.settledDeficit, flow.outstanding);
    flow.idleSinceVirtualTime = this.#virtualTime;
    if (this.#active.length === 0) this.#busyPeriod += 1;
  }

  /**
   * Charges a request that starts: at least a quantum, since it is not known how long it will hold its slot. So a flow starts
   * one request per round, however low the estimates are.
   * @returns the advance, for `settle`
   */
  charge(flow: F, estimatedTokens: number): number {
    this.#expireDebt(flow);
    const advance = Math.min(Math.max(estimatedTokens, QUANTUM), MAX_ADVANCE);
    flow.outstanding += advance;
    return advance;
  }

  /** Refunds the advance and charges the tokens used. */
  settle(flow: F, advance: number, usedTokens: number): void {
    this.#expireDebt(flow);
    const before = flow.deficit;
    flow.outstanding -= advance;
    if (this.#active.length > 0) flow.settledDeficit -= usedTokens;
    flow.settledDeficit = Math.min(flow.settledDeficit, flow.outstanding + Math.max(before, 0));
  }

  /** The flow that is served next. The active list must not be empty. */
  next(): F {
    for (let visits = 1; ; visits += 1) {
      const flow = this.#active[0]!;
      if (!this.#headHasQuantum) {
        flow.settledDeficit += this.#quantum(flow);
        this.#virtualTime += QUANTUM / this.#heaviest() / this.#active.length;
        this.#headHasQuantum = true;
      }
      if (flow.deficit > 0) return flow;
      this.#active.push(this.#active.shift()!);
      this.#headHasQuantum = false;
      if (visits % this.#active.length === 0) this.#skipEmptyRounds();
    }
  }

  /** If all flows have a debt, grants the rounds in which none would be served at once. */
  #skipEmptyRounds(): void {
    const rounds = Math.min(...this.#active.map((flow) => Math.floor(-flow.deficit / this.#quantum(flow))));
    for (const flow of this.#active) flow.settledDeficit += rounds * this.#quantum(flow);
    this.#virtualTime += (rounds * QUANTUM) / this.#heaviest();
  }

  /** Relative to the heaviest active flow: rounds are equally short for weights of 0.3 and 0.7 and of 30 and 70. */
  #quantum(flow: F): number {
    return (QUANTUM * flow.weight) / this.#heaviest();
  }

  #heaviest(): number {
    let heaviest = 0;
    for (const { weight } of this.#active) if (weight > heaviest) heaviest = weight;
    return heaviest;
  }

  #expireDebt(flow: F): void {
    if (flow.busyPeriod === this.#busyPeriod) return;
    flow.busyPeriod = this.#busyPeriod;
    flow.settledDeficit = 0;
    flow.idleSinceVirtualTime = this.#virtualTime;
  }
}
