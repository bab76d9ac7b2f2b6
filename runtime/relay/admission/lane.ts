/**
 * One lane: its slots, and who waits for them. Callers take turns by deficit round-robin charged in tokens: a turn adds
 * `QUANTUM × weight` to a caller's account, and it is served while the account is above zero. As nobody knows beforehand what a
 * request will cost, the estimate is taken off first and settled at the end, and an account may fall below zero; then its
 * owner misses turns until it is paid (virtual token counter, https://arxiv.org/abs/2401.00588, in rounds). Who has just
 * come, or comes back, is served in its first turn: behind the running requests and at most one round.
 */
import type { Caller } from "../../config.ts";
import type { Slot, Ticket } from "./admission.ts";

/** Tokens a turn adds; about one short request, so that a round is short. */
const QUANTUM = 256;
/** While a caller's direct requests and its jobs both wait, a job gets one place in so many: neither starves. */
const JOB_EACH = 4;
/** Service times are averaged over about this many requests. */
const MEMORY = 20;

/** A ticket that waits. */
export interface Waiter extends Ticket {
  readonly background: boolean;
  /** By the lane's clock. */
  readonly since: number;
  granted(slot: Slot): void;
  /** Rejects the wait with `cause`, unless it has ended. */
  leave(cause: Error): void;
}

/** Where a lane stands. */
export interface LaneSnapshot {
  readonly slots: number;
  readonly running: number;
  /** Without background. */
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly waitingBackground: number;
  /** Mean time of a request in its slot, in ms; 0 before the first has ended. */
  readonly serviceMs: number;
  /** Of those who wait (background too) or run. */
  readonly callers: Readonly<Record<string, { readonly running: number; readonly waiting: number }>>;
}

/** A caller's place in the lane. */
interface Account {
  readonly name: string;
  weight: number;
  /** Tokens it may still take; below zero it owes. */
  balance: number;
  running: number;
  readonly direct: Set<Waiter>;
  readonly jobs: Set<Waiter>;
  /** Direct requests served since its last job. */
  sinceJob: number;
}

export class LaneQueue {
  #slots: number;
  readonly #now: () => number;
  readonly #accounts = new Map<string, Account>();
  /** Accounts with somebody waiting, in the order of their turns. */
  #turns: Account[] = [];
  #inTurn = false;
  #running = 0;
  #waiting = 0;
  #waitingBytes = 0;
  #background = 0;
  #serviceMs = 0;
  #measured = 0;

  constructor(slots: number, now: () => number) {
    this.#slots = slots;
    this.#now = now;
  }

  /** Whether a newcomer may run at once. */
  get free(): boolean {
    return this.#running < this.#slots && this.#turns.length === 0;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** How many requests were measured so far. */
  get measured(): number {
    return this.#measured;
  }

  /** Takes a free slot for a ticket that did not wait. */
  take(ticket: Ticket): Slot {
    return this.#start(ticket, this.#account(ticket.caller), 0);
  }

  add(waiter: Waiter): void {
    const account = this.#account(waiter.caller);
    if (account.direct.size + account.jobs.size === 0) {
      // A debt of before delays by a round at most.
      account.balance = Math.max(account.balance, 1 - QUANTUM * account.weight);
      this.#turns.push(account);
    }
    (waiter.background ? account.jobs : account.direct).add(waiter);
    this.#count(waiter, 1);
    this.#grant();
  }

  /** @returns false if it does not wait (any more) */
  remove(waiter: Waiter): boolean {
    const account = this.#account(waiter.caller);
    if (!(waiter.background ? account.jobs : account.direct).delete(waiter)) return false;
    this.#count(waiter, -1);
    this.#dropIfEmpty(account);
    return true;
  }

  resize(slots: number): void {
    this.#slots = slots;
    this.#grant();
  }

  waiters(): Waiter[] {
    return this.#turns.flatMap(({ direct, jobs }) => [...direct, ...jobs]);
  }

  expectedWaitMs(): number {
    return this.free ? 0 : this.#inSlots(this.#waiting + this.#background + 1);
  }

  /** For one more direct request of this caller: others go before it only as often as their share lets them. */
  expectedWaitOf(caller: Caller): number {
    if (this.free) return 0;
    const own = this.#accounts.get(caller.name);
    const before = own?.direct.size ?? 0;
    let ahead = before + 1;
    for (const account of this.#turns) {
      if (account === own) continue;
      const turns = Math.ceil(((before + 1) * account.weight) / caller.weight);
      ahead += Math.min(account.direct.size + account.jobs.size, turns);
    }
    return this.#inSlots(ahead);
  }

  snapshot(): LaneSnapshot {
    const callers: Record<string, { running: number; waiting: number }> = {};
    for (const { name, running, direct, jobs } of this.#accounts.values()) {
      const waiting = direct.size + jobs.size;
      if (running + waiting > 0) callers[name] = { running, waiting };
    }
    return {
      slots: this.#slots,
      running: this.#running,
      waiting: this.#waiting,
      waitingBytes: this.#waitingBytes,
      waitingBackground: this.#background,
      serviceMs: this.#serviceMs,
      callers,
    };
  }

  #inSlots(requests: number): number {
    return (requests * this.#serviceMs) / this.#slots;
  }

  #account({ name, weight }: Caller): Account {
    let account = this.#accounts.get(name);
    if (account === undefined) {
      account = { name, weight, balance: 0, running: 0, direct: new Set(), jobs: new Set(), sinceJob: 0 };
      this.#accounts.set(name, account);
    }
    account.weight = weight;
    return account;
  }

