import { expect, test } from "vitest";
import { createAdmission, type Slot, type SlotRequest } from "../../../../runtime/relay/admission/admission.ts";
import { CLIENT_ID, post, startModel, startTestRelay, type TestRelay, testConfig, token } from "../harness.ts";

/** Conditions are waited for this long on a busy machine. */
const PATIENT = { timeout: 20_000 };
const limits = { ...testConfig("", "").limits, chat: 1, embeddings: 1 };
const never = new AbortController().signal;
const OTHER_ID = "fedcba9876543210fedcba9876543210.access";
const callers = [
  { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
  { name: "other", clientId: OTHER_ID, companies: ["*"], weight: 1, enabled: true },
];

function slotRequest(name: string, estimatedTokens = 300): SlotRequest {
  const caller = { name, clientId: name, companies: ["*"], weight: 1, enabled: true };
  return { queue: "chat", caller, estimatedTokens, bytes: 1000, signal: never };
}

const metricsOf = async (relay: TestRelay) => (await fetch(`${relay.admin}/metrics`)).text();
const chatLane = async (relay: TestRelay) =>
  (
    (await (await fetch(`${relay.admin}/details`)).json()) as {
      lanes: { chat: { serviceMs: number; waiting: number } };
    }
  ).lanes.chat;

/** Serves what waits one after another, each for `tokens`. @returns the callers in the order they were served */
async function serve(first: (end: Slot) => void, slot: Slot, waiting: [string, Promise<Slot>][]): Promise<string[]> {
  const order: string[] = [];
  const all = waiting.map(async ([name, promised]) => {
    const granted = await promised;
    order.push(name);
    granted.release(300);
  });
  first(slot);
  await Promise.all(all);
  return order;
}

test.each([
  ["by the time it took, at the measured rate", (slot: Slot) => slot.abandon(), 3000, 20, 40],
  ["little, if it was short", (slot: Slot) => slot.abandon(), 10, 0, 3],
  ["nothing, if nothing ran", (slot: Slot) => slot.release(0), 3000, 0, 3],
])("a call without an answer pays %s and is not measured", async (_name, end, ms, least, most) => {
  let now = 0;
  const admission = createAdmission(limits, { now: () => now });
  for (let n = 0; n < 10; n += 1) {
    const slot = await admission.acquire(slotRequest("a"));
    now += 100; // so 3,000 tokens in a second
    slot.release(300);
  }
  const slot = await admission.acquire(slotRequest("a", 64));
  now += ms;
  const waiting = Array.from({ length: 200 }, (_, n): [string, Promise<Slot>] => {
    const name = n % 2 === 0 ? "a" : "b";
    return [name, admission.acquire(slotRequest(name))];
  });
  const order = await serve(end, slot, waiting);
  const before = order.indexOf("a");
  expect(before).toBeGreaterThanOrEqual(least);
  expect(before).toBeLessThanOrEqual(most);
  expect(admission.snapshot().chat.serviceMs).toBeGreaterThan(0);
  expect(admission.snapshot().chat.callers).toEqual({});
});

test("sixteen calls without an answer do not change the measured time and Retry-After", async () => {
  let now = 0;
  const admission = createAdmission({ ...limits, waiting: 0 }, { now: () => now });
  for (let n = 0; n < 20; n += 1) {
    const slot = await admission.acquire(slotRequest("a"));
    now += 254_000 / 100;
    slot.release(300);
  }
  const measured = admission.snapshot().chat.serviceMs;
  for (let n = 0; n < 16; n += 1) {
    const slot = await admission.acquire(slotRequest("a"));
    now += 1;
    if (n % 2 === 0) slot.release(0);
    else slot.abandon();
  }
  expect(admission.snapshot().chat.serviceMs).toBe(measured);
  await admission.acquire(slotRequest("a"));
  await expect(admission.acquire(slotRequest("b"))).rejects.toMatchObject({ headers: { "Retry-After": "3" } });
});

test("a client that disconnects while its prompt is processed pays for it", async () => {
  const order: string[] = [];
  const model = await startModel(({ body, method }, res) => {
    if (method === "GET") return void res.end('{"models":[]}');
    const { who } = JSON.parse(body.toString()) as { who: string };
    if (who !== "long") {
      order.push(who);
      res
        .writeHead(200, { "Content-Type": "application/json" })
        .end('{"usage":{"prompt_tokens":200,"completion_tokens":100}}');
    }
  });
  const relay = await startTestRelay(model.url, { callers, limits });
  const other = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };
  const leaving = new AbortController();
  const prompt = "x".repeat(30_000);
  const long = post(relay, "/v1/completions", { who: "long", prompt }, { signal: leaving.signal }).catch(() => {});
  await expect.poll(() => model.seen.length, PATIENT).toBe(1);
  const waiting = [
    ...Array.from({ length: 10 }, () => post(relay, "/v1/completions", { who: "backend" })),
    ...Array.from({ length: 10 }, () => post(relay, "/v1/completions", { who: "other" }, { headers: other })),
  ];
  await expect.poll(async () => (await chatLane(relay)).waiting, PATIENT).toBe(20);
  leaving.abort();
  await long;
  await Promise.all(waiting);
  // Nothing was measured yet, so the estimate stands: 7,756 tokens. It was: in turns from the start.
  expect(order.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => "other"));
}, 30_000);

test("errors of the model server are not measured: a caller cannot shorten the others' expected wait by them", async () => {
  const model = await startModel(({ method }, res) => {
    if (method === "GET") return void res.end('{"models":[]}');
    res.writeHead(404, { "Content-Type": "application/json" }).end('{"error":"model not found"}');
  });
  const relay = await startTestRelay(model.url, { limits });
  for (let n = 0; n < 3; n += 1) await (await post(relay, "/v1/completions", { model: "none" })).text();
  expect((await chatLane(relay)).serviceMs).toBe(0);
});

test("calls to an unreachable model server or through an open circuit are not measured", async () => {
  const model = await startModel();
  await model.close();
  const relay = await startTestRelay(model.url, { limits });
  for (let n = 0; n < 4; n += 1) await post(relay, "/api/chat", {});
  expect((await chatLane(relay)).serviceMs).toBe(0);
});

test("tokens of jobs and of the fallback are counted, by caller and source", async () => {
  const usage = '{"usage":{"prompt_tokens":7,"completion_tokens":3}}';
  const answer = { "Content-Type": "application/json" };
  const model = await startModel(({ method }, res) => {
    if (method === "GET") return void res.end('{"data":[]}');
    res.writeHead(200, answer).end(usage);
  });
  const cloud = await startModel((_seen, res) => res.writeHead(200, answer).end(usage));
  const relay = await startTestRelay(model.url, {
    model: { kind: "openai", url: model.url, embeddingModel: "e" },
    fallback: { url: cloud.url, companies: ["*"] },
    limits,
  });
  const job = await post(
    relay,
    "/v1/chat/completions",
    { model: "m" },
    { headers: { Prefer: "respond-async, wait=20" } },
  );
  expect(job.status).toBe(200);
  await model.close();
  expect((await post(relay, "/v1/chat/completions", { model: "m" })).headers.get("x-slm-served-by")).toBe("fallback");
  const metrics = await metricsOf(relay);
  for (const source of ["job", "fallback"]) {
    expect(metrics).toContain(`slm_tokens_total{lane="chat",caller="backend",source="${source}",kind="prompt"} 7`);
    expect(metrics).toContain(`slm_tokens_total{lane="chat",caller="backend",source="${source}",kind="output"} 3`);
  }
});
