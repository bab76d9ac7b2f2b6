/** A queue and its slots, request by request. */
import { describe, expect, it } from "vitest";
import { backgroundSlots, RequestQueue } from "../../../../runtime/relay/admission/queue.ts";
import type { Slot } from "../../../../runtime/relay/admission/slot-request.ts";
import { Waiter, WaitingList } from "../../../../runtime/relay/admission/waiting-list.ts";
import { slotRequestOf } from "./queue-simulation.ts";

type Changes = Partial<Parameters<typeof slotRequestOf>[0]>;
const requestOf = (caller: string, changes: Changes = {}) =>
  slotRequestOf({ caller, estimate: 300, used: 300, ms: 0, ...changes });

/** A queue with a clock of its own. */
class ByHand {
  now = 0;
  readonly queue: RequestQueue;
  /** Callers in the order in which they got a slot after waiting, with their slots. */
  readonly granted: { caller: string; slot: Slot }[] = [];

  constructor(slots: number, background?: number) {
    this.queue = new RequestQueue(slots, background, () => this.now);
  }

  /** Starts a request that is free to. */
  start(caller: string, changes: Changes = {}): Slot {
    expect(this.queue.isFreeFor(changes.background ?? false)).toBe(true);
    return this.queue.start(requestOf(caller, changes));
  }

  wait(caller: string, changes: Changes = {}): Waiter {
    const waiter = new Waiter(
      requestOf(caller, changes),
      this.now,
      (slot) => this.granted.push({ caller, slot }),
      () => {},
    );
    this.queue.add(waiter);
    return waiter;
  }

  /** Runs requests of 100 ms and 1000 tokens, so that times are known. */
  measure(count: number): void {
    for (let n = 0; n < count; n += 1) {
      const slot = this.start("before");
      this.now += 100;
      slot.release(1000);
    }
  }

  get callers(): string[] {
    return this.granted.map(({ caller }) => caller);
  }
}

it.each([
  [1, undefined, 1],
  [2, undefined, 1],
  [5, undefined, 4],
  [5, 2, 2],
  [5, 9, 4],
  [1, 3, 1],
])("of %i slots, with %s wanted, background work can hold %i", (slots, wanted, most) => {
  expect(backgroundSlots(slots, wanted)).toBe(most);
});

describe("background work", () => {
  it("leaves the last slot to direct requests", () => {
    const { queue, ...hand } = new ByHand(2);
    queue.start(requestOf("a", { background: true }));
    expect([queue.isFreeFor(true), queue.isFreeFor(false)]).toEqual([false, true]);
    queue.start(requestOf("b"));
    expect([queue.isFreeFor(true), queue.isFreeFor(false)]).toEqual([false, false]);
    expect(hand.granted).toEqual([]);
    expect(queue.snapshot()).toMatchObject({ slots: 2, running: 2, runningBackground: 1 });
  });

  it("does not start before what waits: direct requests, or other background work", () => {
    const hand = new ByHand(3, 1);
    hand.start("a", { background: true });
    hand.wait("b", { background: true });
    expect([hand.queue.isFreeFor(true), hand.queue.isFreeFor(false)]).toEqual([false, true]);
    hand.queue.resize(3, 2);
    expect(hand.callers).toEqual(["b"]);
    hand.start("c");
    hand.wait("d");
    hand.queue.resize(4, 3);
    expect(hand.callers).toEqual(["b", "d"]);
  });

  it("gets a slot after four direct requests, counted from when it began to wait", () => {
    const hand = new ByHand(1);
    let slot = hand.start("first");
    for (let n = 0; n < 8; n += 1) hand.wait("direct");
    const end = () => {
      slot.release();
      slot = hand.granted.at(-1)!.slot;
    };
    for (let n = 0; n < 3; n += 1) end();
    hand.wait("job", { background: true });
    hand.wait("job", { background: true });
    for (let n = 0; n < 7; n += 1) end();
    expect(hand.callers).toEqual([...Array<string>(7).fill("direct"), "job", "direct", "job"]);
  });
});

