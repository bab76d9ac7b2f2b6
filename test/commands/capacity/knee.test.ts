import { describe, expect, it } from "vitest";
import { advise, erlangC, meanWaitMs } from "../../../commands/capacity/advice.ts";
import { knee, refine, stillGrows } from "../../../commands/capacity/knee.ts";
import { isSettled, merged } from "../../../commands/capacity/repeats.ts";
import type { Level } from "../../../commands/capacity/stats.ts";
import { sweep } from "../../../commands/capacity/sweep.ts";

const level = (atOnce: number, tokensPerSecond: number, p90 = 100): Level => ({
  atOnce,
  tokensPerSecond,
  perAnswer: tokensPerSecond / atOnce,
  ttft: { p50: p90 / 2, p90, p99: p90 },
  requestsPerSecond: 1,
  finished: 10,
  refused: 0,
  failed: 0,
  seconds: 5,
  writing: atOnce,
  runs: 1,
  spread: 0,
});

/** A server with k slots of 60 tokens/s each; more than k only wait. */
const slotted =
  (k: number, noise = () => 1) =>
  (atOnce: number) =>
    Promise.resolve({
      ...level(atOnce, 60 * Math.min(atOnce, k) * noise(), atOnce > k ? 1000 : 40),
      writing: Math.min(atOnce, k),
    });

const found = async (k: number, noise?: () => number) => (await sweep(slotted(k, noise), { most: 64 })).knee?.atOnce;

describe("the knee of a sweep", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 16, 23, 24, 30, 32])("is %i on a server with so many slots", async (k) => {
    expect(Math.abs((await found(k))! - k)).toBeLessThanOrEqual(k > 8 ? 1 : 0);
  });

  it.each([1, 2, 3, 4, 5, 6, 8])("is within one of %i when the numbers vary by 3 %%", async (k) => {
    let state = k;
    const noise = () => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return 0.97 + (0.06 * state) / 2_147_483_648;
    };
    for (let run = 0; run < 20; run += 1) expect(Math.abs((await found(k, noise))! - k)).toBeLessThanOrEqual(1);
  });

  it("is where a server that batches has nearly all it can, not where it peaks", () => {
    // gpt-oss-20b on MLX, short answers: peak 295 at 24.
    const levels = [level(1, 97), level(2, 160), level(4, 220), level(8, 273), level(16, 290), level(24, 295)];
    expect(knee(levels)?.atOnce).toBe(8);
  });

  it("is before the fall on a server that gets slower with more", () => {
    // The same with long answers.
    const levels = [level(1, 90), level(2, 130), level(4, 160), level(8, 188), level(16, 144)];
    expect(knee(levels)?.atOnce).toBe(8);
    expect(stillGrows(levels)).toBe(false);
  });

  it("keeps to a bound on the time to the first token", () => {
    const levels = [level(1, 60, 200), level(2, 120, 400), level(4, 240, 900)];
    expect(knee(levels, { ttftMs: 500 })?.atOnce).toBe(2);
    expect(knee(levels, { ttftMs: 100 })?.atOnce).toBe(1); // even one is over it: nothing less can be told
  });

  it("is never above the slots that the server says it has, however noisy the numbers", () => {
    const levels = [level(1, 30), level(2, 44), level(3, 60), level(4, 61)];
    expect(knee(levels)?.atOnce).toBe(3);
    expect(knee(levels, { slots: 2 })?.atOnce).toBe(2);
  });

  it("measures around it, and stops when its neighbours are known", () => {
    const levels = [level(1, 60), level(2, 120), level(4, 240), level(8, 360), level(16, 360)];
    expect(refine(levels)).toBe(6);
    expect(refine([...levels, level(6, 360)])).toBe(5);
    expect(refine([...levels, level(6, 360), level(5, 300)])).toBeUndefined();
    expect(refine([])).toBeUndefined();
  });

  it("measures half as many again, to say from where on requests only wait", () => {
    const levels = [level(1, 60), level(2, 120), level(3, 180), level(4, 240), level(8, 240)];
    expect(refine(levels)).toBe(6);
    expect(refine([...levels, level(6, 240)])).toBeUndefined();
  });

  it("gives what there is when it is ended early", async () => {
    const ended = await sweep((atOnce) => (atOnce < 4 ? slotted(9)(atOnce) : Promise.resolve(undefined)), { most: 64 });
    expect(ended).toMatchObject({ isComplete: false, knee: { atOnce: 2 } });
    expect(ended.levels.map(({ atOnce }) => atOnce)).toEqual([1, 2]);
  });
});

