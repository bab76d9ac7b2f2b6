/** Anthropic's API through the relay, with the official client and the emulated Ollama. */
import Anthropic from "@anthropic-ai/sdk";
import { expect, onTestFinished, test } from "vitest";
import { startModelServer } from "../../../../sandbox/model/server.ts";
import { asServer, post, type Seen, startModel, startTestRelay, type TestRelay, testConfig } from "../harness.ts";

const client = (relay: TestRelay, maxRetries = 0) =>
  new Anthropic({ apiKey: "unused", baseURL: relay.url, defaultHeaders: asServer, maxRetries });

async function startEmulated() {
  const model = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 2000, firstTokenMs: 1 });
  onTestFinished(() => model.close());
  return startTestRelay(model.url);
}

const ask = { model: "slm-ko", max_tokens: 1000, messages: [{ role: "user" as const, content: "계약서를 요약해 줘" }] };

const metricsOf = async (relay: TestRelay) => (await fetch(`${relay.admin}/metrics`)).text();

test("a message, streamed and not, with system, images and thinking", async () => {
  const relay = await startEmulated();
  const whole = await client(relay).messages.create({ ...ask, system: "한국어로 답한다" });
  expect(whole).toMatchObject({
    type: "message",
    content: [{ type: "text", text: "받은 말: 계약서를 요약해 줘" }],
    stop_reason: "end_turn",
  });
  expect(whole.usage.output_tokens).toBeGreaterThan(1);

  const stream = client(relay).messages.stream(ask);
  const parts: string[] = [];
  stream.on("text", (text) => parts.push(text));
  const streamed = await stream.finalMessage();
  expect(parts.length).toBeGreaterThan(2);
  expect(parts.join("")).toBe("받은 말: 계약서를 요약해 줘");
  expect(streamed.usage).toMatchObject({ output_tokens: whole.usage.output_tokens });

  const source = { type: "base64" as const, media_type: "image/png" as const, data: "AAAA" };
  const seen = await client(relay).messages.create({
    ...ask,
    thinking: { type: "enabled", budget_tokens: 1024 },
    messages: [
      {
        role: "user",
        content: [
          { type: "image", source },
          { type: "text", text: "뭐가 보여?" },
        ],
      },
    ],
  });
  expect(seen.content).toMatchObject([
    { type: "thinking", thinking: "음…" },
    { type: "text", text: "받은 말: [그림 3 B]뭐가 보여?" },
  ]);
});

test("a tool is called, streamed and not, and its result sent back", async () => {
  const relay = await startEmulated();
  const tools = [{ name: "weather", input_schema: { type: "object" as const, properties: {} } }];
  const asked = { ...ask, tools, tool_choice: { type: "tool" as const, name: "weather" } };
  const called = { type: "tool_use", name: "weather", input: { text: "받은 말: 계약서를 요약해 줘" } };
  const whole = await client(relay).messages.create(asked);
  expect([whole.stop_reason, whole.content]).toMatchObject(["tool_use", [called]]);
  const streamed = await client(relay).messages.stream(asked).finalMessage();
  expect([streamed.stop_reason, streamed.content]).toMatchObject(["tool_use", [called]]);
  const result = { type: "tool_result" as const, tool_use_id: "toolu_1", content: "맑음" };
  const last = await client(relay).messages.create({
    ...ask,
    tools,
    messages: [...ask.messages, { role: "assistant", content: whole.content }, { role: "user", content: [result] }],
  });
  expect(last.content).toMatchObject([{ type: "text", text: "받은 말: 맑음" }]);
});

