import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Limits } from "../../../../runtime/limits-config.ts";
import {
  type Admission,
  createAdmission,
  estimateTokens,
  type Slot,
  type SlotRequest,
} from "../../../../runtime/relay/admission/admission.ts";
import { modelCall } from "../dialects/model-call.ts";

const LIMITS: Limits = { chat: 1, embeddings: 1, waiting: 10_000, waitSeconds: 60, bodyMiB: 8, whenBusy: "queue" };
const never = new AbortController().signal;
/** No time passes, so tokens alone decide the shares: a slot's time would count too, and varies on a busy machine. */
const standing = { now: () => 0 };

function slotRequest(name: string, more: Partial<SlotRequest> & { weight?: number } = {}): SlotRequest {
  const { weight = 1, ...rest } = more;
  const caller = { name, clientId: name, companies: ["*"], weight, enabled: true };
  return { queue: "chat", caller, estimatedTokens: 300, bytes: 1000, signal: never, ...rest };
}

/** Serves one after another, each for `serviceMs` of the fake clock. @returns the names in the order they were served */
async function serveAll(admission: Admission, first: Slot, requests: SlotRequest[], used?: (name: string) => number) {
  const order: string[] = [];
  const waiting = requests.map(async (one) => {
    const slot = await admission.acquire(one);
    order.push(one.caller.name);
    await Promise.resolve();
    slot.release(used?.(one.caller.name));
  });
  first.release(300);
  await Promise.all(waiting);
  return order;
}

describe("between callers", () => {
  test("a single request is served before 1,000 earlier ones of another caller", async () => {
    const admission = createAdmission(LIMITS, standing);
    const first = await admission.acquire(slotRequest("greedy"));
    const many = Array.from({ length: 1000 }, () => slotRequest("greedy"));
    const order = await serveAll(admission, first, [...many, slotRequest("single")]);
    // Behind the one that runs and one round: one request of the only other caller.
    expect(order.indexOf("single")).toBeLessThanOrEqual(1);
    expect(order).toHaveLength(1001);
  });

  test("tokens are shared, not requests: a caller with requests four times as long gets a quarter as many", async () => {
    const admission = createAdmission(LIMITS, standing);
    const first = await admission.acquire(slotRequest("other"));
    const requests = Array.from({ length: 400 }, (_, n) =>
      slotRequest(n % 2 === 0 ? "long" : "short", { estimatedTokens: 300 }),
    );
    // Both are estimated alike; the answers tell.
    const order = await serveAll(admission, first, requests, (name) => (name === "long" ? 2000 : 500));
    const early = order.slice(0, 200);
    const ratio = early.filter((name) => name === "short").length / early.filter((name) => name === "long").length;
    expect(ratio).toBeGreaterThan(3.5);
    expect(ratio).toBeLessThan(4.5);
  });

  test("a weight of 3 gets three times the share", async () => {
    const admission = createAdmission(LIMITS, standing);
    const first = await admission.acquire(slotRequest("other"));
    const requests = Array.from({ length: 400 }, (_, n) =>
      n % 2 === 0 ? slotRequest("heavy", { weight: 3 }) : slotRequest("light"),
    );
    const early = (await serveAll(admission, first, requests)).slice(0, 200);
    const ratio = early.filter((name) => name === "heavy").length / early.filter((name) => name === "light").length;
    expect(ratio).toBeGreaterThan(2.5);
    expect(ratio).toBeLessThan(3.5);
  });

  test("old debt costs a returning caller at most one round, even with a small weight", async () => {
    const admission = createAdmission(LIMITS, standing);
    const huge = await admission.acquire(slotRequest("debtor", { weight: 0.01 }));
    const others = Array.from({ length: 50 }, () => slotRequest("greedy"));
    const waiting = others.map((one) => admission.acquire(one).then((slot) => slot.release()));
    huge.release(1_000_000);
    const order: string[] = [];
    void Promise.all(waiting).then(() => order.push("all of greedy"));
    const slot = await admission.acquire(slotRequest("debtor", { weight: 0.01 }));
    order.push("debtor");
    slot.release();
    await Promise.all(waiting);
    expect(order[0]).toBe("debtor");
  });

  test("jobs and direct requests of one caller both progress", async () => {
    const admission = createAdmission(LIMITS, standing);
    const first = await admission.acquire(slotRequest("a"));
    const order: string[] = [];
    const run = async (background: boolean) => {
      const slot = await admission.acquire(slotRequest("a", { background }));
      order.push(background ? "job" : "direct");
      slot.release();
    };
    const all = [...Array.from({ length: 8 }, () => run(true)), ...Array.from({ length: 8 }, () => run(false))];
    first.release();
    await Promise.all(all);
    // Four times in five the direct ones.
    expect(order.slice(0, 10)).toEqual([
      "direct",
      "direct",
      "direct",
      "direct",
      "job",
      "direct",
      "direct",
      "direct",
      "direct",
      "job",
    ]);
  });
});

