import { describe, expect, it } from "vitest";
import { AdaptiveLimit, type AdaptiveState, type AdaptiveTimes } from "../../../../runtime/relay/admission/adaptive.ts";

const TICK = 500;

/** A model server as the relay sees it: k slots, so fast each, as long as there is always somebody waiting. */
class Simulated {
  k: number;
  /** Whole server, tokens per second, by how many run; by default each slot gives 20. */
  rate: (running: number) => number = (running) => 20 * Math.min(running, this.k);
  tokens = 0;
  ms = 0;
  #due = 0;
  #seed = 7;

  constructor(k: number) {
    this.k = k;
  }

  /** Answers of 40 tokens, give or take a third. */
  run(limit: AdaptiveLimit, seconds: number, isLoaded = true): void {
    for (let passed = 0; passed < seconds * 1000; passed += TICK) {
      const { slots } = limit;
      const rate = this.rate(slots);
      this.#due += (rate * TICK) / 1000;
      this.tokens += (rate * TICK) / 1000;
      this.ms += TICK;
      while (this.#due > 0) {
        this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        const size = 27 + Math.floor((26 * this.#seed) / 2_147_483_648);
        this.#due -= size;
        // Above k a request waits inside the server for an answer of another one.
        const inside = slots > this.k ? ((slots - this.k) * 40 * 1000) / Math.max(1, rate) : 0;
        limit.answered(size, 60 + inside);
      }
      limit.passed(TICK, isLoaded);
    }
  }

  /** Output tokens per second since the last call. */
  take(): number {
    const rate = (this.tokens * 1000) / this.ms;
    this.tokens = 0;
    this.ms = 0;
    return rate;
  }
}

let clock = 0;
const limitFor = (bounds: { min: number; max: number }, state?: AdaptiveState) =>
  new AdaptiveLimit(bounds, state, undefined, () => (clock += 1));

describe("limits.chat: auto, simulated", () => {
  it.each([1, 2, 3, 4, 6, 8, 12])("finds %i within 5 minutes of load for each doubling, to one", (k) => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(k)];
    server.run(limit, 300 * Math.max(1, Math.log2(k)));
    expect(Math.abs(limit.state.slots - k)).toBeLessThanOrEqual(1);
  });

  it.each([
    [4, 2],
    [2, 6],
    [6, 3],
    [1, 4],
    [4, 1],
  ])("follows from %i to %i within 5 minutes, and then gives 95 %% of the best fixed number", (before, after) => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(before)];
    server.run(limit, 900);
    expect(Math.abs(limit.state.slots - before)).toBeLessThanOrEqual(1);
    server.k = after;
    server.run(limit, 300);
    expect(Math.abs(limit.state.slots - after)).toBeLessThanOrEqual(1);
    server.take();
    server.run(limit, 1800);
    expect(server.take()).toBeGreaterThanOrEqual(0.95 * 20 * after);
  });

  it("stays below the fall of a server that gets slower with more", () => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(99)];
    const measured = [0, 90, 130, 147, 160, 168, 176, 182, 188, 183, 178, 172, 166, 160, 155, 150, 144]; // tokens/s, MLX, long answers
    server.rate = (running) => measured[running] ?? 144;
    server.run(limit, 1200);
    expect(limit.state.slots).toBeGreaterThanOrEqual(2);
    expect(limit.state.slots).toBeLessThanOrEqual(8);
  });

  it("does nothing without load, and makes few steps with it", () => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(4)];
    server.run(limit, 3600, false);
    expect(limit.slots).toBe(1);
    server.run(limit, 900);
    const steps = limit.state.history.length;
    server.run(limit, 3600);
    // A try and its return every two minutes at most, and now and then one down.
    expect(limit.state.history.length - Math.min(steps, 50)).toBeLessThanOrEqual(2 * 40);
    for (const { from, to } of limit.state.history) expect(Math.abs(to - from)).toBeLessThanOrEqual(1);
  });

  it("keeps within its bounds, also when they change while it runs", () => {
    const [limit, server] = [limitFor({ min: 2, max: 3 }), new Simulated(8)];
    server.run(limit, 900);
    expect(limit.slots).toBe(3);
    limit.setBounds({ min: 5, max: 6 });
    expect(limit.slots).toBe(5);
    expect(limit.state.history.at(-1)?.reason).toBe("bounds");
    limit.setBounds({ min: 1, max: 1 });
    server.run(limit, 900);
    expect(limit.slots).toBe(1);
  });

  it("begins where it was before a restart, not at a number that it was only trying", () => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(4)];
    server.run(limit, 900);
    const { state } = limit;
    const next = limitFor({ min: 1, max: 16 }, JSON.parse(JSON.stringify(state)) as AdaptiveState);
    expect(next.slots).toBe(state.slots);
    expect(next.state.history).toEqual(state.history);
    // In the middle of a try.
    while (limit.slots === limit.state.slots) server.run(limit, 1);
    expect(limitFor({ min: 1, max: 16 }, limit.state).slots).toBe(limit.state.slots);
  });

  it("says why it changed each time", () => {
    const [limit, server] = [limitFor({ min: 1, max: 16 }), new Simulated(2)];
    server.run(limit, 600);
    const reasons = limit.state.history.map(({ reason }) => reason);
    expect(reasons[0]).toBe("start");
    expect(reasons).toContain("more_pays");
    expect(reasons.some((reason) => reason === "more_does_not_pay" || reason === "first_token_late")).toBe(true);
  });
});

