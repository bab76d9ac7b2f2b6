/**
 * Finds by itself how many chat requests the model server takes at once (`limits.chat: auto`). Pure: it has no timers and does
 * no I/O; whoever owns it feeds it observations and the time, and applies what it decides.
 *
 * It climbs on output tokens per second of the whole server, measured only while requests wait for a slot (otherwise the
 * number of slots makes no difference). Round-trip time would mislead, since it follows the length of the answers. The time to
 * the first token, from when a request is sent to the model server, is the guard: it grows when requests wait inside it.
 *
 * It compares two neighbours in turns: an epoch at n, then one at the neighbour. A step up stays when it brings enough; a step
 * down stays when it costs next to nothing. Else it returns, and tries again later and later. All steps are by one, or by an
 * eighth of n from 16 on.
 */

/** Bounds, both included. */
export interface AdaptiveBounds {
  readonly min: number;
  readonly max: number;
}

/** Why the number changed. */
export type AdaptiveReason =
  | "start"
  | "bounds"
  | "try_more"
  | "more_pays"
  | "more_does_not_pay"
  | "try_fewer"
  | "fewer_suffice"
  | "fewer_cost"
  | "first_token_late";

/** One change, for people. */
export interface AdaptiveStep {
  /** ms since 1970. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly reason: AdaptiveReason;
  /** Output tokens per second before, and what the change was decided on; undefined for a try. */
  readonly tokensPerSecond: { readonly before: number | undefined; readonly after: number | undefined };
}

/** What survives a restart. */
export interface AdaptiveState {
  readonly slots: number;
  readonly history: readonly AdaptiveStep[];
}

/** Times in ms. */
export interface AdaptiveTimes {
  /** Loaded time of an epoch, at least. */
  readonly epochMs: number;
  /** Ended answers of an epoch, at least, for each slot. */
  readonly answersPerSlot: number;
  /** Loaded time after a change that is not counted: what began before must end first. */
  readonly settleMs: number;
  /** Loaded time until the same direction is tried again after it did not pay; doubled each time, up to its `most…`. */
  readonly waitMs: number;
  /** A step up costs next to nothing: it is tried often enough to notice within minutes that the server takes more. */
  readonly mostWaitUpMs: number;
  /** A step down costs throughput while it is tried; that fewer would do shows in the time to the first token. */
  readonly mostWaitDownMs: number;
}

export const ADAPTIVE_TIMES: AdaptiveTimes = {
  epochMs: 12_000,
  answersPerSlot: 3,
  settleMs: 4_000,
  waitMs: 45_000,
  mostWaitUpMs: 120_000,
  mostWaitDownMs: 1_800_000,
};

/** A step up must bring this part of what it would on a server without a bound. */
const WORTH = 0.4;
/** A step down may cost this part of the throughput. */
const COSTS = 0.03;
/** Throughput that moved so much at the same number: the server is another one now. */
const MOVED = 0.2;
/** Time to the first token that grew so much against the lesser number: requests wait inside the server. */
const LATE = 1.6;
/** An epoch that is this much worse than the one before is not waited out. */
const BREAK_OFF = 0.75;
/** Changes that are remembered. */
const REMEMBERED = 50;

interface Epoch {
  readonly slots: number;
  loadedMs: number;
  settledMs: number;
  tokens: number;
  answers: number;
  readonly firstMs: number[];
}

interface Measured {
  readonly tokensPerSecond: number;
  /** Median; undefined of nothing. */
  readonly firstMs: number | undefined;
}

type Direction = "up" | "down";

interface Trial {
  readonly from: number;
  readonly direction: Direction;
  /** What `from` was measured to give. */
  readonly base: Measured;
}

