import { describe, expect, test } from "vitest";
import {
  type Admission,
  createAdmission,
  type Slot,
  type SlotRequest,
} from "../../../../runtime/relay/admission/admission.ts";
import { BodyWorker } from "../../../../runtime/relay/documents/body-worker.ts";
import { createEmbedder } from "../../../../runtime/relay/documents/embedder.ts";
import { startRunner } from "../../../../runtime/relay/jobs/runner.ts";
import type { JobStore, WaitingJob } from "../../../../runtime/relay/jobs/store.ts";
import { createMemoryBudget } from "../../../../runtime/relay/memory/budget.ts";
import { createUpstream } from "../../../../runtime/relay/model/upstream.ts";
import { router } from "../dialects/model-call.ts";
import { CLIENT_ID, post, startModel, startTestRelay, type TestRelay, testConfig, token } from "../harness.ts";

/** Conditions are waited for this long on a busy machine. */
const PATIENT = { timeout: 20_000 };
const limits = { ...testConfig("", "").limits, chat: 4, embeddings: 2 };
const never = new AbortController().signal;
const OTHER_ID = "fedcba9876543210fedcba9876543210.access";
const callers = [
  { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
  { name: "other", clientId: OTHER_ID, companies: ["*"], weight: 1, enabled: true },
];

function slotRequest(name: string, background = false): SlotRequest {
  const caller = { name, clientId: name, companies: ["*"], weight: 1, enabled: true };
  return { queue: "chat", caller, estimatedTokens: 300, bytes: 0, signal: never, background };
}

interface ChatLane {
  running: number;
  runningBackground: number;
  waiting: number;
}
const chatLane = async (relay: TestRelay) =>
  ((await (await fetch(`${relay.admin}/details`)).json()) as { lanes: { chat: ChatLane } }).lanes.chat;

describe("slots of background work", () => {
  test.each([
    [1, undefined, 1],
    [2, undefined, 1],
    [4, undefined, 3],
    [4, 2, 2],
    [2, 3, 1],
  ])("of %s with jobs.slots %s: %s", async (chat, backgroundSlots, expected) => {
    const admission = createAdmission({ ...limits, chat }, { backgroundSlots });
    for (let n = 0; n < 10; n += 1) void admission.acquire(slotRequest("a", true));
    expect(admission.snapshot().chat).toMatchObject({ running: expected, waitingBackground: 10 - expected });
    const direct = await Promise.race([admission.acquire(slotRequest("b")), Promise.resolve("waits")]);
    expect(direct === "waits").toBe(chat === 1);
  });

  test("fewer slots after a reload take effect as requests end; more are used immediately", async () => {
    const admission = createAdmission(limits);
    const slots: Slot[] = [];
    for (let n = 0; n < 10; n += 1) void admission.acquire(slotRequest("a", true)).then((slot) => slots.push(slot));
    await expect.poll(() => slots.length, PATIENT).toBe(3);
    admission.update({ ...limits, chat: 2 });
    for (const slot of slots.splice(0)) slot.release(300);
    expect(admission.snapshot().chat).toMatchObject({ running: 1 });
    admission.update({ ...limits, chat: 6 });
    expect(admission.snapshot().chat).toMatchObject({ running: 5, runningBackground: 5 });
  });
});

test("four of five slots go to direct requests of any caller, and jobs never starve", async () => {
  const admission = createAdmission({ ...limits, chat: 1 }, { now: () => 0 });
  const order: string[] = [];
  const first = await admission.acquire(slotRequest("a"));
  const run = async (name: string, background: boolean) => {
    const slot = await admission.acquire(slotRequest(name, background));
    order.push(background ? "job" : name);
    slot.release(300);
  };
  const all = [
    ...Array.from({ length: 100 }, () => run("jobs", true)),
    ...Array.from({ length: 40 }, () => run("b", false)),
    ...Array.from({ length: 40 }, () => run("c", false)),
  ];
  first.release(300);
  await Promise.all(all);
  for (let at = 0; at < 80; at += 5) expect(order.slice(at, at + 5).filter((one) => one === "job")).toHaveLength(1);
  expect(order.slice(0, 50).filter((one) => one === "b")).toHaveLength(20);
});

test("long jobs on an idle Mac leave a slot: a direct request of another caller is answered while they run", async () => {
  const model = await startModel(({ body, method }, res) => {
    if (method === "GET") return void res.end('{"models":[]}');
    if (body.includes("direct")) res.writeHead(200, { "Content-Type": "application/json" }).end("{}");
  });
  const relay = await startTestRelay(model.url, { callers, limits: { ...limits, waitSeconds: 5 } });
  for (let n = 0; n < 6; n += 1) {
    const headers = { Prefer: "respond-async" };
    expect((await post(relay, "/v1/completions", { job: n }, { headers })).status).toBe(202);
  }
  await expect.poll(() => chatLane(relay), PATIENT).toMatchObject({ running: 3, runningBackground: 3 });
  const other = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };
  for (let n = 0; n < 5; n += 1) {
    expect((await post(relay, "/v1/completions", { direct: n }, { headers: other })).status).toBe(200);
  }
  expect(await chatLane(relay)).toMatchObject({ running: 3, runningBackground: 3, waiting: 0 });
}, 30_000);