/** Short times: an epoch is a second and two answers per slot. */
const TIMES: AdaptiveTimes = {
  epochMs: 1000,
  answersPerSlot: 2,
  settleMs: 100,
  waitMs: 3000,
  mostWaitUpMs: 6000,
  mostWaitDownMs: 24_000,
};

/** A limit that is fed by hand. */
class ByHand {
  readonly limit: AdaptiveLimit;
  /** Loaded seconds so far. */
  seconds = 0;

  constructor(bounds = { min: 1, max: 16 }, state?: AdaptiveState) {
    this.limit = new AdaptiveLimit(bounds, state, TIMES, () => this.seconds);
  }

  /** Lets what ran before a change end. */
  settle(): void {
    this.limit.passed(TIMES.settleMs, true);
  }

  answers(count: number, tokens: number, firstMs: readonly (number | undefined)[] = []): void {
    for (let n = 0; n < count; n += 1) this.limit.answered(tokens, firstMs[n]);
  }

  /** One whole epoch of a second. @returns whether the number of slots changed */
  epoch(tokensPerSecond: number, firstMs?: readonly (number | undefined)[]): boolean {
    this.settle();
    const count = Math.max(2 * this.limit.slots, firstMs?.length ?? 0);
    this.answers(count, tokensPerSecond / count, firstMs);
    this.seconds += 1;
    return this.limit.passed(1000, true);
  }

  /** Whole epochs, whose throughput depends on the number of slots. */
  epochs(count: number, tokensPerSecond: (slots: number) => number): void {
    for (let n = 0; n < count; n += 1) this.epoch(tokensPerSecond(this.limit.slots));
  }

  /** The changes: second, from, to, reason. */
  get steps(): string[] {
    return this.limit.state.history.map(({ at, from, to, reason }) => `${at}: ${from}-${to} ${reason}`);
  }

  get last() {
    const { from, to, reason, tokensPerSecond } = this.limit.state.history.at(-1)!;
    return { from, to, reason, ...tokensPerSecond };
  }
}

describe("an epoch", () => {
  it("does not count what ends while the server settles", () => {
    const { limit } = new ByHand();
    expect(limit.passed(99, true)).toBe(false);
    limit.answered(1000, 1);
    expect(limit.passed(1, true)).toBe(false);
    limit.answered(10, 1);
    limit.answered(10, 1);
    expect(limit.passed(1000, true)).toBe(true);
    expect(limit.state.history.at(-1)).toMatchObject({ reason: "try_more", tokensPerSecond: { before: 20 } });
  });

  it("does not count time without load", () => {
    const hand = new ByHand();
    hand.settle();
    hand.answers(2, 10);
    expect(hand.limit.passed(100_000, false)).toBe(false);
    expect(hand.limit.passed(999, true)).toBe(false);
    expect(hand.limit.passed(1, true)).toBe(true);
  });

  it("lasts until two answers per slot have ended, but at most five times as long", () => {
    const hand = new ByHand();
    hand.epoch(20);
    expect(hand.limit.slots).toBe(2);
    hand.settle();
    hand.answers(3, 100);
    expect(hand.limit.passed(4999, true)).toBe(false);
    hand.answers(1, 100);
    expect(hand.limit.passed(0, true)).toBe(false); // more pays: nothing to change
    expect(hand.last).toMatchObject({ reason: "more_pays", after: 400_000 / 4999 });
    const slow = new ByHand();
    slow.settle();
    slow.answers(1, 100);
    expect(slow.limit.passed(4999, true)).toBe(false);
    expect(slow.limit.passed(1, true)).toBe(true);
    expect(slow.last).toMatchObject({ reason: "try_more", before: 20 });
  });
});

