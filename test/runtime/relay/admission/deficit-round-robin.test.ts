/** One level of flows, charge by charge. */
import { describe, expect, it } from "vitest";
import {
  DeficitRoundRobin,
  Flow,
  MAX_ADVANCE,
  QUANTUM,
} from "../../../../runtime/relay/admission/deficit-round-robin.ts";

/** A scheduler with these flows waiting. */
function waiting(...weights: number[]) {
  const scheduler = new DeficitRoundRobin<Flow>();
  const flows = weights.map((weight, n) => new Flow("abcd"[n]!, weight));
  for (const flow of flows) scheduler.activate(flow);
  const [a, b] = flows as [Flow, Flow];
  /** Serves so many requests of this cost, one after another. @returns whose they were */
  const serve = (count: number, tokens: number) =>
    Array.from({ length: count }, () => {
      const flow = scheduler.next();
      scheduler.settle(flow, scheduler.charge(flow, tokens), tokens);
      return flow.name;
    }).join("");
  return { scheduler, flows, a, b, serve };
}

/** Charges and settles a request of this flow. */
function run(scheduler: DeficitRoundRobin<Flow>, flow: Flow, tokens: number) {
  scheduler.settle(flow, scheduler.charge(flow, tokens), tokens);
}

it("a request is charged a quantum at least, and a bounded advance at most", () => {
  const { scheduler, a } = waiting(1);
  expect([1, QUANTUM + 1, 1e6].map((tokens) => scheduler.charge(a, tokens))).toEqual([
    QUANTUM,
    QUANTUM + 1,
    MAX_ADVANCE,
  ]);
  expect(a.deficit).toBe(-(2 * QUANTUM + 1 + MAX_ADVANCE));
});

describe("flows take turns", () => {
  it.each([
    ["of one request each", [1, 1, 1], QUANTUM, "abcabcabc"],
    ["of one cheap one each", [1, 1], QUANTUM / 2, "abababab"],
    ["every other round if they are twice as expensive", [1, 1], 2 * QUANTUM, "abababab"],
    ["by weight", [1, 3], QUANTUM, "abbbabbb"],
    ["by weight, whatever its size", [0.5, 1.5], QUANTUM, "abbbabbb"],
  ])("%s", (_name, weights, tokens, order) => {
    expect(waiting(...weights).serve(order.length, tokens)).toBe(order);
  });

  it("a new one after those that wait", () => {
    const { scheduler, serve } = waiting(1, 1);
    expect(serve(1, QUANTUM)).toBe("a");
    scheduler.activate(new Flow("new", 1));
    expect(serve(4, QUANTUM)).toBe("bnewab");
  });

  it("and none when it waits no more", () => {
    const { scheduler, a, b, serve } = waiting(1, 1, 1);
    expect(serve(1, QUANTUM / 2)).toBe("a");
    scheduler.deactivate(a);
    scheduler.deactivate(a); // no effect
    expect(scheduler.active.map(({ name }) => name)).toEqual(["b", "c"]);
    expect(serve(4, QUANTUM)).toBe("bcbc");
    scheduler.deactivate(b);
    expect(serve(2, QUANTUM)).toBe("cc");
  });

  it("and the one whose turn it is gets no second quantum when another one leaves", () => {
    const { scheduler, a, b } = waiting(1, 1, 1);
    expect(scheduler.next()).toBe(a);
    scheduler.deactivate(b);
    expect(scheduler.next()).toBe(a);
    expect(a.deficit).toBe(QUANTUM);
  });
});

describe("a quantum that was not used", () => {
  it("is lost when nothing waits any more", () => {
    const { scheduler, a } = waiting(1, 1);
    expect(scheduler.next()).toBe(a);
    expect(a.deficit).toBe(QUANTUM);
    scheduler.deactivate(a);
    expect(a.deficit).toBe(0);
  });

  it("but is owed for running requests is kept for them", () => {
    const { scheduler, a } = waiting(1, 1);
    expect(scheduler.next()).toBe(a);
    scheduler.charge(a, 2 * QUANTUM);
    scheduler.deactivate(a);
    expect(a.deficit).toBe(-QUANTUM);
  });
});

describe("an estimate that was too high", () => {
  it("is refunded, and is no credit", () => {
    const { scheduler, a } = waiting(1, 1);
    scheduler.next();
    const advance = scheduler.charge(a, 8000);
    expect(a.deficit).toBe(QUANTUM - 8000);
    scheduler.settle(a, advance, 100);
    expect(a.deficit).toBe(0);
  });

  it("does not take what is left of the round", () => {
    const { scheduler, a, serve } = waiting(1, 1);
    scheduler.next();
    const advance = scheduler.charge(a, QUANTUM);
    // While it runs, two more rounds pass.
    expect(serve(1, QUANTUM)).toBe("b");
    expect(scheduler.next()).toBe(a);
    expect(a.deficit).toBe(QUANTUM);
    scheduler.settle(a, advance, 0);
    expect(a.deficit).toBe(QUANTUM);
  });

  it("of one request leaves the advances of the others", () => {
    const { scheduler, a } = waiting(1, 1);
    scheduler.next();
    const advance = scheduler.charge(a, 8000);
    scheduler.charge(a, 1000);
    scheduler.settle(a, advance, 0);
    expect(a.deficit).toBe(QUANTUM - 1000);
  });
});

