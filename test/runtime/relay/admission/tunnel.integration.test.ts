/** Cloudflare's read time-out, scaled down to 1.5 s, through the real cloudflared and with the clients people use. */
import { readFile } from "node:fs/promises";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { ProxyAgent, fetch as proxiedFetch } from "undici";
import { expect, onTestFinished, test } from "vitest";
import { KEEP_ALIVE_TIMES, type KeepAliveTimes } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { application } from "../../../sandbox/edge/account.ts";
import { Harness } from "../../../sandbox/edge/harness.ts";
import { type Seen, startModel, startTestRelay, testConfig } from "../harness.ts";

const HOST = "slm.example.com";
const CLIENT = { "CF-Access-Client-Id": "c1.access", "CF-Access-Client-Secret": "right" };
const READ_TIMEOUT_MS = 1500;
/** Twice as long as the edge waits for a byte. */
const SILENCE_MS = 3500;
const scaled: KeepAliveTimes = { sseMs: 300, jsonMs: 1000, everyMs: 300, stallMs: 10_000, pauseMs: 30_000 };
const messages = [{ role: "user" as const, content: "안녕" }];

/** Answers of both dialects, after a long silence; a stream falls silent again in its middle. */
function answerLate({ url, body }: Seen): { type: string; pieces: string[] } {
  const { stream } = JSON.parse(body.toString() || "{}") as { stream?: boolean };
  const chunk = (delta: object) =>
    `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", choices: [{ index: 0, delta }] })}\n\n`;
  const line = (content: string, done: boolean) =>
    `${JSON.stringify({ model: "m", message: { role: "assistant", content }, done })}\n`;
  if (url === "/api/chat") return { type: "application/x-ndjson", pieces: [line("안", false), line("녕", true)] };
  if (stream === true) {
    return {
      type: "text/event-stream",
      pieces: [chunk({ content: "안" }), `${chunk({ content: "녕" })}data: [DONE]\n\n`],
    };
  }
  const whole = {
    id: "1",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "안녕" } }],
  };
  return { type: "application/json", pieces: [JSON.stringify(whole)] };
}

async function start(keepAlive: KeepAliveTimes, limits = {}) {
  const harness = new Harness();
  onTestFinished(() => harness.stop());
  const model = await startModel((seen, res) => {
    if (seen.method === "GET") return void res.end('{"models":[]}');
    const { type, pieces } = answerLate(seen);
    const next = () => {
      if (res.destroyed) return;
      if (!res.headersSent) res.writeHead(200, { "Content-Type": type });
      const piece = pieces.shift()!;
      if (pieces.length === 0) return void res.end(piece);
      res.write(piece);
      setTimeout(next, SILENCE_MS);
    };
    setTimeout(next, SILENCE_MS);
  });
  const include = [{ service_token: { token_id: "token-1" } }];
  const servers = application({
    name: "servers",
    destinations: [HOST],
    policies: [{ id: "p1", name: "servers", decision: "non_identity", include, exclude: [], require: [] }],
  });
  const { account } = harness;
  account.applications.push(servers);
  account.tokens.set("c1.access", { secret: "right", tokenId: "token-1" });
  const edge = await harness.edge({ readTimeoutMs: READ_TIMEOUT_MS });
  const agent = new ProxyAgent({ uri: edge.proxyUrl, requestTls: { ca: await readFile(edge.caFile, "utf8") } });
  const published = await proxiedFetch(`https://${account.teamDomain()}/cdn-cgi/access/certs`, { dispatcher: agent });
  const keys = createLocalJWKSet((await published.json()) as JSONWebKeySet);
  await agent.close();
  const relay = await startTestRelay(
    model.url,
    {
      access: { teamDomain: account.teamDomain(), audiences: { servers: servers.aud, people: "people" } },
      callers: [{ name: "backend", clientId: "c1.access", companies: ["*"], weight: 1, enabled: true }],
      limits: { ...testConfig("", "").limits, ...limits },
    },
    { keepAlive, keys },
  );
  const tunnel = account.declareTunnel(HOST, [{ hostname: HOST, service: relay.url }, { service: "http_status:404" }]);
  harness.cloudflared(edge, account.connectorToken(tunnel));
  await edge.routed(tunnel);
  return {
    model,
    openai: new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: "x", defaultHeaders: CLIENT, maxRetries: 0 }),
    ollama: new Ollama({ host: edge.url, headers: CLIENT }),
  };
}

test("without the relay's heartbeats the edge times out: 524", async () => {
  const { openai } = await start(KEEP_ALIVE_TIMES);
  await expect(openai.chat.completions.create({ model: "m", messages })).rejects.toMatchObject({ status: 524 });
});

test("OpenAI's client gets complete late answers, streamed or not, over silences longer than the edge's time-out", async () => {
  const { openai } = await start(scaled);
  const streamed = async () => {
    let text = "";
    const stream = await openai.chat.completions.create({ model: "m", messages, stream: true });
    for await (const event of stream) text += event.choices[0]?.delta.content ?? "";
    return text;
  };
  const whole = openai.chat.completions.create({ model: "m", messages });
  expect(await Promise.all([streamed(), whole.then(({ choices }) => choices[0]?.message.content)])).toEqual([
    "안녕",
    "안녕",
  ]);
});

test("Ollama's client gets complete late answers", async () => {
  const { ollama } = await start(scaled);
  let text = "";
  for await (const part of await ollama.chat({ model: "m", messages, stream: true })) text += part.message.content;
  expect(text).toBe("안녕");
});

test("a waiting request gets heartbeats, and its time-out as an event of the stream", async () => {
  const { model, openai, ollama } = await start(scaled, { chat: 1, waitSeconds: 3 });
  const leaving = new AbortController();
  const first = openai.chat.completions.create({ model: "m", messages, stream: true }, { signal: leaving.signal });
  await expect.poll(() => model.seen.filter(({ method }) => method === "POST").length).toBe(1);
  const sse = (async () => {
    for await (const _ of await openai.chat.completions.create({ model: "m", messages, stream: true })) break;
  })();
  const ndjson = (async () => {
    for await (const _ of await ollama.chat({ model: "m", messages, stream: true })) break;
  })();
  await Promise.all([
    expect(sse).rejects.toMatchObject({ code: "queue_timeout" }),
    expect(ndjson).rejects.toThrow("No slot became free within 3 s."),
  ]);
  leaving.abort();
  await first.catch(() => {});
});