describe("a step up", () => {
  const tried = (
    after: number,
    before: readonly number[] = [60, 60],
    now: readonly (number | undefined)[] = before,
  ) => {
    const hand = new ByHand();
    expect(hand.epoch(20, before)).toBe(true);
    hand.epoch(after, now);
    return hand;
  };

  it("stays when it brings 40 % of what it would on a server without a bound, and is followed by the next one", () => {
    const hand = tried(28);
    expect(hand.last).toEqual({ from: 2, to: 2, reason: "more_pays", before: 20, after: 28 });
    hand.epoch(28);
    expect(hand.last).toEqual({ from: 2, to: 3, reason: "try_more", before: 28, after: undefined });
    hand.epoch(33.5);
    expect(hand.last).toEqual({ from: 3, to: 2, reason: "more_does_not_pay", before: 28, after: 33.5 });
  });

  it.each([
    ["does not pay, whenever the first tokens come", 27, [60, 60], "more_does_not_pay"],
    ["pays, if the first tokens come 1.6 times as late", 30, [96, 96], "more_pays"],
    ["is undone if they come later", 30, [97, 97], "first_token_late"],
    ["pays even then if it brings 80 %", 36, [97, 97], "more_pays"],
    ["is undone below 80 %", 35.9, [97, 97], "first_token_late"],
    ["is judged by the median", 30, [1000, 96, 5, 4, 1000], "more_pays"],
    ["is judged by the median of many", 30, [97, 1000, 5, 4, 1000], "first_token_late"],
    [
      "is judged by the answers whose first token was seen",
      30,
      [97, undefined, undefined, undefined],
      "first_token_late",
    ],
    ["pays without any such answer", 30, [undefined, undefined], "more_pays"],
  ] as const)("%s", (_name, after, firstMs, reason) => {
    expect(tried(after, [60, 60], firstMs).last.reason).toBe(reason);
  });

  it("brings 80 % of its own part, whatever the number was", () => {
    const hand = new ByHand(undefined, { slots: 2, history: [] });
    hand.epoch(20, [60, 60]);
    hand.epoch(28, [97, 97]);
    expect(hand.last).toMatchObject({ from: 3, to: 3, reason: "more_pays" });
  });

  it("is judged by the median of before", () => {
    expect(tried(30, [500, 10, 60], [97, 97]).last.reason).toBe("first_token_late");
    expect(tried(30, [10, 61, 10, 61], [97, 97]).last.reason).toBe("more_pays");
  });

  it("that costs over a quarter is ended after half its time, with an answer per slot", () => {
    const trial = () => {
      const hand = new ByHand();
      hand.epoch(20);
      hand.settle();
      return hand;
    };
    const early = trial();
    early.answers(2, 3.7);
    expect(early.limit.passed(499, true)).toBe(false);
    expect(early.limit.passed(1, true)).toBe(true);
    expect(early.last).toEqual({ from: 2, to: 1, reason: "more_does_not_pay", before: 20, after: 14.8 });
    const unsure = trial();
    unsure.answers(1, 1);
    expect(unsure.limit.passed(500, true)).toBe(false);
    const bearable = trial();
    bearable.answers(2, 3.75);
    expect(bearable.limit.passed(500, true)).toBe(false);
    const kept = new ByHand({ min: 1, max: 1 });
    kept.epoch(20);
    kept.settle();
    kept.answers(1, 1);
    kept.limit.passed(500, true);
    kept.answers(1, 19);
    kept.limit.passed(500, true);
    kept.limit.setBounds({ min: 1, max: 2 });
    kept.epoch(20);
    expect(kept.last).toMatchObject({ reason: "try_more", before: 20 }); // the slow half was no epoch of its own
  });

  it("is of an eighth with many slots", () => {
    const at = (slots: number) => {
      const hand = new ByHand({ min: 1, max: 64 }, { slots, history: [] });
      hand.epoch(20);
      return hand.limit.slots;
    };
    expect([8, 15, 16, 24, 63].map(at)).toEqual([9, 16, 18, 27, 64]);
  });
});

