import { describe, expect, test } from "vitest";
import { QUANTUM } from "../../../../runtime/relay/admission/deficit-round-robin.ts";
import { MAX_COMPANY_FLOWS } from "../../../../runtime/relay/admission/flow-names.ts";
import { backgroundSlots } from "../../../../runtime/relay/admission/queue.ts";
import { type Random, randomOf } from "../drills/seed.ts";
import { countOf, QueueSimulation, type Request, tokensBy } from "./queue-simulation.ts";

const short = (caller: string, more: Partial<Request> = {}): Request => ({
  caller,
  estimate: 300,
  used: 300,
  ms: 100,
  ...more,
});
/** A picture: 60 MB of base64 for the estimate, a few tokens for the model. */
const image = (caller: string, more: Partial<Request> = {}): Request =>
  short(caller, { estimate: 131_328, used: 1000, ...more });
const times = (count: number, make: (n: number) => Request): Request[] =>
  Array.from({ length: count }, (_, n) => make(n));
const submitAll = (simulation: QueueSimulation, requests: readonly Request[]) => {
  for (const request of requests) simulation.submit(request);
};

describe("refunds do not become credit", () => {
  test.each([1, 2, 4])("an image estimated a hundred times too high, %s slots", (slots) => {
    const simulation = new QueueSimulation(slots);
    simulation.submit(image("a"));
    submitAll(simulation, [...times(100, () => short("a")), ...times(100, () => short("b"))]);
    simulation.run();
    const waited = simulation.started.slice(slots);
    // It was: all 100 of A's before the first of B's.
    for (const part of [20, 50, 100]) {
      expect(countOf(waited.slice(0, part), "b")).toBeGreaterThanOrEqual(part * 0.4);
    }
    expect(countOf(waited.slice(0, 100), "a")).toBeGreaterThan(30);
  });

  test("several images at once, some of which end while nothing waits", () => {
    const simulation = new QueueSimulation(4);
    submitAll(simulation, [image("a", { ms: 10 }), image("a", { ms: 500 }), image("a", { ms: 500 })]);
    simulation.step();
    submitAll(simulation, [...times(100, () => short("a")), ...times(100, () => short("b"))]);
    simulation.run();
    expect(countOf(simulation.started.slice(5, 65), "b")).toBeGreaterThanOrEqual(28);
  });

  test("companies of one caller", () => {
    const simulation = new QueueSimulation(1);
    simulation.submit(image("a", { company: "x" }));
    submitAll(simulation, [
      ...times(100, () => short("a", { company: "x" })),
      ...times(100, () => short("a", { company: "y" })),
    ]);
    simulation.run();
    const early = simulation.started.slice(1, 101);
    expect(early.filter(({ company }) => company === "y").length).toBeGreaterThanOrEqual(49);
  });

  test("skipped rounds are not made up for in a row", () => {
    const simulation = new QueueSimulation(2);
    simulation.submit(image("a", { ms: 6000 }));
    submitAll(simulation, [...times(200, () => short("a")), ...times(200, () => short("b"))]);
    simulation.run(() => simulation.now >= 6000);
    const after = simulation.started.length;
    simulation.run(() => simulation.started.length === after + 20);
    expect(countOf(simulation.started.slice(after), "b")).toBeGreaterThanOrEqual(8);
  });

  test("a caller delayed by its own image is not starved while the image runs", () => {
    const simulation = new QueueSimulation(2);
    simulation.submit(image("a", { ms: 1_000_000 }));
    submitAll(simulation, [...times(200, () => short("a")), ...times(200, () => short("b"))]);
    simulation.run(() => simulation.started.length === 200);
    expect(countOf(simulation.started, "a")).toBeGreaterThan(60);
  });
});