describe("the end of a request", () => {
  it("counts once, whatever is called after it", () => {
    const hand = new ByHand(1);
    const slot = hand.start("a", { background: true });
    expect(slot.waitedMs).toBe(0);
    slot.abandon();
    slot.release();
    slot.abandon();
    expect(hand.queue.snapshot()).toMatchObject({ running: 0, runningBackground: 0, callers: {} });
    expect(hand.queue.measured).toBe(0);
  });

  it("with an answer is measured, one that never ran or was broken off is not", () => {
    const hand = new ByHand(1);
    const end = (how: (slot: Slot) => void) => {
      const slot = hand.start("a");
      hand.now += 40;
      how(slot);
      return [hand.queue.measured, hand.queue.snapshot().serviceMs];
    };
    expect(end((slot) => slot.release(0))).toEqual([0, 0]);
    expect(end((slot) => slot.abandon())).toEqual([0, 0]);
    expect(end((slot) => slot.release())).toEqual([1, 40]);
    expect(end((slot) => slot.release(5))).toEqual([2, 40]);
    expect(hand.queue.snapshot()).toMatchObject({ running: 0, runningBackground: 0 });
  });

  /** After an end of a's first request, how many of b's are served before a's next. */
  const servedBefore = (ms: number, end: (slot: Slot) => void) => {
    const hand = new ByHand(1);
    hand.measure(2); // 1000 tokens in 100 ms
    const slot = hand.start("a");
    for (let n = 0; n < 40; n += 1) hand.wait("b");
    hand.wait("a");
    hand.now += ms;
    end(slot);
    for (let served = 1; !hand.callers.includes("a"); served += 1) hand.granted[served - 1]!.slot.release(300);
    return hand.callers.indexOf("a");
  };

  it("is charged by its tokens, or by its time if that costs more", () => {
    expect(servedBefore(0, (slot) => slot.release(0))).toBeLessThanOrEqual(1);
    expect(servedBefore(0, (slot) => slot.release(3000))).toBe(11);
    expect(servedBefore(0, (slot) => slot.release(64))).toBeLessThanOrEqual(1);
    // With it the mean is 400 ms: two and a half quanta.
    expect(servedBefore(1000, (slot) => slot.release(64))).toBe(3);
  });

  it("without an answer is charged by its time, at the measured rate", () => {
    expect(servedBefore(300, (slot) => slot.abandon())).toBe(11);
    expect(servedBefore(0, (slot) => slot.abandon())).toBeLessThanOrEqual(1);
  });
});

describe("the expected wait", () => {
  it("is nothing with a free slot, and without a measured request", () => {
    const hand = new ByHand(1);
    hand.start("a");
    expect([hand.queue.expectedWaitMs(), hand.queue.expectedWaitOf(requestOf("b"))]).toEqual([0, 0]);
    const free = new ByHand(2);
    free.measure(1);
    free.start("a", { background: true }); // the other slot is for direct requests
    expect([free.queue.expectedWaitMs(), free.queue.expectedWaitOf(requestOf("b"))]).toEqual([0, 0]);
  });

  it("is that behind all that wait, over the slots; of a caller it is by its share", () => {
    const hand = new ByHand(2);
    hand.measure(1);
    hand.start("x");
    hand.start("x");
    for (let n = 0; n < 8; n += 1) hand.wait("a");
    for (let n = 0; n < 5; n += 1) hand.wait("job", { background: true });
    expect(hand.queue.expectedWaitMs()).toBe((8 + 5 + 1) * 50);
    // One more of a's: nine direct requests, and two of the background work among them.
    expect(hand.queue.expectedWaitOf(requestOf("a"))).toBe((9 + 2) * 50);
    // Of another caller: one of a's before.
    expect(hand.queue.expectedWaitOf(requestOf("b"))).toBe(2 * 50);
    // Of a with another company: as many of the known one's.
    expect(hand.queue.expectedWaitOf(requestOf("a", { company: "c" }))).toBe(2 * 50);
    // Three times the weight: a's one is before one of three.
    expect(hand.queue.expectedWaitOf(requestOf("b", { weight: 3 }))).toBe(2 * 50);
    expect(hand.queue.expectedWaitOf(requestOf("b", { weight: 0.25 }))).toBe((5 + 1) * 50);
  });
});

