/** Cloudflare's read time-out, scaled down to 1.5 s, through the real cloudflared and with the clients people use. */
import { Ollama } from "ollama";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { KEEP_ALIVE_TIMES, type KeepAliveTimes } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { type Seen, startModel, testConfig } from "../harness.ts";
import { TOKEN_HEADERS, throughTunnel } from "../through-tunnel.ts";

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
  const { edge } = await throughTunnel(
    model.url,
    { limits: { ...testConfig("", "").limits, ...limits } },
    { relay: { keepAlive }, edge: { readTimeoutMs: READ_TIMEOUT_MS } },
  );
  return {
    model,
    openai: new OpenAI({ baseURL: `${edge.url}/v1`, apiKey: "x", defaultHeaders: TOKEN_HEADERS, maxRetries: 0 }),
    ollama: new Ollama({ host: edge.url, headers: TOKEN_HEADERS }),
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