describe("underestimated requests are paid for", () => {
  // Each client sends its next request when it has the answer: its caller has nothing waiting for a moment, again and again.
  test.each([2, 4, 8])("with %s clients that send again immediately", (clients) => {
    const simulation = new QueueSimulation(2);
    const long = short("long", { estimate: 64, used: 20_000, ms: 2000 });
    simulation.onEnd = (request) => {
      if (request.caller === "long") simulation.submit(long);
    };
    submitAll(simulation, [...times(clients, () => long), ...times(5000, () => short("short"))]);
    simulation.run(() => simulation.now > 300_000 || countOf(simulation.started, "short") === 5000);
    const tokens = tokensBy(simulation.started, ({ caller }) => caller);
    const ratio = tokens.get("long")! / tokens.get("short")!;
    expect(ratio).toBeGreaterThan(0.7);
    expect(ratio).toBeLessThan(1.4);
  });

  /** A caller with one long request running that owes for another, and a queue of others. */
  const indebted = (others: number) => {
    const simulation = new QueueSimulation(2);
    submitAll(simulation, [
      short("a", { estimate: 64, used: 64, ms: 1e9 }),
      short("a", { estimate: 64, used: 20_000 }),
    ]);
    submitAll(
      simulation,
      times(others, () => short("b")),
    );
    return simulation;
  };

  test("a debt is paid by rounds that pass while the flow has running requests only", () => {
    const simulation = indebted(400);
    simulation.run(() => countOf(simulation.started, "b") === 200); // 60,000 tokens, for a debt of 20,000
    const before = simulation.started.length;
    simulation.submit(short("a"));
    simulation.run(() => simulation.started.slice(before).some(({ caller }) => caller === "a"));
    expect(simulation.started.length - before).toBeLessThanOrEqual(4);
  });

  test("a debt expires once nothing waits", () => {
    const simulation = indebted(3);
    simulation.run(() => simulation.queue.snapshot().running === 1);
    const before = simulation.started.length;
    submitAll(simulation, [...times(100, () => short("b")), short("a")]);
    simulation.run(() => simulation.started.slice(before).some(({ caller }) => caller === "a"));
    expect(simulation.started.length - before).toBeLessThanOrEqual(4);
  });

  test("requests served while nothing waited cost nothing: a caller that had the Mac to itself is not starved afterwards", () => {
    const simulation = new QueueSimulation(1);
    simulation.onEnd = (request) => {
      if (request.caller === "a" && simulation.started.length < 50) simulation.submit(short("a", { used: 10_000 }));
    };
    simulation.submit(short("a", { used: 10_000 }));
    simulation.run(() => simulation.started.length === 50);
    submitAll(simulation, [...times(500, () => short("b")), ...times(20, () => short("a"))]);
    simulation.run();
    // It owes the one that still ran: 10,000 tokens, some 35 requests of b's. Not the 49 before.
    const first = simulation.started.findIndex(({ caller, used }) => caller === "a" && used === 300);
    expect(first).toBeLessThanOrEqual(50 + 40);
  });
});

describe("companies", () => {
  test("of one caller are served in rounds; requests without a company are one more flow", () => {
    const simulation = new QueueSimulation(1);
    submitAll(simulation, [
      ...times(300, () => short("a", { company: "loud" })),
      ...times(10, () => short("a", { company: "quiet" })),
      ...times(10, () => short("a")),
    ]);
    simulation.run();
    const last = (company: string | undefined) =>
      simulation.started.findLastIndex((request) => request.company === company);
    expect(last("quiet")).toBeLessThan(40);
    expect(last(undefined)).toBeLessThan(40);
  });

  test("invented by a caller gain no share and no memory", () => {
    const simulation = new QueueSimulation(1);
    submitAll(simulation, [...times(500, (n) => short("a", { company: `c${n}` })), ...times(100, () => short("b"))]);
    simulation.run(() => simulation.started.length === 201);
    expect(countOf(simulation.started.slice(1), "b")).toBeGreaterThanOrEqual(99);
    simulation.run();
    expect(simulation.started).toHaveLength(600);
    expect(simulation.queue.snapshot()).toMatchObject({ running: 0, waiting: 0, waitingBytes: 0, callers: {} });
  });

  test(`beyond ${MAX_COMPANY_FLOWS} share one flow; the first ones keep their own`, () => {
    const simulation = new QueueSimulation(1);
    simulation.submit(short("other"));
    submitAll(simulation, [
      ...times(MAX_COMPANY_FLOWS, (n) => short("a", { company: `c${n}` })),
      ...times(500, (n) => short("a", { company: `more${n}` })),
      ...times(MAX_COMPANY_FLOWS, (n) => short("a", { company: `c${n}` })),
    ]);
    simulation.run(() => simulation.started.length === 1 + 2 * (MAX_COMPANY_FLOWS + 1));
    const known = simulation.started.filter(({ company }) => /^c\d+$/.test(company ?? ""));
    expect(known.length).toBeGreaterThanOrEqual(2 * MAX_COMPANY_FLOWS - 3);
  });
});