describe("the state of a queue", () => {
  it("has what runs and waits, by caller, and the longest wait of a direct request", () => {
    const hand = new ByHand(1);
    hand.start("constructor", { bytes: 1 });
    expect(hand.queue.snapshot()).toMatchObject({ longestWaitMs: 0 });
    hand.now = 10;
    hand.wait("job", { background: true, bytes: 7 });
    hand.now = 20;
    hand.wait("constructor", { bytes: 5, company: "c" });
    hand.now = 30;
    const last = hand.wait("b", { bytes: 3 });
    hand.now = 50;
    const state = hand.queue.snapshot();
    expect(state).toMatchObject({ waiting: 2, waitingBytes: 8, waitingBackground: 1, longestWaitMs: 30 });
    expect({ ...state.callers }).toEqual({
      constructor: { running: 1, waiting: 1 },
      job: { running: 0, waiting: 1 },
      b: { running: 0, waiting: 1 },
    });
    expect(new Set(hand.queue.waiters().map(({ request }) => request.caller.name))).toEqual(
      new Set(["constructor", "job", "b"]),
    );
    expect(hand.queue.remove(last)).toBe(true);
    expect(hand.queue.remove(last)).toBe(false);
    expect(hand.queue.snapshot()).toMatchObject({ waiting: 1, waitingBytes: 5 });
    expect(hand.queue.snapshot().callers).not.toHaveProperty("b");
  });

  it("has a wait's length with its slot", () => {
    const hand = new ByHand(1);
    const slot = hand.start("a");
    hand.now = 10;
    hand.wait("b");
    hand.now = 35;
    slot.release();
    expect(hand.granted).toMatchObject([{ caller: "b", slot: { waitedMs: 25 } }]);
  });
});

describe("a waiting list", () => {
  const waiter = (caller = "a") =>
    new Waiter(
      requestOf(caller),
      0,
      () => {},
      () => {},
    );
  const newest = (list: WaitingList) => [...list.newestFirst()];

  it("keeps its order whatever is removed", () => {
    const list = new WaitingList();
    expect([list.length, list.oldest, newest(list)]).toEqual([0, undefined, []]);
    const all = [1, 2, 3, 4].map(() => waiter());
    for (const one of all) list.add(one);
    const [first, second, third, fourth] = all as [Waiter, Waiter, Waiter, Waiter];
    expect(list.oldest).toBe(first);
    expect(list.remove(second)).toBe(true); // within
    expect(newest(list)).toEqual([fourth, third, first]);
    expect(list.remove(fourth)).toBe(true); // the newest
    expect(list.remove(first)).toBe(true); // the oldest
    expect([list.length, list.oldest, newest(list)]).toEqual([1, third, [third]]);
    list.add(second);
    expect(newest(list)).toEqual([second, third]);
    for (const one of [third, second]) list.remove(one);
    expect([list.length, list.oldest, newest(list)]).toEqual([0, undefined, []]);
  });

  it("does not remove what is in another one, or in none", () => {
    const [list, other] = [new WaitingList(), new WaitingList()];
    const one = waiter();
    expect(list.remove(one)).toBe(false);
    other.add(one);
    list.add(waiter());
    expect(list.remove(one)).toBe(false);
    expect([list.length, other.length]).toEqual([1, 1]);
  });

  it("holds requests that can be refused unless they say otherwise", () => {
    expect(waiter().evictable).toBe(true);
    for (const answer of [true, false]) {
      const one = new Waiter(
        { ...requestOf("a"), evictable: () => answer },
        0,
        () => {},
        () => {},
      );
      expect(one.evictable).toBe(answer);
    }
  });
});