describe("bounds", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("a request beyond the number that can wait is refused immediately, with the time of a retry", async () => {
    const admission = createAdmission({ ...LIMITS, waiting: 1 });
    await admission.acquire(slotRequest("a"));
    void admission.acquire(slotRequest("a"));
    await expect(admission.acquire(slotRequest("b"))).rejects.toMatchObject({
      code: "queue_full",
      status: 429,
      headers: {
        "Retry-After": "1",
        "retry-after-ms": "250",
        "RateLimit-Policy": '"chat";q=2;qu="concurrent-requests"',
        RateLimit: '"chat";r=0;t=1',
      },
    });
  });

  test("a request beyond the bytes that can wait is refused; a single one can always wait", async () => {
    const admission = createAdmission({ ...LIMITS, waitingMiB: 1 });
    await admission.acquire(slotRequest("a"));
    void admission.acquire(slotRequest("a", { bytes: 2_000_000 }));
    await expect(admission.acquire(slotRequest("a", { bytes: 1 }))).rejects.toMatchObject({ code: "queue_full" });
  });

  test("whenBusy reject: nothing waits", async () => {
    const admission = createAdmission({ ...LIMITS, whenBusy: "reject" });
    const slot = await admission.acquire(slotRequest("a"));
    await expect(admission.acquire(slotRequest("a"))).rejects.toMatchObject({ code: "queue_full" });
    slot.release();
    await admission.acquire(slotRequest("a"));
  });

  test("a request times out after waitSeconds; a job waits longer and does not count", async () => {
    const admission = createAdmission({ ...LIMITS, waiting: 1 });
    const slot = await admission.acquire(slotRequest("a"));
    let job: Slot | undefined;
    void admission.acquire(slotRequest("a", { background: true })).then((got) => {
      job = got;
    });
    const waiting = expect(admission.acquire(slotRequest("a"))).rejects.toMatchObject({
      code: "queue_timeout",
      status: 429,
    });
    await vi.advanceTimersByTimeAsync(60_000);
    await waiting;
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(admission.snapshot().chat).toMatchObject({ running: 1, waiting: 0, waitingBackground: 1 });
    slot.release();
    await vi.advanceTimersByTimeAsync(0);
    expect(job?.waitedMs).toBe(3_660_000);
  });

  test("a request with a far too long expected wait is refused", async () => {
    const admission = createAdmission(LIMITS);
    for (let n = 0; n < 10; n += 1) {
      const slot = await admission.acquire(slotRequest("a"));
      await vi.advanceTimersByTimeAsync(20_000);
      slot.release();
    }
    await admission.acquire(slotRequest("a"));
    const accepted = Array.from({ length: 6 }, () => admission.acquire(slotRequest("a")).catch(() => {}));
    expect(admission.expectedWaitMs("chat")).toBe(140_000);
    await expect(admission.acquire(slotRequest("a"))).rejects.toMatchObject({
      code: "queue_full",
      headers: { "Retry-After": "60" },
    });
    // Another caller shares the lane, and is served far earlier.
    void admission.acquire(slotRequest("b")).catch(() => {});
    expect(admission.snapshot().chat.callers).toEqual({ a: { running: 1, waiting: 6 }, b: { running: 0, waiting: 1 } });
    admission.close();
    await Promise.all(accepted);
  });
});