const median = (values: readonly number[]): number | undefined =>
  values.length === 0 ? undefined : [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Whether the first tokens come so much later that requests must wait inside the server. */
function isLate(base: Measured | undefined, now: Measured): boolean {
  return base?.firstMs !== undefined && now.firstMs !== undefined && now.firstMs > LATE * base.firstMs;
}

export class AdaptiveLimit {
  #bounds: AdaptiveBounds;
  readonly #times: AdaptiveTimes;
  readonly #now: () => number;
  #slots: number;
  #history: AdaptiveStep[];
  #epoch: Epoch;
  /** What the number that is kept was last measured to give. */
  #base: Measured | undefined;
  /** The number to return to while another one is tried. */
  #trial: Trial | undefined;
  /** Loaded time since the last change, and how long each direction waits. */
  #loadedMs = 0;
  readonly #retry: Record<Direction, { at: number; wait: number }>;

  /**
   * @param state of before a restart; its number is taken where it left off
   * @param now ms since 1970, for the history
   */
  constructor(
    bounds: AdaptiveBounds,
    state?: AdaptiveState,
    times: AdaptiveTimes = ADAPTIVE_TIMES,
    now: () => number = Date.now,
  ) {
    this.#bounds = bounds;
    this.#times = times;
    this.#now = now;
    this.#history = [...(state?.history ?? [])];
    this.#slots = state?.slots ?? bounds.min;
    this.#retry = { up: { at: 0, wait: times.waitMs }, down: { at: 4 * times.waitMs, wait: 4 * times.waitMs } };
    this.#epoch = this.#newEpoch();
    if (state === undefined) this.#note(this.#slots, "start", undefined, undefined);
    this.setBounds(bounds);
  }

  /** Slots that may be granted now. */
  get slots(): number {
    return this.#slots;
  }

  get bounds(): AdaptiveBounds {
    return this.#bounds;
  }

  get state(): AdaptiveState {
    return { slots: this.#trial?.from ?? this.#slots, history: [...this.#history] };
  }

  setBounds(bounds: AdaptiveBounds): void {
    this.#bounds = bounds;
    const inside = this.#inside(this.#slots);
    const from = this.#trial?.from ?? inside;
    if (inside === this.#slots && this.#inside(from) === from) return;
    // A try would return to a number that is not allowed any more.
    this.#trial = undefined;
    this.#move(inside, "bounds", undefined, undefined);
  }

  #inside(slots: number): number {
    return Math.min(this.#bounds.max, Math.max(this.#bounds.min, slots));
  }

  /** An answer ended. @param firstMs from when it was sent to the model server to its first byte */
  answered(tokens: number, firstMs: number | undefined): void {
    const epoch = this.#epoch;
    if (epoch.settledMs < this.#times.settleMs) return;
    epoch.tokens += tokens;
    epoch.answers += 1;
    if (firstMs !== undefined) epoch.firstMs.push(firstMs);
  }

  /**
   * Time passed. @param isLoaded whether all slots were taken and somebody waited all the while
   * @returns true when `slots` changed
   */
  passed(ms: number, isLoaded: boolean): boolean {
    if (!isLoaded) return false;
    const epoch = this.#epoch;
    if (epoch.settledMs < this.#times.settleMs) {
      epoch.settledMs += ms;
      return false;
    }
    this.#loadedMs += ms;
    epoch.loadedMs += ms;
    const before = this.#slots;
    if (this.#isOver(epoch)) this.#decide(this.#measured(epoch));
    return this.#slots !== before;
  }

  #newEpoch(): Epoch {
    return { slots: this.#slots, loadedMs: 0, settledMs: 0, tokens: 0, answers: 0, firstMs: [] };
  }

  #measured({ loadedMs, tokens, firstMs }: Epoch): Measured {
    return { tokensPerSecond: (tokens * 1000) / Math.max(1, loadedMs), firstMs: median(firstMs) };
  }

  #isOver(epoch: Epoch): boolean {
    const { epochMs, answersPerSlot } = this.#times;
    // Long answers make an epoch longer, but not without end.
    const enough = epoch.answers >= answersPerSlot * epoch.slots || epoch.loadedMs >= 5 * epochMs;
    if (epoch.loadedMs >= epochMs && enough) return true;
    // A try that clearly costs is not waited out.
    const base = this.#trial?.base;
    if (!base || epoch.loadedMs < epochMs / 2 || epoch.answers < epoch.slots) return false;
    return this.#measured(epoch).tokensPerSecond < BREAK_OFF * base.tokensPerSecond;
  }

  #decide(now: Measured): void {
    if (this.#trial) this.#judge(this.#trial, now);
    else this.#keep(now);
    this.#epoch = this.#newEpoch();
  }

  /** The number that is kept was measured again: is it time to try another one? */
  #keep(now: Measured): void {
    const base = this.#base;
    const moved = base && Math.abs(now.tokensPerSecond / Math.max(1e-9, base.tokensPerSecond) - 1) > MOVED;
    const late = isLate(base, now);
    // Another server now, or other requests: what did not pay may pay.
    if (moved || late) for (const direction of ["up", "down"] as const) this.#reset(direction);
    const smoothed = base && !moved ? (base.tokensPerSecond + now.tokensPerSecond) / 2 : now.tokensPerSecond;
    this.#base = { tokensPerSecond: smoothed, firstMs: now.firstMs };
    const direction = this.#due(late);
    if (direction === undefined) return;
    const to = this.#neighbour(direction);
    this.#trial = { from: this.#slots, direction, base: this.#base };
    this.#move(to, direction === "up" ? "try_more" : "try_fewer", this.#base.tokensPerSecond, undefined);
  }

  #due(isLate: boolean): Direction | undefined {
    const order: readonly Direction[] = isLate ? ["down", "up"] : ["up", "down"];
    return order.find((one) => this.#loadedMs >= this.#retry[one].at && this.#neighbour(one) !== this.#slots);
  }

  #judge({ from, direction, base }: Trial, now: Measured): void {
    const before = base.tokensPerSecond;
    const [tried, after] = [this.#slots, now.tokensPerSecond];
    this.#trial = undefined;
    if (direction === "down") {
      if (after >= before * (1 - COSTS)) this.#accept("down", "fewer_suffice", base, now);
      else this.#reject(from, "down", "fewer_cost", before, after);
      return;
    }
    const proportional = tried / from - 1;
    const pays = after >= before * (1 + WORTH * proportional);
    const late = isLate(base, now) && after < before * (1 + 0.8 * proportional);
    if (pays && !late) this.#accept("up", "more_pays", base, now);
    else this.#reject(from, "up", late ? "first_token_late" : "more_does_not_pay", before, after);
  }

  #reject(from: number, direction: Direction, reason: AdaptiveReason, before: number, after: number): void {
    this.#postpone(direction);
    this.#move(from, reason, before, after);
  }

  #accept(direction: Direction, reason: AdaptiveReason, base: Measured, now: Measured): void {
    this.#base = now;
    // On in the same direction at once; the other one was just left.
    this.#retry[direction] = { at: this.#loadedMs, wait: this.#times.waitMs };
    this.#postpone(direction === "up" ? "down" : "up");
    this.#note(this.#slots, reason, base.tokensPerSecond, now.tokensPerSecond);
  }

  #postpone(direction: Direction): void {
    const { wait } = this.#retry[direction];
    const most = direction === "up" ? this.#times.mostWaitUpMs : this.#times.mostWaitDownMs;
    this.#retry[direction] = { at: this.#loadedMs + wait, wait: Math.min(2 * wait, most) };
  }

  #reset(direction: Direction): void {
    this.#retry[direction] = { at: this.#loadedMs, wait: this.#times.waitMs };
  }

  #neighbour(direction: Direction): number {
    const step = Math.max(1, Math.floor(this.#slots / 8));
    const to = direction === "up" ? this.#slots + step : this.#slots - step;
    return this.#inside(to);
  }

  #move(to: number, reason: AdaptiveReason, before: number | undefined, after: number | undefined): void {
    this.#note(to, reason, before, after);
    this.#slots = to;
    this.#epoch = this.#newEpoch();
  }

  #note(to: number, reason: AdaptiveReason, before: number | undefined, after: number | undefined): void {
    this.#history.push({ at: this.#now(), from: this.#slots, to, reason, tokensPerSecond: { before, after } });
    if (this.#history.length > REMEMBERED) this.#history.shift();
  }
}