test("the model server's errors and the relay's come in Anthropic's envelope", async () => {
  const relay = await startEmulated();
  await expect(client(relay).messages.create({ ...ask, model: "none" })).rejects.toMatchObject({
    status: 404,
    error: { type: "error", error: { type: "not_found_error", message: 'model "none" not found' } },
  });
  const strict = await startTestRelay("http://127.0.0.1:9", {
    model: { ...testConfig("http://127.0.0.1:9", "").model, allowed: ["slm-ko"] },
  });
  await expect(client(strict).messages.create({ ...ask, model: "other" })).rejects.toMatchObject({
    status: 403,
    error: { type: "error", error: { type: "permission_error", code: "model_not_allowed" } },
  });
  const bodies = [await post(relay, "/v1/messages", "{"), await post(relay, "/v1/messages/count_tokens", "[]")];
  for (const response of bodies) {
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { type: "error", error: { type: "invalid_request_error", code: "body_not_json" } },
    ]);
  }
  const down = await post(strict, "/v1/messages", { ...ask });
  expect([down.status, await down.json()]).toMatchObject([502, { type: "error", error: { type: "api_error" } }]);
});

test("usage: message_start and message_delta, cached tokens counted as the prompt's", async () => {
  const events = [
    {
      type: "message_start",
      message: {
        usage: { input_tokens: 25, cache_read_input_tokens: 100, cache_creation_input_tokens: 5, output_tokens: 1 },
      },
    },
    ...Array.from({ length: 300 }, (_, n) => ({ type: "content_block_delta", index: 0, delta: { text: `말 ${n}` } })),
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: 15 } },
  ];
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.end(events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join(""));
  });
  const relay = await startTestRelay(model.url);
  await (await post(relay, "/v1/messages", { ...ask, stream: true })).text();
  await expect
    .poll(() => metricsOf(relay))
    .toMatch(/slm_tokens_total\{lane="chat",caller="backend",kind="prompt"\} 130\n/);
  expect(await metricsOf(relay)).toMatch(/slm_tokens_total\{lane="chat",caller="backend",kind="output"\} 15\n/);
});

test("the version and the beta header reach the model server, a key does not", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "application/json", "request-id": "req_1" });
    res.end('{"type":"message","content":[]}');
  });
  const relay = await startTestRelay(model.url);
  await client(relay).beta.messages.create({ ...ask, betas: ["files-api-2025-04-14"] });
  const [{ url, headers }] = model.seen as [Seen];
  expect(url).toBe("/v1/messages");
  expect(headers["anthropic-version"]).toMatch(/^\d{4}-\d{2}-\d{2}$/);
  expect(headers["anthropic-beta"]).toBe("files-api-2025-04-14");
  expect([headers["x-api-key"], headers.authorization]).toEqual([undefined, undefined]);
});

const keepAlive = { sseMs: 40, jsonMs: 80, everyMs: 40, stallMs: 10_000, pauseMs: 30_000 };

test("the client skips the pings before a slow stream, and reads an error within it", async () => {
  const start = {
    type: "message_start",
    message: { ...{ id: "m", type: "message", role: "assistant" }, content: [], usage: {} },
  };
  let broken = false;
  const model = await startModel((_seen, res) => {
    setTimeout(() => {
      if (broken) return res.destroy();
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      res.write(`event: message_start\ndata: ${JSON.stringify(start)}\n\n`);
      return res.end(`event: message_stop\ndata: {"type":"message_stop"}\n\n`);
    }, 300);
  });
  const relay = await startTestRelay(model.url, {}, { keepAlive });
  const text = await (await post(relay, "/v1/messages", { ...ask, stream: true })).text();
  expect(text).toMatch(/^(event: ping\ndata: \{"type": "ping"\}\n\n)+event: message_start\n/);
  expect(await client(relay).messages.stream(ask).finalMessage()).toMatchObject({ id: "m" });
  broken = true;
  await expect(client(relay).messages.stream(ask).finalMessage()).rejects.toThrow(/broke off/);
});