test("a client that disconnects while waiting leaves the queue immediately, without effect on others", async () => {
  const admission = createAdmission(LIMITS);
  const first = await admission.acquire(slotRequest("a"));
  const leaving = new AbortController();
  const left = admission.acquire(slotRequest("a", { signal: leaving.signal }));
  const stays = admission.acquire(slotRequest("a"));
  leaving.abort();
  expect(admission.snapshot().chat).toMatchObject({ waiting: 1, waitingBytes: 1000 });
  await expect(left).rejects.toThrow("disconnected while waiting");
  first.release();
  first.release(); // counts once
  (await stays).release();
  expect(admission.snapshot().chat).toMatchObject({ running: 0, waiting: 0, waitingBytes: 0, callers: {} });
});

test("more slots start waiting requests; fewer take effect as requests end", async () => {
  const admission = createAdmission(LIMITS);
  const slots = [await admission.acquire(slotRequest("a"))];
  const waiting = [admission.acquire(slotRequest("a")), admission.acquire(slotRequest("b"))];
  admission.update({ ...LIMITS, chat: 3 });
  slots.push(...(await Promise.all(waiting)));
  admission.update({ ...LIMITS, chat: 1 });
  const late = admission.acquire(slotRequest("a"));
  for (const slot of slots.slice(0, 2)) slot.release();
  expect(admission.snapshot().chat).toMatchObject({ running: 1, waiting: 1 });
  slots[2]!.release();
  await late;
});

test("close refuses waiting and new requests", async () => {
  const admission = createAdmission(LIMITS);
  await admission.acquire(slotRequest("a"));
  const waiting = admission.acquire(slotRequest("a"));
  admission.close();
  await expect(waiting).rejects.toMatchObject({ code: "shutting_down" });
  await expect(admission.acquire(slotRequest("a"))).rejects.toMatchObject({ code: "shutting_down" });
});

test("the queues do not wait for each other", async () => {
  const admission = createAdmission(LIMITS);
  await admission.acquire(slotRequest("a"));
  await admission.acquire(slotRequest("a", { queue: "embeddings" }));
  expect(admission.expectedWaitMs("embeddings")).toBe(0);
});

test.each([
  ["/v1/chat/completions", "chat"],
  ["/v1/completions", "chat"],
  ["/v1/responses", "chat"],
  ["/api/chat", "chat"],
  ["/api/generate", "chat"],
  ["/v1/embeddings", "embeddings"],
  ["/api/embed", "embeddings"],
  ["/api/embeddings", "embeddings"],
  ["/v1/models", undefined],
  ["/api/tags", undefined],
  ["/api/show", undefined],
])("the queue of %s is %s", (route, lane) => {
  expect(modelCall(route, lane === undefined && route !== "/api/show" ? "GET" : "POST").queue).toBe(lane);
});

test.each([
  ["prompt and a usual answer", "/api/chat", { prompt: "x".repeat(985) }, 506],
  ["a short bound on the answer", "/v1/chat/completions", { prompt: "x".repeat(967), max_tokens: 10 }, 260],
  ["a bound above the usual", "/v1/chat/completions", { prompt: "x".repeat(965), max_tokens: 9999 }, 506],
  ["embeddings have no answer", "/v1/embeddings", { input: "x".repeat(987) }, 250],
  ["nothing is free", "/api/embed", {}, 64],
])("estimate: %s", (_name, route, body, tokens) => {
  expect(Math.abs(estimateTokens(modelCall(route), Buffer.from(JSON.stringify(body))) - tokens)).toBeLessThan(3);
});
