/**
 * A queue and its slots. Direct requests and background work are two classes, each fair among its callers and their
 * companies (`flow-tree.ts`). While direct requests wait, at most one slot in five is granted to background work, and
 * background work never holds the last slot of a queue with two or more. In a queue with one slot it can hold that one:
 * running work is not interrupted.
 */
import type { Caller } from "../../config.ts";
import { makeRoom, type RoomDecision, type WaitingBounds } from "./bounds.ts";
import { NO_COMPANY } from "./flow-names.ts";
import { type Charge, FlowTree } from "./flow-tree.ts";
import { ServiceTimes } from "./service-times.ts";
import type { QueueSnapshot, Slot, SlotRequest } from "./slot-request.ts";
import type { Waiter } from "./waiting-list.ts";

/** While both wait, background work gets a slot after this many direct requests: at most one in five. */
const DIRECT_PER_BACKGROUND = 4;

/** How many slots of a queue background work can hold at the same time. @param wanted `jobs.slots`; absent: all but one */
export function backgroundSlots(slots: number, wanted: number | undefined): number {
  const most = Math.max(1, slots - 1);
  return Math.min(wanted ?? most, most);
}

export class RequestQueue {
  readonly #direct = new FlowTree();
  readonly #background = new FlowTree();
  readonly #times = new ServiceTimes();
  readonly #now: () => number;
  #backgroundLimit: number | undefined;
  #slots: number;
  #running = 0;
  #runningBackground = 0;
  /** Direct requests that got a slot since background work last got one, or began to wait. */
  #directSinceBackground = 0;

  /**
   * @param wanted slots for background work, see `backgroundSlots`
   * @param now monotonic clock in ms
   */
  constructor(slots: number, wanted: number | undefined, now: () => number) {
    this.#slots = slots;
    this.#backgroundLimit = wanted;
    this.#now = now;
  }

  /** Number of requests measured. */
  get measured(): number {
    return this.#times.measured;
  }

  /** Whether a new request of this class can start immediately. It overtakes none: what waits has got every slot it can use. */
  isFreeFor(background: boolean): boolean {
    return this.#running < this.#slots && (!background || this.#canStartBackground());
  }

  /** Starts a request without waiting. `isFreeFor` must be true. */
  start(request: SlotRequest): Slot {
    return this.#start(request, this.#flowsOf(request).start(request), 0);
  }

  /** Whether one more direct request can wait, and what is evicted for it. */
  makeRoom(request: SlotRequest, bounds: WaitingBounds): RoomDecision {
    return makeRoom(this.#direct, request, bounds);
  }

  add(waiter: Waiter): void {
    this.#flowsOf(waiter.request).add(waiter);
    this.#grantFreeSlots();
  }

  /** @returns false if it is not waiting */
  remove(waiter: Waiter): boolean {
    return this.#flowsOf(waiter.request).remove(waiter);
  }

  resize(slots: number, wanted: number | undefined): void {
    this.#slots = slots;
    this.#backgroundLimit = wanted;
    this.#grantFreeSlots();
  }

  /** Sets new weights, for waiting requests too. */
  setWeights(callers: readonly Pick<Caller, "name" | "weight">[]): void {
    this.#direct.setWeights(callers);
    this.#background.setWeights(callers);
  }

  waiters(): Waiter[] {
    return [...this.#direct.waiters(), ...this.#background.waiters()];
  }

  /** Expected wait in ms of a new request behind all that wait; 0 when a slot is free. */
  expectedWaitMs(): number {
    return this.isFreeFor(false) ? 0 : this.#serviceTimeOf(this.#direct.waiting + this.#background.waiting + 1);
  }

  /** Expected wait in ms of a new direct request of this caller and company, by its share; 0 when a slot is free. */
  expectedWaitOf({ caller, company = NO_COMPANY }: Pick<SlotRequest, "caller" | "company">): number {
    if (this.isFreeFor(false)) return 0;
    const direct = this.#direct.servedUntilNew(caller, company);
    return this.#serviceTimeOf(direct + Math.min(this.#background.waiting, Math.floor(direct / DIRECT_PER_BACKGROUND)));
  }

  snapshot(): QueueSnapshot {
    // Without inherited names: a caller can be called "constructor".
    const callers = Object.create(null) as Record<string, { running: number; waiting: number }>;
    for (const tree of [this.#direct, this.#background]) {
      for (const { name, running, waiting } of tree.callers) {
        const sum = callers[name] ?? { running: 0, waiting: 0 };
        callers[name] = { running: sum.running + running, waiting: sum.waiting + waiting };
      }
    }
    return {
      slots: this.#slots,
      running: this.#running,
      runningBackground: this.#runningBackground,
      waiting: this.#direct.waiting,
      waitingBytes: this.#direct.bytes,
      waitingBackground: this.#background.waiting,
      longestWaitMs: this.#direct.waiting === 0 ? 0 : this.#now() - this.#direct.oldestSince,
      serviceMs: this.#times.meanMs,
      callers,
    };
  }

  #flowsOf({ background }: SlotRequest): FlowTree {
    return background === true ? this.#background : this.#direct;
  }

  #serviceTimeOf(requests: number): number {
    return (requests * this.#times.meanMs) / this.#slots;
  }

  #canStartBackground(): boolean {
    return this.#runningBackground < backgroundSlots(this.#slots, this.#backgroundLimit);
  }

  #start(request: SlotRequest, charge: Charge, waitedMs: number): Slot {
    const background = request.background === true;
    this.#running += 1;
    if (background) this.#runningBackground += 1;
    this.#directSinceBackground = background || this.#background.waiting === 0 ? 0 : this.#directSinceBackground + 1;
    const startedAt = this.#now();
    let ended = false;
    const end = (usedTokens: number) => {
      ended = true;
      this.#running -= 1;
      if (background) this.#runningBackground -= 1;
      this.#flowsOf(request).settle(charge, usedTokens);
      this.#grantFreeSlots();
    };
    return {
      waitedMs,
      release: (usedTokens = request.estimatedTokens) => {
        if (ended) return;
        if (usedTokens === 0) return end(0);
        const ms = this.#now() - startedAt;
        this.#times.add(ms, usedTokens);
        end(Math.max(usedTokens, this.#times.minTokensFor(ms)));
      },
      abandon: () => {
        if (!ended) end(this.#times.tokensFor(this.#now() - startedAt) ?? request.estimatedTokens);
      },
    };
  }

  #grantFreeSlots(): void {
    for (let tree = this.#nextClass(); tree !== undefined; tree = this.#nextClass()) {
      const { waiter, charge } = tree.next();
      waiter.grant(this.#start(waiter.request, charge, this.#now() - waiter.since));
    }
  }

  /** The class that gets the next slot; undefined if no slot is free for what waits. */
  #nextClass(): FlowTree | undefined {
    if (this.#running >= this.#slots) return undefined;
    const background = this.#background.waiting > 0 && this.#canStartBackground();
    const direct = this.#direct.waiting > 0;
    if (background && (!direct || this.#directSinceBackground >= DIRECT_PER_BACKGROUND)) return this.#background;
    return direct ? this.#direct : undefined;
  }
}
