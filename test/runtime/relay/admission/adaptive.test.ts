import { describe, expect, it } from "vitest";
import { AdaptiveLimit, type AdaptiveState } from "../../../../runtime/relay/admission/adaptive.ts";

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