  #count({ background, bytes }: Waiter, by: 1 | -1): void {
    if (background) this.#background += by;
    else {
      this.#waiting += by;
      this.#waitingBytes += by * bytes;
    }
  }

  #dropIfEmpty(account: Account): void {
    if (account.direct.size + account.jobs.size > 0) return;
    const at = this.#turns.indexOf(account);
    if (at === 0) this.#inTurn = false;
    if (at >= 0) this.#turns.splice(at, 1);
    account.balance = Math.min(account.balance, 0); // what was not used is not saved up
  }

  #start({ estimatedTokens }: Ticket, account: Account, waitedMs: number): Slot {
    this.#running += 1;
    account.running += 1;
    account.balance -= estimatedTokens;
    const startedAt = this.#now();
    let released = false;
    return {
      waitedMs,
      release: (usedTokens = estimatedTokens) => {
        if (released) return;
        released = true;
        this.#running -= 1;
        account.running -= 1;
        account.balance -= usedTokens - estimatedTokens;
        if (usedTokens > 0) this.#measure(this.#now() - startedAt);
        // Without a queue nobody was kept waiting, so nothing is owed.
        if (this.#turns.length === 0) account.balance = 0;
        this.#grant();
      },
    };
  }

  #measure(ms: number): void {
    this.#measured += 1;
    this.#serviceMs += (ms - this.#serviceMs) / Math.min(this.#measured, MEMORY);
  }

  #grant(): void {
    while (this.#running < this.#slots && this.#turns.length > 0) {
      const account = this.#nextTurn();
      const waiter = this.#next(account);
      (waiter.background ? account.jobs : account.direct).delete(waiter);
      this.#count(waiter, -1);
      const slot = this.#start(waiter, account, this.#now() - waiter.since);
      this.#dropIfEmpty(account);
      waiter.granted(slot);
    }
  }

  /** The account whose turn it is, its balance above zero. There must be one that waits. */
  #nextTurn(): Account {
    for (let visits = 0; ; visits += 1) {
      const [account] = this.#turns as [Account, ...Account[]];
      if (!this.#inTurn) {
        account.balance += QUANTUM * account.weight;
        this.#inTurn = true;
      }
      if (account.balance > 0) return account;
      this.#turns.push(this.#turns.shift()!);
      this.#inTurn = false;
      if (visits === this.#turns.length) this.#skipRounds();
    }
  }

  // All owe: the rounds in which nobody would be served are given at once.
  #skipRounds(): void {
    const rounds = this.#turns.map(({ balance, weight }) => Math.floor(-balance / (QUANTUM * weight)));
    const all = Math.min(...rounds);
    for (const account of this.#turns) account.balance += all * QUANTUM * account.weight;
  }

  #next(account: Account): Waiter {
    const { direct, jobs, sinceJob } = account;
    const jobFirst = jobs.size > 0 && (direct.size === 0 || sinceJob >= JOB_EACH - 1);
    account.sinceJob = jobFirst ? 0 : sinceJob + 1;
    const [waiter] = jobFirst ? jobs : direct;
    return waiter!;
  }
}