test("a changed weight applies to waiting requests", () => {
  const simulation = new QueueSimulation(1);
  submitAll(simulation, [...times(400, () => short("a")), ...times(400, () => short("b"))]);
  simulation.run(() => simulation.started.length === 100);
  simulation.queue.setWeights([
    { name: "a", weight: 30 },
    { name: "b", weight: 10 },
  ]);
  // It was accepted before the change, and says so.
  simulation.submit(short("a", { weight: 1 }));
  simulation.run(() => simulation.started.length === 300);
  const a = countOf(simulation.started.slice(100, 300), "a");
  expect(a).toBeGreaterThanOrEqual(146);
  expect(a).toBeLessThanOrEqual(154);
});

test("weights given as percentages do not make rounds longer: a new caller waits no longer than with weights of one", () => {
  const simulation = new QueueSimulation(1);
  submitAll(simulation, [
    ...times(300, () => short("a", { weight: 70 })),
    ...times(300, () => short("b", { weight: 29 })),
    short("new", { weight: 1 }),
  ]);
  simulation.run(() => countOf(simulation.started, "new") === 1);
  expect(simulation.started.length).toBeLessThanOrEqual(4);
});

test.each([
  ["images that cost little", { estimate: 131_328, used: 1000 }],
  ["answers far longer than estimated", { estimate: 64, used: 50_000 }],
  ["many tiny ones", { estimate: 64, used: 64 }],
])(
  "a quiet caller with one request per second waits for the running requests and one round, whatever another caller sends: %s",
  (_name, tokens) => {
    const simulation = new QueueSimulation(4);
    const random = randomOf(1);
    const attack = () =>
      simulation.submit(
        short("attacker", {
          ...tokens,
          company: `c${random.between(0, 500)}`,
          ms: random.between(1, Math.min(2 * tokens.used, 2000)),
        }),
      );
    simulation.onEnd = ({ caller }) => {
      if (caller === "attacker" && simulation.now < 120_000) attack();
    };
    const waits: number[] = [];
    simulation.onStart = ({ caller }, waitedMs) => {
      if (caller === "quiet") waits.push(waitedMs);
    };
    for (let n = 0; n < 300; n += 1) attack();
    for (let second = 1; second <= 120; second += 1)
      simulation.at(second * 1000, () => simulation.submit(short("quiet", { ms: 600 })));
    simulation.run();
    expect(waits).toHaveLength(120);
    // Of four slots one is free after 2 s at the latest; a round has one turn of the attacker before.
    expect(Math.max(...waits)).toBeLessThanOrEqual(4000);
  },
);

describe("a request that holds its slot long for few tokens", () => {
  test.each([1, 2, 4])("delays a quiet caller by the running requests and one more per round (%s slots)", (slots) => {
    const simulation = new QueueSimulation(slots);
    const attack = () => simulation.submit(short("attacker", { estimate: 64, used: 64, ms: 20_000 }));
    simulation.onEnd = ({ caller }) => {
      if (caller === "attacker" && simulation.now < 2_000_000) attack();
    };
    const waits: number[] = [];
    simulation.onStart = ({ caller }, waitedMs) => {
      if (caller === "quiet") waits.push(waitedMs);
    };
    for (let n = 0; n < 40; n += 1) simulation.at(n * 700, attack);
    for (let n = 1; n <= 20; n += 1) {
      simulation.at(n * 97_000, () => simulation.submit(short("quiet", { estimate: 64, used: 64, ms: 600 })));
    }
    simulation.run();
    expect(waits).toHaveLength(20);
    // With one slot it was 77 s: four of them fit into a turn.
    expect(Math.max(...waits)).toBeLessThanOrEqual(2 * 20_000);
  });

  test("pays for its time: of two callers that always have waiting requests, neither gets much more slot time", () => {
    const simulation = new QueueSimulation(1);
    const times = new Map<string, number>();
    simulation.onStart = ({ caller, ms }) => times.set(caller, (times.get(caller) ?? 0) + ms);
    submitAll(simulation, [
      ...Array.from({ length: 4000 }, () => short("long", { estimate: 64, used: 64, ms: 8000 })),
      ...Array.from({ length: 4000 }, () => short("usual", { estimate: 300, used: 300, ms: 1000 })),
    ]);
    simulation.run(() => simulation.now > 2_000_000);
    // It was 37 times as much.
    expect((times.get("long") ?? 0) / (times.get("usual") ?? 1)).toBeLessThan(6);
  });
});

