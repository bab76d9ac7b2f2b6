/** A dialect that the relay does not have: it takes one object, and every part of the relay follows it. */
import { expect, test } from "vitest";
import type { Dialect } from "../../../../runtime/relay/dialects/dialect.ts";
import { DIALECTS } from "../../../../runtime/relay/dialects/dialects.ts";
import { eventStream, oneJson } from "../../../../runtime/relay/dialects/framings.ts";
import type { ErrorObject } from "../../../../runtime/relay/errors.ts";
import { asServer, post, type Seen, startModel, startTestRelay, testConfig, token } from "../harness.ts";

const envelope = ({ type, message }: ErrorObject) => JSON.stringify({ type: "error", error: { type, message } });

/** As Anthropic's API is: events with names, `ping` as the heartbeat, usage in the first and in the last event. */
const MESSAGES: Dialect = {
  name: "messages",
  title: "Messages",
  servedBy: { ollama: true, openai: true },
  routes: [
    {
      kind: "model",
      name: "/m1/messages",
      method: "POST",
      queue: "chat",
      listsModels: false,
      streams: {
        when: "asked",
        framing: eventStream({
          heartbeat: 'event: ping\ndata: {"type":"ping"}\n\n',
          error: (error) => `event: error\ndata: ${envelope(error)}\n\n`,
          wrap: (json) => `event: message\ndata: ${JSON.stringify(json)}\n\n`,
        }),
      },
    },
    { kind: "model", name: "/m1/models", method: "GET", listsModels: true },
  ],
  json: oneJson(envelope),
  framings: [oneJson(envelope)],
  errorBody: envelope,
  headers: { toModel: ["messages-version"], fromModel: ["messages-request"], fromModelPrefixes: ["messages-limit-"] },
  usage: {
    prompt: ["input_tokens"],
    output: ["output_tokens"],
    cached: ["cache_read_input_tokens"],
    at: "start_and_end",
  },
  answerLimits: ["max_tokens"],
  bodyChecks: [],
};

const dialects = [...DIALECTS, MESSAGES];
const keepAlive = { sseMs: 40, jsonMs: 80, everyMs: 40, stallMs: 10_000, pauseMs: 30_000 };

const START = `event: message_start\ndata: {"usage":{"input_tokens":25,"output_tokens":1}}\n\n`;
const DELTAS = Array.from({ length: 500 }, (_, n) => `event: delta\ndata: {"text":"word ${n}"}\n\n`).join("");
const END = `event: message_delta\ndata: {"usage":{"output_tokens":15}}\n\n`;

async function start(...[answer, changes]: [Parameters<typeof startModel>[0], Parameters<typeof startTestRelay>[1]?]) {
  const model = await startModel(answer);
  return { model, relay: await startTestRelay(model.url, changes, { dialects, keepAlive }) };
}

test("a streamed call goes through the relay: route, queue, headers both ways, usage", async () => {
  const { model, relay } = await start((_seen, res) => {
    res.writeHead(200, {
      "Content-Type": "text/event-stream",
      "messages-request": "r1",
      "messages-limit-left": "9",
      server: "x",
    });
    res.end(START + DELTAS + END);
  });
  const headers = { "messages-version": "1", "openai-beta": "x" };
  const response = await post(relay, "/m1/messages?beta=true", { model: "m", stream: true }, { headers });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  expect([response.headers.get("messages-request"), response.headers.get("messages-limit-left")]).toEqual(["r1", "9"]);
  expect(response.headers.get("server")).toBeNull();
  expect(await response.text()).toBe(START + DELTAS + END);
  const [seen] = model.seen as [Seen];
  expect([seen.url, seen.headers["messages-version"], seen.headers["openai-beta"]]).toEqual([
    "/m1/messages?beta=true",
    "1",
    undefined,
  ]);
  await expect
    .poll(async () => (await fetch(`${relay.admin}/metrics`)).text())
    .toContain('slm_requests_total{route="/m1/messages",status="200",caller="backend"} 1');
  const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
  expect(metrics).toContain('slm_tokens_total{lane="chat",caller="backend",kind="prompt"} 25');
  expect(metrics).toContain('slm_tokens_total{lane="chat",caller="backend",kind="output"} 15');
});