describe("embedding for documents", () => {
  const batch = Array.from({ length: 40 }, (_, n) => `text ${n}`);

  async function requestsOf(client: { hasLeft: boolean; isAnswered: boolean }): Promise<SlotRequest[]> {
    const model = await startModel(({ body, method }, res) => {
      if (method === "GET") return void res.end('{"models":[{"name":"embed:latest","digest":"d"}]}');
      const { input } = JSON.parse(body.toString()) as { input: string[] };
      res.end(JSON.stringify({ embeddings: input.map(() => [1, 0]), prompt_eval_count: input.length }));
    });
    const upstream = createUpstream({ kind: "ollama", url: model.url });
    const admission = createAdmission(limits);
    const requests: SlotRequest[] = [];
    const seen: Admission = {
      ...admission,
      acquire(one) {
        requests.push(one);
        return admission.acquire(one);
      },
    };
    const bodyWorker = new BodyWorker();
    const identities = { last: () => undefined, note: () => {}, close: async () => {} };
    const { breaker } = upstream;
    const options = { revision: undefined, admission: seen, breaker, bodyWorker, identities };
    const embedder = createEmbedder({ kind: "ollama", url: model.url }, options);
    const caller = slotRequest("a").caller;
    const common = { model: "embed", inputs: batch, dimensions: undefined, normalize: true, onProgress: () => {} };
    await embedder.embed({ ...common, caller, company: "acme", client, signal: never });
    await Promise.all([embedder.close(), upstream.close(), bodyWorker.close()]);
    return requests;
  }

  test("is charged to the company, and is background work after its first call", async () => {
    const requests = await requestsOf({ hasLeft: false, isAnswered: false });
    expect(requests.map(({ company, background }) => [company, background])).toEqual([
      ["acme", false],
      ["acme", true],
    ]);
    expect(requests[0]!.evictable?.()).toBe(true);
  });

  test("is background work from the start when its client has disconnected; a response that has begun is not evicted", async () => {
    const requests = await requestsOf({ hasLeft: true, isAnswered: true });
    expect(requests.map(({ background }) => background)).toEqual([true, true]);
    expect(requests[0]!.evictable?.()).toBe(false);
  });
});

describe("a job that does not run", () => {
  /** A runner over one waiting job, whose claim answers `claimed`. @returns what its slot was released with */
  async function released(claim: JobStore["claim"]): Promise<(number | undefined)[]> {
    const with_: (number | undefined)[] = [];
    const done = Promise.withResolvers<void>();
    const waiting: WaitingJob = {
      id: "1",
      owner: "backend",
      flow: "acme",
      company: "acme",
      estimatedTokens: 5000,
      bytes: 10,
    };
    let given = false;
    const store = {
      waiting: (lane: string) => {
        if (lane !== "chat" || given) return Promise.resolve([]);
        given = true;
        return Promise.resolve([waiting]);
      },
      claim,
      sweep: () => Promise.resolve(false),
      summary: () => Promise.reject(new Error("no summary")),
    } as unknown as JobStore;
    const upstream = createUpstream({ kind: "ollama", url: "http://127.0.0.1:1" });
    let asked: SlotRequest | undefined;
    const slot: Slot = {
      waitedMs: 0,
      release(used) {
        with_.push(used);
        done.resolve();
      },
      abandon: () => done.reject(new Error("charged by time")),
    };
    const runner = startRunner({
      dialectOf: router.dialectOf,
      store,
      upstream,
      admission: {
        acquire(one) {
          asked = one;
          return Promise.resolve(slot);
        },
      },
      callers: () => callers,
      memory: createMemoryBudget({}, ["a"]),
      limits: () => limits,
      attemptMs: () => 1000,
      log: { warn() {}, error() {}, info() {} } as never,
      onChange() {},
      onUsage() {},
      onEnd() {},
    });
    await done.promise;
    runner.stop();
    await upstream.close();
    expect(asked).toMatchObject({ company: "acme", background: true });
    return with_;
  }

  test("because another relay has claimed it, pays nothing", async () => {
    expect(await released(() => Promise.resolve(undefined))).toEqual([0]);
  });

  test("because the store fails, pays nothing", async () => {
    expect(await released(() => Promise.reject(new Error("disk full")))).toEqual([0]);
  });
});
