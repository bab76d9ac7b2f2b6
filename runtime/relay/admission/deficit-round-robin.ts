/**
 * Deficit round-robin charged in tokens, for one level of flows. A turn adds `QUANTUM` (in proportion to the flow's weight)
 * to a flow's deficit counter, and the flow is served while its balance is above zero. As nobody knows beforehand what a
 * request will cost, an estimate is charged at the start and settled at the end, and a balance may fall below zero: then the
 * flow misses turns until it has paid (as with the virtual token counter, https://arxiv.org/abs/2401.00588, in rounds).
 *
 * Invariants:
 * - Only what is still charged can be refunded: settling a charge never lifts a balance above zero, so an estimate that was
 *   too high is no credit to be spent later. Rounds a flow has missed because of it count as payment.
 * - What is not used is not saved up: a flow with nothing waiting keeps no positive balance.
 * - While nobody waits, nobody is kept waiting: what is settled then is owed to nobody, and older debts are void.
 * - A flow that has requests running but none waiting pays its debt as the turns of the others go by, like one that waits.
 */

/** Tokens the heaviest flow gets in a turn: about one short request, so that a round is short. */
export const QUANTUM = 256;
/**
 * Most that is charged before a request has run. Estimates of long bodies (images above all) can be a hundred times too
 * high, and until the request ends its flow would be kept waiting for work it never caused. The end settles the rest.
 */
export const MAX_ADVANCE = 8192;

/** One flow's account among its siblings. */
export class Flow {
  readonly name: string;
  /** Relative to the siblings'. */
  weight: number;
  /** Tokens granted by turns less tokens settled; the requests that run are not in it. */
  settledDeficit = 0;
  /** Tokens charged in advance for the requests that run. */
  outstanding = 0;
  /** The scheduler's clock when the flow last left the active list. */
  idleSinceVirtualTime = 0;
  /** In which of the scheduler's busy periods `deficit` was last changed. */
  busyPeriod = 0;

  constructor(name: string, weight: number) {
    this.name = name;
    this.weight = weight;
  }

  /** Tokens it may still take; below zero it owes. */
  get deficit(): number {
    return this.settledDeficit - this.outstanding;
  }
}

/** Flows of one level, and whose turn it is. Flows with something waiting are active, in the order of their turns. */
export class DeficitRoundRobin<F extends Flow> {
  readonly #active: F[] = [];
  /** Whether the first of the active list has been given its quantum. */
  #headHasQuantum = false;
  /** Tokens per unit of weight that turns have given to a flow that was active all the time. */
  #virtualTime = 0;
  /** Counts the times when somebody waited. */
  #busyPeriod = 0;

  /** Those with something waiting, the next to be served first. */
  get active(): readonly F[] {
    return this.#active;
  }

  /** Something of the flow waits now: it gets a turn behind all who are active. */
  activate(flow: F): void {
    this.#expireDebt(flow);
    const missed = (this.#virtualTime - flow.idleSinceVirtualTime) * flow.weight;
    if (flow.deficit < 0) flow.settledDeficit += Math.min(-flow.deficit, Math.max(0, missed));
    this.#active.push(flow);
  }

  /** Nothing of the flow waits any more. */
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
   * Charges a request that starts: a turn's worth at least, since nobody knows yet how long it will hold its slot. So
   * however little requests are said to cost, a flow starts one of them in a turn.
   * @returns what has to be given to `settle` at its end
   */
  charge(flow: F, estimatedTokens: number): number {
    this.#expireDebt(flow);
    const advance = Math.min(Math.max(estimatedTokens, QUANTUM), MAX_ADVANCE);
    flow.outstanding += advance;
    return advance;
  }

  /** Takes back the advance and charges what was used. */
  settle(flow: F, advance: number, usedTokens: number): void {
    this.#expireDebt(flow);
    const before = flow.deficit;
    flow.outstanding -= advance;
    if (this.#active.length > 0) flow.settledDeficit -= usedTokens;
    flow.settledDeficit = Math.min(flow.settledDeficit, flow.outstanding + Math.max(before, 0));
  }

  /** The flow that is served next. There must be an active one. */
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

  /** All owe: the rounds in which nobody would be served are given at once. */
  #skipEmptyRounds(): void {
    const rounds = Math.min(...this.#active.map((flow) => Math.floor(-flow.deficit / this.#quantum(flow))));
    if (!(rounds > 0)) return;
    for (const flow of this.#active) flow.settledDeficit += rounds * this.#quantum(flow);
    this.#virtualTime += (rounds * QUANTUM) / this.#heaviest();
  }

  /** In proportion to the heaviest that waits: a round is equally short whether weights are 0.3 and 0.7 or 30 and 70. */
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