describe("what did not pay", () => {
  it("is tried again later and later, each direction up to its own longest pause", () => {
    const hand = new ByHand({ min: 1, max: 16 }, { slots: 2, history: [] });
    // Fewer cost, more bring nothing.
    hand.epochs(80, (slots) => 10 * Math.min(slots, 2));
    expect(hand.steps).toEqual([
      "1: 2-3 try_more",
      "2: 3-2 more_does_not_pay",
      "5: 2-3 try_more", // 3 s later
      "6: 3-2 more_does_not_pay",
      "12: 2-3 try_more", // 6 s later, the longest pause
      "13: 3-2 more_does_not_pay",
      "14: 2-1 try_fewer", // the first one at 12 s, or after the other direction
      "15: 1-2 fewer_cost",
      "19: 2-3 try_more",
      "20: 3-2 more_does_not_pay",
      "26: 2-3 try_more",
      "27: 3-2 more_does_not_pay",
      "28: 2-1 try_fewer", // 12 s later
      "29: 1-2 fewer_cost",
      "33: 2-3 try_more",
      "34: 3-2 more_does_not_pay",
      "40: 2-3 try_more",
      "41: 3-2 more_does_not_pay",
      "47: 2-3 try_more",
      "48: 3-2 more_does_not_pay",
      "53: 2-1 try_fewer", // 24 s later, the longest pause
      "54: 1-2 fewer_cost",
      "55: 2-3 try_more",
      "56: 3-2 more_does_not_pay",
      "62: 2-3 try_more",
      "63: 3-2 more_does_not_pay",
      "69: 2-3 try_more",
      "70: 3-2 more_does_not_pay",
      "76: 2-3 try_more",
      "77: 3-2 more_does_not_pay",
      "78: 2-1 try_fewer",
      "79: 1-2 fewer_cost",
    ]);
  });

  it("is tried again at once when the throughput has moved by over a fifth", () => {
    const lastWith = (tokensPerSecond: number) => {
      const hand = new ByHand({ min: 1, max: 16 }, { slots: 1, history: [] });
      hand.epoch(100);
      hand.epoch(100); // more does not pay
      hand.epoch(tokensPerSecond);
      return hand.last;
    };
    expect(lastWith(120)).toMatchObject({ reason: "more_does_not_pay" });
    expect(lastWith(121)).toMatchObject({ reason: "try_more", before: 121 });
    expect(lastWith(80)).toMatchObject({ reason: "more_does_not_pay" });
    expect(lastWith(79)).toMatchObject({ reason: "try_more", before: 79 });
  });

  it("is compared with the mean of what the same number gave", () => {
    const hand = new ByHand({ min: 1, max: 16 }, { slots: 1, history: [] });
    for (const tokensPerSecond of [100, 100, 110, 90, 103]) hand.epoch(tokensPerSecond);
    expect(hand.last).toMatchObject({ reason: "try_more", before: ((100 + 110) / 2 + 90) / 4 + 103 / 2 });
  });
});

describe("when the first tokens of the same number come late", () => {
  it("fewer are tried at once, or more if there are no fewer", () => {
    const lateAt = (slots: number, max = 16) => {
      const hand = new ByHand({ min: 1, max }, { slots, history: [] });
      hand.epoch(100, [60, 60]);
      hand.epoch(100, [60, 60]); // more does not pay
      hand.epoch(100, [97, 97]);
      return hand.last;
    };
    expect(lateAt(2)).toEqual({ from: 2, to: 1, reason: "try_fewer", before: 100, after: undefined });
    expect(lateAt(1)).toMatchObject({ from: 1, to: 2, reason: "try_more" });
  });
});

