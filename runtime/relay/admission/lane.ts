/**
 * One lane: its slots, and who waits for them. Direct requests and background work are two classes, each fair among its
 * callers and their companies (`flow-tree.ts`). Background work gets at most one grant in five while direct requests wait,
 * and never holds the last slot of a lane that has two or more. In a lane with one slot it can hold that: what runs is
 * never interrupted.
 */
import type { Caller } from "../../config.ts";
import { makeRoom, type Room, type WaitingBounds } from "./bounds.ts";
import { NO_COMPANY } from "./flow-names.ts";
import { type Charge, FlowTree } from "./flow-tree.ts";
import { ServiceTimes } from "./service-times.ts";
import type { LaneSnapshot, Slot, Ticket } from "./ticket.ts";
import type { Waiter } from "./waiting-list.ts";

/** While both wait, background work gets a slot after so many direct requests that got one: at most one in five. */
const DIRECT_PER_BACKGROUND = 4;

/** How many slots of a lane background work can hold at a time. @param wanted `jobs.slots`; absent: all but one */
export function backgroundSlots(slots: number, wanted: number | undefined): number {
  const most = Math.max(1, slots - 1);
  return Math.min(wanted ?? most, most);
}

export class LaneQueue {
  readonly #direct = new FlowTree();
  readonly #background = new FlowTree();
  readonly #times = new ServiceTimes();
  readonly #now: () => number;
  readonly #wanted: number | undefined;
  #slots: number;
  #running = 0;
  #runningBackground = 0;
  /** Direct requests that got a slot since background work last did, or began to wait. */
  #directFirst = 0;

  /**
   * @param wanted slots for background work, see `backgroundSlots`
   * @param now milliseconds of a clock that never goes back
   */
  constructor(slots: number, wanted: number | undefined, now: () => number) {
    this.#slots = slots;
    this.#wanted = wanted;
    this.#now = now;
  }

  /** How many requests were measured so far. */
  get measured(): number {
    return this.#times.measured;
  }

  /** Whether a newcomer of this class may run at once. */
  freeFor(background: boolean): boolean {
    if (this.#running >= this.#slots) return false;
    if (!background) return this.#direct.waiting === 0;
    return this.#direct.waiting === 0 && this.#background.waiting === 0 && this.#backgroundMayStart();
  }

  /** Takes a free slot for a ticket that did not wait. */
  take(ticket: Ticket): Slot {
    return this.#start(ticket, this.#tree(ticket).start(ticket), 0);
  }

  /** Who goes so that one more direct request can wait. */
  roomFor(ticket: Ticket, bounds: WaitingBounds): Room {
    return makeRoom(this.#direct, ticket, bounds);
  }

  add(waiter: Waiter): void {
    this.#tree(waiter.ticket).add(waiter);
    this.#grant();
  }

  /** @returns false if it does not wait (any more) */
  remove(waiter: Waiter): boolean {
    return this.#tree(waiter.ticket).remove(waiter);
  }

  resize(slots: number): void {
    this.#slots = slots;
    this.#grant();
  }

  /** From now on these weights. */
  reweigh(callers: readonly Pick<Caller, "name" | "weight">[]): void {
    this.#direct.reweigh(callers);
    this.#background.reweigh(callers);
  }

  waiters(): Waiter[] {
    return [...this.#direct.waiters(), ...this.#background.waiters()];
  }

  /** How long one more request would wait behind all who wait, in ms; 0 when a slot is free. */
  expectedWaitMs(): number {
    return this.freeFor(false) ? 0 : this.#inSlots(this.#direct.waiting + this.#background.waiting + 1);
  }

  /** For one more direct request of this caller and company, in ms: others go first only as often as their share lets them. */
  expectedWaitOf({ caller, company = NO_COMPANY }: Pick<Ticket, "caller" | "company">): number {
    if (this.freeFor(false)) return 0;
    const direct = this.#direct.turnsUntil(caller, company);
    return this.#inSlots(direct + Math.min(this.#background.waiting, Math.floor(direct / DIRECT_PER_BACKGROUND)));
  }

  snapshot(): LaneSnapshot {
    const callers: Record<string, { running: number; waiting: number }> = {};
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
      serviceMs: this.#times.meanMs,
      callers,
    };
  }

  #tree({ background }: Ticket): FlowTree {
    return background === true ? this.#background : this.#direct;
  }

  #inSlots(requests: number): number {
    return (requests * this.#times.meanMs) / this.#slots;
  }

  #backgroundMayStart(): boolean {
    return this.#runningBackground < backgroundSlots(this.#slots, this.#wanted);
  }

  #start(ticket: Ticket, charge: Charge, waitedMs: number): Slot {
    const background = ticket.background === true;
    this.#running += 1;
    if (background) this.#runningBackground += 1;
    this.#directFirst = background || this.#background.waiting === 0 ? 0 : this.#directFirst + 1;
    const startedAt = this.#now();
    let ended = false;
    const end = (usedTokens: number) => {
      ended = true;
      this.#running -= 1;
      if (background) this.#runningBackground -= 1;
      this.#tree(ticket).settle(charge, usedTokens);
      this.#grant();
    };
    return {
      waitedMs,
      release: (usedTokens = ticket.estimatedTokens) => {
        if (ended) return;
        if (usedTokens === 0) return end(0);
        const ms = this.#now() - startedAt;
        this.#times.add(ms, usedTokens);
        end(Math.max(usedTokens, this.#times.priceOf(ms)));
      },
      abandon: () => {
        if (!ended) end(this.#times.tokensIn(this.#now() - startedAt) ?? ticket.estimatedTokens);
      },
    };
  }

  #grant(): void {
    for (let tree = this.#nextClass(); tree !== undefined; tree = this.#nextClass()) {
      const { waiter, charge } = tree.next();
      waiter.grant(this.#start(waiter.ticket, charge, this.#now() - waiter.since));
    }
  }

  /** The class that gets the next slot; undefined if none is free, or nobody who waits may have it. */
  #nextClass(): FlowTree | undefined {
    if (this.#running >= this.#slots) return undefined;
    const background = this.#background.waiting > 0 && this.#backgroundMayStart();
    const direct = this.#direct.waiting > 0;
    if (background && (!direct || this.#directFirst >= DIRECT_PER_BACKGROUND)) return this.#background;
    return direct ? this.#direct : undefined;
  }
}