describe("for any load", () => {
  const anyRequest = (random: Random, caller: string, weight: number): Request => {
    const used = random.between(64, 2000);
    return {
      caller,
      weight,
      company: random.pick([undefined, "x", "y", `c${random.between(0, 200)}`]) as string,
      background: random.next() < 0.2,
      // Right, far too high, or far too low.
      estimate: random.pick([used, used * 50, Math.ceil(used / 20)]),
      used,
      ms: random.between(1, 1000),
    };
  };

  test.each(Array.from({ length: 60 }, (_, seed) => seed))(
    "running requests never exceed the slots, no usable slot stays free, and every request is served (seed %s)",
    (seed) => {
      const random = randomOf(seed);
      const slots = random.between(1, 5);
      const simulation = new QueueSimulation(slots);
      const most = backgroundSlots(slots, undefined);
      simulation.onEvent = () => {
        const { running, runningBackground, waiting, waitingBackground } = simulation.queue.snapshot();
        expect(running).toBeLessThanOrEqual(slots);
        expect(runningBackground).toBeLessThanOrEqual(most);
        if (running === slots) return;
        expect(waiting).toBe(0);
        if (waitingBackground > 0) expect(runningBackground).toBe(most);
      };
      let submitted = 0;
      for (let n = 0; n < 300; n += 1) {
        if (random.next() < 0.6) {
          submitted += 1;
          const caller = random.between(1, 4);
          simulation.submit(anyRequest(random, `caller ${caller}`, caller));
        } else simulation.step();
      }
      simulation.run();
      expect(simulation.started).toHaveLength(submitted);
      expect(simulation.queue.snapshot()).toMatchObject({ running: 0, waiting: 0, waitingBackground: 0, callers: {} });
    },
  );

  test.each(Array.from({ length: 40 }, (_, seed) => seed))(
    "a caller that always has waiting requests gets its share by weight, within a quantum and the largest request (seed %s)",
    (seed) => {
      const random = randomOf(seed);
      const slots = random.between(1, 4);
      const simulation = new QueueSimulation(slots);
      const weights = Array.from({ length: random.between(2, 5) }, () => random.pick([1, 1, 2, 5]));
      const largest = 2000;
      for (let n = 0; n < 400; n += 1) {
        for (const [caller, weight] of weights.entries()) {
          const used = random.between(64, largest);
          const estimate = random.pick([used, 64, largest]);
          simulation.submit({ caller: `${caller}`, weight, estimate, used, ms: random.between(1, 300) });
        }
      }
      simulation.run(() => Object.values(simulation.queue.snapshot().callers).some(({ waiting }) => waiting === 0));
      const tokens = tokensBy(simulation.started, ({ caller }) => caller);
      const heaviest = Math.max(...weights);
      const rounds = weights.map((weight, n) => {
        const quantum = (QUANTUM * weight) / heaviest;
        // What runs at the end is charged as it was estimated.
        return { served: (tokens.get(`${n}`) ?? 0) / quantum, within: 1 + ((1 + 2 * slots) * largest) / quantum };
      });
      for (const one of rounds) {
        for (const other of rounds) {
          expect(Math.abs(one.served - other.served)).toBeLessThanOrEqual(one.within + other.within + 1);
        }
      }
      expect(simulation.started.length).toBeGreaterThan(300);
    },
  );

  test.each(Array.from({ length: 60 }, (_, seed) => seed))(
    "a new caller or company waits for the running requests and at most one round (seed %s)",
    (seed) => {
      const random = randomOf(seed);
      const simulation = new QueueSimulation(random.between(1, 4));
      const callers = random.between(1, 4);
      for (let n = 0; n < 400; n += 1) {
        const caller = random.between(1, callers);
        simulation.submit({
          ...anyRequest(random, `${caller}`, caller),
          company: `c${random.between(1, 3)}`,
          background: false,
        });
        if (random.next() < 0.3) simulation.step();
      }
      const before = simulation.started.length;
      const isNewCaller = random.next() < 0.5;
      simulation.submit(short(isNewCaller ? "new" : "1", { company: "new", weight: random.pick([0.01, 1, 10]) }));
      simulation.run(() => simulation.started.some(({ company }) => company === "new"));
      // In a turn a quantum is used, by requests of at least 4 tokens: it does not grow with the 400 that wait. A new company
      // waits for its caller's turns, which may have to pay for others: only those of its caller count.
      const since = simulation.started.slice(before);
      const perTurn = QUANTUM / 4 + 1;
      const counted = isNewCaller ? since.length : countOf(since, "1");
      expect(counted).toBeLessThanOrEqual((isNewCaller ? callers : 3) * perTurn + 1);
      // Mostly it is far less.
      expect(isNewCaller ? since.length : 0).toBeLessThanOrEqual(4 * callers + 4);
    },
  );
});