describe("a step down", () => {
  const tried = (after: number) => {
    const hand = new ByHand({ min: 1, max: 3 }, { slots: 3, history: [] });
    hand.epochs(12, () => 300);
    expect(hand.last).toEqual({ from: 3, to: 2, reason: "try_fewer", before: 300, after: undefined });
    hand.epoch(after);
    return hand;
  };

  it("stays when it costs at most 3 %, and is followed by the next one; more are tried after a pause only", () => {
    const hand = tried(291);
    expect(hand.last).toEqual({ from: 2, to: 2, reason: "fewer_suffice", before: 300, after: 291 });
    hand.epochs(8, () => 291);
    expect(hand.steps.slice(-3)).toEqual(["14: 2-1 try_fewer", "15: 1-1 fewer_suffice", "21: 1-2 try_more"]);
  });

  it("is undone when it costs more", () => {
    expect(tried(290).last).toEqual({ from: 2, to: 3, reason: "fewer_cost", before: 300, after: 290 });
  });
});

it("after a step down that stayed, the next one is not kept waiting for those that once did not", () => {
  const hand = new ByHand({ min: 1, max: 3 }, { slots: 3, history: [] });
  hand.epochs(12, () => 300);
  hand.epoch(200); // fewer cost
  hand.epochs(12, () => 300);
  hand.epoch(300); // now they suffice
  hand.epochs(5, (slots) => (slots === 1 ? 100 : 300));
  expect(hand.steps.slice(-4)).toEqual([
    "28: 1-2 fewer_cost",
    "29: 2-3 try_more",
    "30: 3-2 more_does_not_pay",
    "31: 2-1 try_fewer", // 3 s later, not 24
  ]);
});

describe("bounds that change", () => {
  it("during a try end it: the number does not return to one that is not allowed any more", () => {
    const up = new ByHand({ min: 1, max: 16 }, { slots: 8, history: [] });
    up.epoch(80);
    expect(up.limit.slots).toBe(9);
    up.limit.setBounds({ min: 1, max: 4 });
    expect([up.limit.slots, up.limit.state.slots]).toEqual([4, 4]);
    expect(up.last).toMatchObject({ from: 9, to: 4, reason: "bounds" });
    const down = new ByHand({ min: 1, max: 3 }, { slots: 3, history: [] });
    down.epochs(12, () => 100);
    expect(down.limit.slots).toBe(2);
    down.limit.setBounds({ min: 1, max: 2 });
    expect(down.limit.state.slots).toBe(2);
    expect(down.last).toMatchObject({ from: 2, to: 2, reason: "bounds" });
    for (const hand of [up, down]) {
      const { max } = hand.limit.bounds;
      const known = hand.limit.state.history.length;
      hand.epochs(30, (slots) => 100 - slots);
      expect(hand.limit.state.history.slice(known).filter(({ to }) => to > max)).toEqual([]);
    }
  });

  it("but still allow both numbers leave a try alone", () => {
    const hand = new ByHand();
    hand.epoch(20);
    hand.limit.setBounds({ min: 1, max: 2 });
    expect([hand.limit.slots, hand.limit.state.slots]).toEqual([2, 1]);
    hand.epoch(20);
    expect(hand.last).toMatchObject({ from: 2, to: 1, reason: "more_does_not_pay" });
  });

  it("while the relay was stopped apply at the start", () => {
    const { limit, last } = new ByHand({ min: 1, max: 4 }, { slots: 9, history: [] });
    expect(limit.slots).toBe(4);
    expect(last).toMatchObject({ from: 9, to: 4, reason: "bounds" });
  });
});

it("the last 50 changes are remembered", () => {
  const hand = new ByHand();
  hand.epochs(400, () => 100);
  const { history } = hand.limit.state;
  expect(history).toHaveLength(50);
  expect(history[0]!.at).toBeGreaterThan(1);
  const next = new ByHand(undefined, { slots: 1, history: history.slice(1) });
  next.epoch(20);
  expect(next.limit.state.history).toHaveLength(50);
  expect(next.limit.state.history[0]).toEqual(history[1]);
});