describe("numbers that vary", () => {
  /** Noise of a busy machine: often a little, now and then a window that loses half. */
  const busy = (seed: number) => {
    let state = seed;
    const next = () => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return state / 2_147_483_648;
    };
    return () => (next() < 0.15 ? 0.5 + 0.3 * next() : 0.92 + 0.16 * next());
  };

  it.each([1, 2, 4])("give the same n of %i slots and the same throughput twice in a row, nearly always", async (k) => {
    let [same, near] = [0, 0];
    for (let run = 1; run <= 40; run += 1) {
      const [a, b] = [
        await sweep(slotted(k, busy(run * 7919)), { most: 16 }),
        await sweep(slotted(k, busy(run * 104_729)), { most: 16 }),
      ];
      expect(Math.max(a.knee!.atOnce, b.knee!.atOnce)).toBeLessThanOrEqual(k); // what only waits is seen without speed
      if (a.knee!.atOnce === b.knee!.atOnce) same += 1;
      if (Math.abs(a.knee!.tokensPerSecond / b.knee!.tokensPerSecond - 1) <= 0.15) near += 1;
    }
    expect(same).toBeGreaterThanOrEqual(37);
    expect(near).toBeGreaterThanOrEqual(37);
  });

  it("are measured in turn until they settle, and no longer", async () => {
    const order: number[] = [];
    const quiet = await sweep(
      (atOnce) => {
        order.push(atOnce);
        return slotted(2)(atOnce);
      },
      { most: 8 },
    );
    expect(quiet.isSettled).toBe(true);
    expect(order).toEqual([1, 2, 4, 3, 1, 2, 3, 1, 2, 3]);
    expect(quiet.knee).toMatchObject({ atOnce: 2, runs: 3, spread: 0 });
    let left = 5;
    const ended = await sweep((atOnce) => (left-- > 0 ? slotted(2)(atOnce) : Promise.resolve(undefined)), { most: 8 });
    expect(ended).toMatchObject({ isComplete: true, isSettled: false, knee: { atOnce: 2 } });
  });

  it("are told as medians with their spread", () => {
    const runs = [90, 100, 40, 104, 98].map((rate) => level(2, rate, 1000 / rate));
    expect(merged(runs)).toMatchObject({ tokensPerSecond: 98, runs: 5, spread: (100 - 90) / 2 / 98, seconds: 25 });
    expect(isSettled(runs.slice(0, 2))).toBe(false);
    expect(isSettled([100, 101, 99].map((rate) => level(2, rate)))).toBe(true);
    expect(isSettled([100, 150, 60, 90].map((rate) => level(2, rate)))).toBe(false);
  });
});

describe("the advice", () => {
  it("has the wait of a queue with as many servers as slots", () => {
    expect(erlangC(1, 0.5)).toBeCloseTo(0.5, 6); // M/M/1: the load itself
    expect(erlangC(2, 1)).toBeCloseTo(1 / 3, 6);
    expect(erlangC(3, 3)).toBe(1);
    expect(meanWaitMs(1, 0.5, 1000)).toBeCloseTo(1000, 3);
    expect(meanWaitMs(1, 1, 1000)).toBeUndefined();
  });

  it("says users, waits, tokens of a day and their price elsewhere", () => {
    const said = advise(level(4, 100), 50, { questionsPerHour: 36, pricePerMillion: 2, currency: "USD" });
    expect(said.atOnce).toBe(4);
    expect(said.users).toBe(140); // 2 requests/s, 70 % of them at 0.01 each
    expect(said.waitMs).toBeGreaterThan(0);
    expect(said.waitAtTwiceMs).toBeUndefined();
    expect(said.tokensPerDay).toBe(8_640_000);
    expect(said.costPerDay).toBeCloseTo(17.28, 6);
  });
});