describe("a debt", () => {
  it("is what a request used beyond its estimate", () => {
    const { scheduler, a } = waiting(1, 1);
    scheduler.next();
    const advance = scheduler.charge(a, 300);
    scheduler.settle(a, advance, 5 * QUANTUM);
    expect(a.deficit).toBe(-4 * QUANTUM);
  });

  it("is paid by the rounds that pass while nothing of the flow waits, but gives no credit", () => {
    const later = (rounds: number) => {
      const { scheduler, a, serve } = waiting(1, 1);
      run(scheduler, scheduler.next(), 5 * QUANTUM);
      scheduler.deactivate(a);
      serve(rounds, QUANTUM);
      scheduler.activate(a);
      return a.deficit;
    };
    expect([0, 1, 2, 9].map(later)).toEqual([-4, -3, -2, 0].map((rounds) => rounds * QUANTUM || 0));
  });

  it("is paid by whole rounds of all that wait", () => {
    const { scheduler, a, serve } = waiting(1, 1, 1);
    run(scheduler, scheduler.next(), 5 * QUANTUM);
    scheduler.deactivate(a);
    expect(serve(4, QUANTUM)).toBe("bcbc");
    scheduler.activate(a);
    expect(a.deficit).toBe(-2 * QUANTUM);
  });

  it("is paid in proportion to the weight", () => {
    const { scheduler, a, serve } = waiting(2, 4);
    run(scheduler, scheduler.next(), 10 * QUANTUM);
    const owed = a.deficit;
    scheduler.deactivate(a);
    serve(2, QUANTUM); // two rounds of the heavier one
    scheduler.activate(a);
    expect(a.deficit).toBe(owed + QUANTUM);
  });

  it("for a running request is paid by the rounds since it started, if others began to wait after the last time", () => {
    const { scheduler, a, b, serve } = waiting(1, 1);
    for (const flow of [a, b]) scheduler.deactivate(flow);
    scheduler.activate(b);
    serve(3, QUANTUM);
    scheduler.charge(a, 4 * QUANTUM);
    serve(2, QUANTUM);
    scheduler.activate(a);
    expect(a.deficit).toBe(-2 * QUANTUM);
  });

  it("of a request that ends while others wait again is not that of before, and stays", () => {
    const { scheduler, a, b } = waiting(1, 1);
    run(scheduler, scheduler.next(), 9 * QUANTUM);
    const advance = scheduler.charge(a, QUANTUM);
    for (const flow of [a, b]) scheduler.deactivate(flow);
    scheduler.activate(b);
    scheduler.settle(a, advance, 5 * QUANTUM);
    scheduler.activate(a);
    expect(a.deficit).toBe(-5 * QUANTUM);
  });

  it("is paid only for the rounds since then", () => {
    const { scheduler, a, serve } = waiting(1, 1);
    serve(40, QUANTUM);
    scheduler.deactivate(a);
    serve(1, QUANTUM);
    scheduler.activate(a);
    run(scheduler, a, 5 * QUANTUM);
    const owed = a.deficit;
    scheduler.deactivate(a);
    serve(1, QUANTUM);
    scheduler.activate(a);
    expect(a.deficit).toBe(owed + QUANTUM);
  });

  it("expires when nothing waits any more", () => {
    const { scheduler, a, b } = waiting(1, 1);
    run(scheduler, scheduler.next(), 5 * QUANTUM);
    for (const flow of [b, a]) scheduler.deactivate(flow);
    scheduler.activate(b);
    expect(a.deficit).toBe(-4 * QUANTUM);
    scheduler.activate(a);
    expect(a.deficit).toBe(0);
  });

  it("does not arise while nothing waits", () => {
    const scheduler = new DeficitRoundRobin<Flow>();
    const flow = new Flow("a", 1);
    run(scheduler, flow, 5000);
    expect(flow.deficit).toBe(0);
  });

  it("of all flows is paid at once, however many rounds that are", () => {
    const { scheduler, a, b, serve } = waiting(1, 2);
    a.settledDeficit = -1e9 * QUANTUM;
    b.settledDeficit = -2.5e9 * QUANTUM;
    const idle = new Flow("idle", 1);
    scheduler.activate(idle);
    run(scheduler, idle, 5e9 * QUANTUM);
    scheduler.deactivate(idle);
    expect(scheduler.next()).toBe(a);
    // Half a quantum a round for a, a whole one for b.
    expect(a.deficit).toBe(QUANTUM / 2);
    expect(b.deficit).toBe(-5e8 * QUANTUM);
    scheduler.activate(idle);
    expect(idle.deficit / QUANTUM / 1e9).toBeCloseTo(-4);
    scheduler.deactivate(idle);
    expect(serve(3, QUANTUM / 2)).toBe("aaa"); // b has far more to pay
  });
});