test("a whole message in place of a committed stream becomes events that the client reads", async () => {
  const message = {
    id: "m",
    type: "message",
    role: "assistant",
    content: [
      { type: "thinking", thinking: "음", signature: "" },
      { type: "text", text: "안녕" },
      { type: "tool_use", id: "t", name: "weather", input: { city: "서울" } },
    ],
    stop_reason: "tool_use",
    usage: { input_tokens: 3, output_tokens: 4 },
  };
  const model = await startModel((_seen, res) => {
    setTimeout(() => res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(message)), 300);
  });
  const relay = await startTestRelay(model.url, {}, { keepAlive });
  const { content, stop_reason, usage } = await client(relay).messages.stream(ask).finalMessage();
  expect({ content, stop_reason, usage }).toMatchObject({
    content: message.content,
    stop_reason: "tool_use",
    usage: message.usage,
  });
});

test("a job and an idempotency key work as on other paths", async () => {
  const relay = await startEmulated();
  const headers = { Prefer: "respond-async, wait=20" };
  const job = await post(relay, "/v1/messages", ask, { headers });
  expect([job.status, await job.json()]).toMatchObject([200, { type: "message", stop_reason: "end_turn" }]);
  const key = { "Idempotency-Key": "k1" };
  const first = await post(relay, "/v1/messages", ask, { headers: key });
  const text = await first.text();
  await expect
    .poll(async () => (await post(relay, "/v1/messages", ask, { headers: key })).headers.get("idempotency-replayed"))
    .toBe("true");
  expect(await (await post(relay, "/v1/messages", ask, { headers: key })).text()).toBe(text);
  const other = await post(relay, "/v1/messages", { ...ask, max_tokens: 1 }, { headers: key });
  expect([other.status, await other.json()]).toMatchObject([
    422,
    { type: "error", error: { code: "idempotency_mismatch" } },
  ]);
});

test("tokens are counted where the model server can, without a slot", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "application/json" }).end('{"input_tokens": 12}');
  });
  const limits = { ...testConfig("", "").limits, chat: 1, embeddings: 1, waiting: 0 };
  const relay = await startTestRelay(model.url, {
    model: { kind: "openai", url: model.url, embeddingModel: "e" },
    limits,
  });
  const { max_tokens: _unused, ...counted } = ask;
  expect(await client(relay).messages.countTokens(counted)).toEqual({ input_tokens: 12 });
  expect(await metricsOf(relay)).not.toMatch(/slm_tokens_total\{lane="chat"/);
});

test.each([
  ["Ollama's plain 404", 404, "text/plain", "404 page not found"],
  [
    "llama-server's 404",
    404,
    "application/json",
    '{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
  ],
  [
    "LM Studio's 200",
    200,
    "application/json",
    '{"error":"Unexpected endpoint or method. (POST /v1/messages/count_tokens)"}',
  ],
  ["an empty 405", 405, "text/html", ""],
])("%s becomes a 404 that says which servers have the path", async (_name, status, type, body) => {
  const model = await startModel((_seen, res) => {
    res.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) }).end(body);
  });
  const relay = await startTestRelay(model.url, { model: { kind: "openai", url: model.url, embeddingModel: "e" } });
  for (const [path, servers] of [
    ["/v1/messages/count_tokens", /llama-server/],
    ["/v1/messages", /Ollama 0\.14 or later, LM Studio 0\.4 or later, llama-server/],
    ["/v1/rerank", /llama-server, started with --reranking/],
  ] as const) {
    const response = await post(relay, path, ask);
    const text = await response.text();
    expect([path, response.status, text]).toEqual([path, 404, expect.stringMatching(servers)]);
    expect(text).toContain('"code":"not_on_model_server"');
  }
  await expect.poll(() => relay.lines.filter(({ code }) => code === "not_on_model_server").length).toBe(3);
});

test("the emulated Ollama has no count_tokens", async () => {
  const relay = await startEmulated();
  await expect(client(relay).messages.countTokens({ model: "slm-ko", messages: ask.messages })).rejects.toMatchObject({
    status: 404,
    error: { error: { type: "not_found_error", code: "not_on_model_server" } },
  });
});
