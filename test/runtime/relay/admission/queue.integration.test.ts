import { once } from "node:events";
import { request } from "node:http";
import { expect, test } from "vitest";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  startModel,
  startTestRelay,
  type TestRelay,
  testConfig,
  token,
} from "../harness.ts";

const limits = { ...testConfig("", "").limits, chat: 1, embeddings: 1 };
const OTHER_ID = "fedcba9876543210fedcba9876543210.access";
const callers = [
  { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
  { name: "other", clientId: OTHER_ID, companies: ["*"], weight: 1, enabled: true },
];

/** A model server that answers each request when told to. */
async function startPatientModel() {
  const running: { body: string; answer: (text?: string) => void; gone: boolean }[] = [];
  const model = await startModel(({ body, method }, res) => {
    if (method === "GET") return void res.end('{"models":[]}');
    const one = {
      body: body.toString(),
      gone: false,
      answer: (text = "{}") => void res.writeHead(200, { "Content-Type": "application/json" }).end(text),
    };
    res.once("close", () => {
      one.gone = !res.writableFinished;
    });
    running.push(one);
  });
  return { ...model, running };
}

interface Details {
  lanes: Record<string, { running: number; waiting: number; waitingBytes: number }>;
}
async function lane(relay: TestRelay, name = "chat") {
  return ((await (await fetch(`${relay.admin}/details`)).json()) as Details).lanes[name]!;
}

test("n requests run at once; the rest waits in the relay, not in the model server, and metadata never waits", async () => {
  const model = await startPatientModel();
  const relay = await startTestRelay(model.url, { limits: { ...limits, chat: 2 } });
  const answers = [1, 2, 3].map(async (n) => (await post(relay, "/v1/chat/completions", { n })).text());
  await expect.poll(() => lane(relay)).toMatchObject({ running: 2, waiting: 1 });
  await expect.poll(() => model.running.length).toBe(2);
  expect((await fetch(`${relay.url}/v1/models`, { headers: asServer })).status).toBe(200);
  model.running[0]!.answer();
  await expect.poll(() => model.running.length).toBe(3);
  for (const { answer } of model.running.slice(1)) answer();
  expect(await Promise.all(answers)).toEqual(["{}", "{}", "{}"]);
});

test("a request that does not fit is refused within milliseconds, with the headers of OpenAI's clients", async () => {
  const model = await startPatientModel();
  const relay = await startTestRelay(model.url, { limits: { ...limits, waiting: 0 } });
  const first = post(relay, "/v1/chat/completions", {});
  await expect.poll(() => model.running.length).toBe(1);
  const times: number[] = [];
  for (let n = 0; n < 10; n += 1) {
    const from = performance.now();
    const refused = await post(relay, "/v1/chat/completions", {});
    times.push(performance.now() - from);
    expect([refused.status, await codeOf(refused)]).toEqual([429, "queue_full"]);
    expect(Object.fromEntries(refused.headers)).toMatchObject({
      "retry-after": "1",
      "retry-after-ms": "250",
      "x-should-retry": "true",
      ratelimit: '"chat";r=0;t=1',
      "ratelimit-policy": '"chat";q=1;qu="concurrent-requests"',
    });
  }
  expect(times.sort((a, b) => a - b)[5]).toBeLessThan(50);
  model.running[0]!.answer();
  await first;
});

test("a request that has waited for waitSeconds gets status 429", async () => {
  const model = await startPatientModel();
  const relay = await startTestRelay(model.url, { limits: { ...limits, waitSeconds: 1 } });
  const first = post(relay, "/api/chat", {});
  await expect.poll(() => model.running.length).toBe(1);
  const late = await post(relay, "/api/chat", {});
  expect([late.status, await codeOf(late)]).toEqual([429, "queue_timeout"]);
  model.running[0]!.answer();
  await first;
});

test("1,000 waiting requests of one caller delay a request of another by one round", async () => {
  const model = await startPatientModel();
  const relay = await startTestRelay(model.url, { callers, limits: { ...limits, waiting: 2000 } });
  const other = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };
  const flood = Array.from({ length: 1001 }, () => post(relay, "/v1/completions", { who: "backend" }).catch(() => {}));
  await expect.poll(() => lane(relay), { timeout: 20_000 }).toMatchObject({ running: 1, waiting: 1000 });
  const single = post(relay, "/v1/completions", { who: "other" }, { headers: other });
  await expect.poll(() => lane(relay)).toMatchObject({ waiting: 1001 });
  for (let n = 0; n < 3; n += 1) {
    model.running[n]!.answer();
    await expect.poll(() => model.running.length).toBe(n + 2);
  }
  const place = model.running.findIndex(({ body }) => body.includes("other"));
  expect(place).toBeGreaterThan(0);
  expect(place).toBeLessThanOrEqual(2);
  expect((await single).status).toBe(200);
  await relay.close();
  await Promise.all(flood);
}, 60_000);