test("a silent model server: its heartbeats, and its error within the stream", async () => {
  const { relay } = await start((_seen, res) => void setTimeout(() => res.destroy(), 300));
  const response = await post(relay, "/m1/messages", { model: "m", stream: true });
  const text = await response.text();
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  expect(text).toMatch(/^(event: ping\ndata: \{"type":"ping"\}\n\n)+event: error\n/);
  const error = JSON.parse(/event: error\ndata: (.*)\n\n$/.exec(text)![1]!) as unknown;
  expect(error).toMatchObject({ type: "error", error: { type: "server_error" } });
});

test("a whole answer in place of the stream, after a heartbeat, becomes an event", async () => {
  const { relay } = await start((_seen, res) => {
    setTimeout(() => res.writeHead(200, { "Content-Type": "application/json" }).end('{"a":1}'), 300);
  });
  const text = await (await post(relay, "/m1/messages", { model: "m", stream: true })).text();
  expect(text.endsWith('event: message\ndata: {"a":1}\n\n')).toBe(true);
});

test("every error of the relay on its paths has its envelope, whichever stage refuses", async () => {
  const { model, relay } = await start(undefined, { limits: { ...testConfig("", "").limits, bodyMiB: 1 } });
  const expired = { "Cf-Access-Jwt-Assertion": await token({ exp: 1 }) };
  const refused = [
    await fetch(`${relay.url}/m1/messages`, { method: "POST", body: "{}" }),
    await post(relay, "/m1/messages", {}, { headers: expired }),
    await fetch(`${relay.url}/m1/messages`, { headers: asServer }),
    await post(relay, "/m1/messages", "no json"),
    await post(relay, "/m1/messages", "x".repeat(1024 * 1024 + 1)),
  ];
  expect(refused.map(({ status }) => status)).toEqual([403, 403, 405, 400, 413]);
  for (const response of refused) {
    expect(await response.json()).toEqual({
      type: "error",
      error: { type: expect.any(String) as string, message: expect.any(String) as string },
    });
  }
  const ofOpenAi = await post(relay, "/v1/chat/completions", "no json");
  expect(await ofOpenAi.json()).toMatchObject({ error: { code: "body_not_json" } });
  await model.close();
  const down = await post(relay, "/m1/messages", { model: "m" });
  expect([down.status, await down.json()]).toMatchObject([502, { type: "error" }]);
});

test("it can be a job: the answer is kept with its headers and its usage", async () => {
  const { relay } = await start((_seen, res) => {
    res.writeHead(200, { "Content-Type": "application/json", "messages-request": "r2" });
    res.end('{"usage":{"input_tokens":3,"output_tokens":4}}');
  });
  const headers = { Prefer: "respond-async, wait=20" };
  const response = await post(relay, "/m1/messages", { model: "m" }, { headers });
  expect([response.status, response.headers.get("messages-request")]).toEqual([200, "r2"]);
  expect(await response.json()).toEqual({ usage: { input_tokens: 3, output_tokens: 4 } });
  const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
  const jobTokens = metrics.split("\n").filter((line) => /^slm_tokens_total.*source="job"/.test(line));
  expect(jobTokens.find((line) => line.includes('kind="output"'))).toMatch(/ 4$/);
});

test("a relay without it does not serve its paths", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  expect((await post(relay, "/m1/messages", { model: "m" })).status).toBe(404);
});

test("each path belongs to one dialect", () => {
  const names = DIALECTS.flatMap(({ routes }) => routes.map(({ name }) => name));
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

test("keep_alive is checked without being named, and models that callers may not use are removed from its list", async () => {
  const { model, relay } = await start((_seen, res) => {
    res.writeHead(200, { "Content-Type": "application/json" });
    res.end('{"data":[{"id":"m"},{"id":"glm-4.6:cloud"}]}');
  });
  const refused = await post(relay, "/m1/messages", { model: "m", keep_alive: 0 });
  expect([refused.status, await refused.json()]).toMatchObject([
    403,
    { error: { message: expect.stringMatching("keep_alive 0 would unload") as string } },
  ]);
  expect(model.seen).toHaveLength(0);
  const list = await fetch(`${relay.url}/m1/models`, { headers: asServer });
  expect(await list.json()).toEqual({ data: [{ id: "m" }] });
});
