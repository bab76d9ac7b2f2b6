import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import OpenAI from "openai";
import { expect, onTestFinished, test } from "vitest";
import { framingAsked } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { modelCall } from "../dialects/model-call.ts";
import { asServer, portOf, post, startModel, startTestRelay, testConfig } from "../harness.ts";

const keepAlive = { sseMs: 40, jsonMs: 80, everyMs: 40, stallMs: 10_000, pauseMs: 30_000 };

/** A model server that stays silent until released. */
async function startSilent(modelTimeout?: number) {
  const asked = Promise.withResolvers<ServerResponse>();
  const model = await startModel((_seen, res) => asked.resolve(res));
  const timeouts = modelTimeout === undefined ? undefined : { firstByte: modelTimeout };
  const relay = await startTestRelay(
    model.url,
    { model: { kind: "ollama", url: model.url, embeddingModel: "e", timeouts } },
    { keepAlive },
  );
  return { relay, asked: asked.promise };
}

/** Reads until `enough`, then returns the reader and the text so far. */
async function readUntil(response: Response, enough: (text: string) => boolean) {
  const reader = response.body!.getReader();
  let text = "";
  while (!enough(text)) {
    const { done, value } = await reader.read();
    if (done) break;
    text += Buffer.from(value).toString();
  }
  return { reader, text };
}

async function rest(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    text += Buffer.from(piece.value).toString();
  return text;
}

test.each([
  ["SSE", "/v1/chat/completions", { stream: true }, "text/event-stream", "data: 1\n\n", /^(: waiting\n\n){2,}$/],
  ["NDJSON", "/api/chat", {}, "application/x-ndjson", '{"a":1}\n', /^ {2,}$/],
  ["JSON", "/v1/chat/completions", {}, "application/json; charset=utf-8", '{"a":1}', /^ {2,}$/],
])("%s: heartbeats precede a late answer, which follows complete", async (_n, path, body, type, answer, pads) => {
  const { relay, asked } = await startSilent();
  const response = await post(relay, path, body);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe(type);
  const { reader, text } = await readUntil(response, (sofar) => pads.test(sofar));
  (await asked).writeHead(200, { "Content-Type": type, "Content-Length": answer.length }).end(answer);
  const all = text + (await rest(reader));
  expect(all.endsWith(answer)).toBe(true);
  expect(all.slice(0, -answer.length)).toMatch(pads);
});

test("an answer in time is unchanged: status, headers and bytes", async () => {
  const { relay, asked } = await startSilent();
  const waiting = post(relay, "/v1/chat/completions", {});
  (await asked).writeHead(422, { "Content-Type": "application/json", "Content-Length": 2 }).end("{}");
  const response = await waiting;
  expect([response.status, response.headers.get("content-length"), await response.text()]).toEqual([422, "2", "{}"]);
});

test("within a stream comments come only between events", async () => {
  const { relay, asked } = await startSilent();
  const waiting = post(relay, "/v1/chat/completions", { stream: true });
  const res = await asked;
  res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
  const { reader, text } = await readUntil(await waiting, (sofar) => sofar.includes(": waiting\n\n"));
  expect(text).toMatch(/^data: 1\n\n(: waiting\n\n)+$/);
  res.write("data: {");
  const { value } = await reader.read();
  let after = Buffer.from(value!).toString();
  while (!after.endsWith("data: {")) after += Buffer.from((await reader.read()).value!).toString();
  await new Promise((resolve) => setTimeout(resolve, 3 * keepAlive.everyMs)); // nothing may come: there is no event to wait for
  res.end("}\n\n");
  expect(await rest(reader)).toBe("}\n\n");
});

test.each([
  ["SSE", "/v1/chat/completions", { stream: true }, /\ndata: (\{"error":\{.*"code":"model_broke_off".*\}\})\n\n$/],
  [
    "SSE of the Responses API",
    "/v1/responses",
    { stream: true },
    /\nevent: error\ndata: (\{"type":"error","code":"model_broke_off".*\})\n\n$/,
  ],
  ["NDJSON", "/api/generate", {}, /^ +(\{"error":"The model server.*","code":"model_broke_off"\})\n$/],
  ["JSON", "/v1/embeddings", {}, /^ +(\{"error":\{"message":"The model.*"code":"model_broke_off".*\}\})$/],
])("%s: a failure after the status has gone out is told within the answer", async (_name, path, body, pattern) => {
  const { relay, asked } = await startSilent();
  const response = await post(relay, path, body);
  (await asked).socket!.destroy();
  const text = await response.text();
  expect(response.status).toBe(200);
  expect(JSON.parse(pattern.exec(text)![1]!)).toBeTypeOf("object");
  await expect.poll(() => relay.lines.find(({ msg }) => msg === "request")).toMatchObject({ code: "model_broke_off" });
});

test.each([
  ["SSE", "/v1/chat/completions", { stream: true }, /data: \{"error":\{"message":"model not found",.*\}\}\n\n$/],
  ["NDJSON", "/api/chat", {}, /^ +\{"error":"model not found","code":"status_404"\}\n$/],
  ["JSON", "/api/chat", { stream: false }, /^ +\{\n"error":"model not found"\}$/],
])("%s: so is an error of the model server's own", async (_name, path, body, pattern) => {
  const { relay, asked } = await startSilent();
  const response = await post(relay, path, body);
  (await asked).writeHead(404, { "Content-Type": "application/json" }).end('{\n"error":"model not found"}');
  expect(await response.text()).toMatch(pattern);
});

test("an answer cut between two events ends with an error event and a cut connection", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      const event = "data: 1\n\n";
      const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
      socket.write(`${head}${event.length.toString(16)}\r\n${event}\r\n`, () => socket.destroy());
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const relay = await startTestRelay(`http://127.0.0.1:${portOf(server)}`, {}, { keepAlive });
  const response = await post(relay, "/v1/chat/completions", { stream: true });
  const { reader, text } = await readUntil(response, (sofar) => sofar.includes("model_broke_off"));
  expect(text).toContain('data: 1\n\ndata: {"error":');
  await expect(rest(reader)).rejects.toThrow("terminated");
});

test("OpenAI's client raises an error within a stream", async () => {
  const model = await startModel(() => {});
  const limits = { ...testConfig("", "").limits, chat: 1, waitSeconds: 1 };
  const relay = await startTestRelay(model.url, { limits }, { keepAlive });
  const client = new OpenAI({ baseURL: `${relay.url}/v1`, apiKey: "x", defaultHeaders: asServer, maxRetries: 0 });
  const abort = new AbortController();
  const messages = [{ role: "user" as const, content: "hi" }];
  const first = client.chat.completions.create({ model: "m", messages }, { signal: abort.signal }).catch(() => {});
  await expect.poll(() => model.seen.length).toBe(1);
  const stream = await client.chat.completions.create({ model: "m", messages, stream: true });
  const reading = (async () => {
    for await (const _ of stream) expect.unreachable();
  })();
  await expect(reading).rejects.toMatchObject({ code: "queue_timeout", type: "rate_limit_error" });
  abort.abort();
  await first;
});

test.each([
  ["/api/chat", undefined, "application/x-ndjson"],
  ["/api/generate", true, "application/x-ndjson"],
  ["/api/chat", false, "application/json"],
  ["/v1/chat/completions", undefined, "application/json"],
  ["/v1/responses", true, "text/event-stream"],
  ["/api/embed", undefined, "application/json"],
])("%s with stream %s answers %s", (route, stream, type) => {
  expect(framingAsked(modelCall(route), stream).mediaType).toBe(type);
});