test("a client that disconnects while waiting leaves the queue; while running, its slot is free within 1 s", async () => {
  const model = await startPatientModel();
  const relay = await startTestRelay(model.url, { limits });
  const [running, waiting, third] = [new AbortController(), new AbortController(), new AbortController()];
  const ask = (signal: AbortSignal) => post(relay, "/api/generate", {}, { signal }).catch(() => {});
  void ask(running.signal);
  await expect.poll(() => model.running.length).toBe(1);
  void ask(waiting.signal);
  await expect.poll(() => lane(relay)).toMatchObject({ waiting: 1 });
  waiting.abort();
  await expect.poll(() => lane(relay), { timeout: 1000 }).toMatchObject({ waiting: 0, waitingBytes: 0 });
  void ask(third.signal);
  await expect.poll(() => lane(relay)).toMatchObject({ waiting: 1 });
  const from = performance.now();
  running.abort();
  await expect.poll(() => model.running.length, { timeout: 1000, interval: 5 }).toBe(2);
  expect(performance.now() - from).toBeLessThan(1000);
  expect(model.running[0]!.gone).toBe(true);
  third.abort();
  await expect.poll(() => lane(relay)).toMatchObject({ running: 0, waiting: 0 });
});

test("a client that reads nothing is cut, and its slot is free", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    const more = () => {
      while (!res.destroyed && res.write(`data: ${"x".repeat(65_536)}\n\n`)) {
        // until the sockets are full
      }
    };
    res.on("drain", more);
    more();
  });
  const keepAlive = { sseMs: 50, jsonMs: 50, everyMs: 50, stallMs: 300, pauseMs: 30_000 };
  const relay = await startTestRelay(model.url, { limits }, { keepAlive });
  const req = request({ port: relay.port, host: "127.0.0.1", method: "POST", path: "/api/chat", headers: asServer });
  req.on("error", () => {});
  req.end("{}");
  const [res] = (await once(req, "response")) as [NodeJS.ReadableStream];
  res.on("error", () => {});
  await expect.poll(() => lane(relay), { timeout: 10_000 }).toMatchObject({ running: 0 });
  req.destroy();
});

test("tokens, waits and bytes are counted by queue and caller", async () => {
  const answers: Record<string, [string, string]> = {
    "/v1/chat/completions": [
      "text/event-stream",
      'data: {"choices":[{"delta":{"content":"\\"completion_tokens\\": 99"}}]}\n\ndata: {"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\ndata: [DONE]\n\n',
    ],
    "/api/chat": [
      "application/x-ndjson",
      '{"message":{"content":"a"}}\n{"done":true,"prompt_eval_count":20,"eval_count":5}\n',
    ],
    "/api/embed": ["application/json", '{"embeddings":[[1]],"prompt_eval_count":11}'],
  };
  const model = await startModel(({ url }, res) => {
    const [type, text] = answers[url] ?? ["application/json", '{"models":[]}'];
    res.writeHead(200, { "Content-Type": type }).end(text);
  });
  const relay = await startTestRelay(model.url, { limits });
  for (const path of Object.keys(answers)) await (await post(relay, path, { stream: true })).text();
  const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
  for (const line of [
    'slm_tokens_total{lane="chat",caller="backend",kind="prompt"} 27',
    'slm_tokens_total{lane="chat",caller="backend",kind="output"} 8',
    'slm_tokens_total{lane="embeddings",caller="backend",kind="prompt"} 11',
    'slm_queue_wait_seconds_count{lane="chat",caller="backend"} 2',
    'slm_time_to_first_token_seconds_count{lane="embeddings",caller="backend"} 1',
    'slm_body_bytes_total{lane="embeddings",caller="backend",direction="in"} 15',
    'slm_lane_slots{lane="chat"} 1',
    'slm_lane_running{lane="chat"} 0',
    'slm_breaker_state{state="closed"} 1',
  ]) {
    expect(metrics).toContain(line);
  }
});

test("an error of the relay is counted by its code and caller", async () => {
  const model = await startModel((_seen, _res, req) => req.socket.destroy());
  const relay = await startTestRelay(model.url);
  await post(relay, "/api/chat", {});
  const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
  expect(metrics).toContain('slm_errors_total{code="model_broke_off",caller="backend"} 1');
});
