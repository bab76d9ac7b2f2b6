/** The traces of the relay as it is installed, as a collector decodes them. */
import { once } from "node:events";
import { request } from "node:http";
import { describe, expect, it } from "vitest";
import { installRelay } from "../drills/bundled.ts";
import { type Model, startModel } from "../harness.ts";
import { type Collector, namesOf, type Span, startCollector, treeOf } from "./collector.ts";

const LONG = 120_000;
const PROMPT = "tell-me-the-secret-of-alpha";
const ANSWER = "the-answer-of-the-model";

type Changes = Parameters<typeof installRelay>[1];

/** A model server of Ollama's kind that knows a few prompts. */
async function startAnsweringModel(): Promise<Model & { release(): void }> {
  const held: (() => void)[] = [];
  const model = await startModel(({ url, body }, res) => {
    if (url === "/api/tags") {
      return void res.end(
        JSON.stringify({ models: [{ name: "embed:latest", model: "embed:latest", digest: "d".repeat(64) }] }),
      );
    }
    const asked = JSON.parse(body.toString()) as { model: string; input?: string[]; stream?: boolean; prompt?: string };
    if (url === "/api/embed") {
      const embeddings = asked.input!.map((text) => [text.length, 1]);
      return void res.end(JSON.stringify({ model: asked.model, embeddings, prompt_eval_count: 7 }));
    }
    if (asked.prompt === "fail") return void res.writeHead(500).end(JSON.stringify({ error: PROMPT }));
    const usage = { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 };
    const head = { id: "chatcmpl-1", model: "tiny:1b" };
    if (asked.stream === true) {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      const event = (data: object) => res.write(`data: ${JSON.stringify(data)}\n\n`);
      event({ ...head, choices: [{ index: 0, delta: { content: ANSWER } }] });
      event({ ...head, choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage });
      return void res.end("data: [DONE]\n\n");
    }
    const choices = [{ index: 0, message: { role: "assistant", content: ANSWER }, finish_reason: "length" }];
    const answer = () =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ ...head, choices, usage }));
    if (asked.prompt === "hold") held.push(answer);
    else answer();
  });
  const release = () => {
    for (const go of held.splice(0)) go();
  };
  return { ...model, release };
}

async function start(collector: Collector, modelUrl: string, changes: Changes = {}) {
  const otlp = { endpoint: collector.url, samplingRatio: 1, serviceName: "slm-test" };
  const installed = await installRelay(modelUrl, { telemetry: { otlp }, ...changes });
  const relay = await installed.start();
  const call = (path: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
    fetch(installed.url + path, {
      method: body === undefined ? "GET" : "POST",
      ...(body !== undefined && { body: JSON.stringify(body) }),
      headers: { ...installed.callers[0]!.headers, "Content-Type": "application/json", ...headers },
      ...(signal && { signal }),
    });
  return { ...installed, relay, call };
}

const isRoot = (name: string) => (span: Span) =>
  span.name === name && (span.kind === "SERVER" || span.kind === "CONSUMER");
/** The tree of the first root with this name, once it has been sent. */
async function tree(collector: Collector, name: string) {
  const spans = await collector.until((all) => all.some(isRoot(name)));
  return treeOf(spans.find(isRoot(name))!, spans);
}
const CHAT = "/v1/chat/completions";
const chat = (prompt: string, more: object = {}) => ({
  model: "tiny",
  prompt,
  messages: [{ role: "user", content: PROMPT }],
  ...more,
});

describe("traces", () => {
  it("of a plain call: access, queue and model, with the caller's context and no text", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call, relay } = await start(collector, model.url);
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const context = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, tracestate: "vendor=abc" };
    expect((await call(CHAT, chat("hello"), context)).status).toBe(200);
    const found = await tree(collector, `POST ${CHAT}`);
    expect(namesOf(found)).toEqual([`POST ${CHAT}`, "access check", "queue wait", "chat tiny"]);
    const { span, children } = found;
    expect(span).toMatchObject({ traceId, parentId: "b7ad6b7169203331", traceState: "vendor=abc", kind: "SERVER" });
    expect(span.failed).toBe(false);
    expect(span.attributes).toEqual({
      "http.request.method": "POST",
      "http.route": CHAT,
      "http.response.status_code": 200,
      "slm.caller": "alpha",
      "slm.entry.colo": "none",
    });
    const modelSpan = children[2]!.span;
    expect(modelSpan.kind).toBe("CLIENT");
    expect(modelSpan.attributes).toEqual({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "ollama",
      "gen_ai.request.model": "tiny",
      "gen_ai.response.id": "chatcmpl-1",
      "gen_ai.response.model": "tiny:1b",
      "gen_ai.response.finish_reasons": ["length"],
      "gen_ai.usage.input_tokens": 11,
      "gen_ai.usage.output_tokens": 3,
      "http.response.status_code": 200,
      "server.address": "127.0.0.1",
      "server.port": Number(new URL(model.url).port),
    });
    expect(children[1]!.span.attributes).toEqual({ "slm.queue": "chat", "slm.queue.background": false });
    // The model server gets the span of its call.
    const { headers } = model.seen.find(({ url }) => url === CHAT)!;
    expect(headers.traceparent).toBe(`00-${traceId}-${modelSpan.spanId}-01`);
    expect(headers.tracestate).toBe("vendor=abc");
    expect(collector.service()).toBe("slm-test");
    const line = await relay.line(({ msg, path }) => msg === "request" && path === CHAT);
    expect(line.trace_id).toBe(traceId);
    for (const secret of [PROMPT, ANSWER, "Cf-Access", "eyJ"]) expect(collector.bytes()).not.toContain(secret);
  });

  it("begin anew when the caller's context is not valid, and are not sent when it is not sampled", {
    timeout: LONG,
  }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call } = await start(collector, model.url);
    const id = "0af7651916cd43dd8448eb211c80319c";
    const unsampled = `00-${"a".repeat(32)}-b7ad6b7169203331-00`;
    const wrong = [
      `00-${id}-b7ad6b7169203331`,
      `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
      `ff-${id}-b7ad6b7169203331-01`,
      `00-${id.toUpperCase()}-b7ad6b7169203331-01`,
      `00-${id}-b7ad6b7169203331-01-more`,
      `01-${id}-b7ad6b7169203331-01-${"x".repeat(300)}`,
    ];
    for (const traceparent of [unsampled, ...wrong]) await (await call(CHAT, chat("hello"), { traceparent })).text();
    const roots = (all: readonly Span[]) => all.filter(isRoot(`POST ${CHAT}`));
    const found = roots(await collector.until((all) => roots(all).length === wrong.length));
    expect(found.map(({ parentId }) => parentId)).toEqual(wrong.map(() => ""));
    expect(new Set(found.map(({ traceId }) => traceId)).size).toBe(wrong.length);
    expect(found.some(({ traceId }) => traceId === id || traceId === "a".repeat(32))).toBe(false);
    // The decision of an unsampled caller is passed on.
    const [first] = model.seen.filter(({ url }) => url === CHAT);
    expect(first!.headers.traceparent).toMatch(new RegExp(`^00-${"a".repeat(32)}-[0-9a-f]{16}-00$`));
  });

  it("of a streamed call have its tokens, its end and the time to its first chunk", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call } = await start(collector, model.url);
    expect(await (await call(CHAT, chat("hello", { stream: true }))).text()).toContain("[DONE]");
    const { children } = await tree(collector, `POST ${CHAT}`);
    const { attributes } = children[2]!.span;
    expect(attributes).toMatchObject({
      "gen_ai.request.stream": true,
      "gen_ai.response.finish_reasons": ["stop"],
      "gen_ai.usage.input_tokens": 11,
      "gen_ai.usage.output_tokens": 3,
    });
    expect(attributes["gen_ai.response.time_to_first_chunk"]).toBeGreaterThan(0);
    expect(collector.bytes()).not.toContain(ANSWER);
  });

  it("of a queued call show its wait, of a refused one its code, of one that is cancelled that its client left", {
    timeout: LONG,
  }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const limits = { chat: 1, embeddings: 1, waiting: 1, waitSeconds: 60, bodyMiB: 8, whenBusy: "queue" as const };
    const { call, relay } = await start(collector, model.url, { limits });
    const held = call(CHAT, chat("hold"));
    await expect.poll(() => model.seen.filter(({ url }) => url === CHAT).length, { timeout: 30_000 }).toBe(1);
    const queued = call("/v1/completions", chat("later"));
    const leaving = new AbortController();
    const left = call("/api/generate", chat("leaves"), {}, leaving.signal);
    // One waits, the other is refused: which one is a matter of fairness. The one that is left waits no more.
    const first = await Promise.race([queued, left.catch(() => undefined)]);
    expect(first?.status).toBe(429);
    leaving.abort();
    await left.catch(() => {});
    model.release();
    await Promise.all([held, queued]);
    await relay.line(({ msg, status }) => msg === "request" && status === 429);
    const spans = await collector.until((all) => all.filter(({ kind }) => kind === "SERVER").length === 3);
    const refused = spans.find(
      ({ attributes }) => attributes["error.type"] === "queue_full" && attributes["http.route"],
    )!;
    expect(refused.attributes["http.response.status_code"]).toBe(429);
    expect(refused.failed).toBe(false);
    const refusedTree = treeOf(refused, spans);
    expect(namesOf(refusedTree)).toEqual([refused.name, "access check", "queue wait"]);
    expect(refusedTree.children[1]!.span).toMatchObject({ failed: true, attributes: { "error.type": "queue_full" } });
  });

  it("of a call whose client leaves say so, on the request and on the model call", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { url, callers } = await start(collector, model.url);
    const headers = { ...callers[0]!.headers, "Content-Type": "application/json" };
    const leaving = request(url + CHAT, { method: "POST", headers });
    leaving.on("error", () => {}).end(JSON.stringify(chat("hold")));
    await expect.poll(() => model.seen.length, { timeout: 30_000 }).toBeGreaterThan(0);
    leaving.destroy();
    const { span, children } = await tree(collector, `POST ${CHAT}`);
    expect(span.attributes).toMatchObject({
      "http.response.status_code": 499,
      "slm.client.aborted": true,
      "error.type": "client_disconnected",
    });
    expect(span.failed).toBe(false);
    expect(children[2]!.span).toMatchObject({ failed: true, attributes: { "error.type": "client_disconnected" } });
  });

  it("of a failing model server show its status, without its words", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call } = await start(collector, model.url);
    expect((await call(CHAT, chat("fail"))).status).toBe(500);
    const { span, children } = await tree(collector, `POST ${CHAT}`);
    expect(span.failed).toBe(true);
    expect(children[2]!.span).toMatchObject({ failed: true, attributes: { "error.type": "500" } });
    expect(collector.bytes()).not.toContain(PROMPT);
  });

  it("of a call to the fallback server have both attempts, and the fallback server gets no context", {
    timeout: LONG,
  }, async () => {
    const [collector, model, other] = await Promise.all([
      startCollector(),
      startAnsweringModel(),
      startAnsweringModel(),
    ]);
    await model.close();
    const fallback = { url: other.url, model: "big", companies: ["*"] };
    const { call } = await start(collector, model.url, { fallback });
    const context = { traceparent: `00-${"b".repeat(32)}-b7ad6b7169203331-01` };
    expect((await call(CHAT, chat("hello"), context)).headers.get("x-slm-served-by")).toBe("fallback");
    const found = await tree(collector, `POST ${CHAT}`);
    expect(namesOf(found)).toEqual([`POST ${CHAT}`, "access check", "queue wait", "chat tiny", "chat tiny"]);
    expect(found.span.attributes["slm.fallback.reason"]).toBe("model_unreachable");
    const [local, remote] = found.children.slice(2);
    expect(local!.span).toMatchObject({ failed: true, attributes: { "error.type": "model_unreachable" } });
    expect(remote!.span).toMatchObject({
      failed: false,
      attributes: { "gen_ai.provider.name": "fallback", "server.port": Number(new URL(other.url).port) },
    });
    expect(other.seen[0]!.headers).not.toHaveProperty("traceparent");
  });

  it("of an embedding with a document have its store and its model call", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call } = await start(collector, model.url);
    const title = encodeURIComponent("Prices");
    const named = { "Slm-Company": "acme", "Slm-Document": title };
    const answer = await call("/v1/embeddings", { model: "embed", input: [PROMPT] }, named);
    expect(answer.status, await answer.clone().text()).toBe(200);
    const { children, span } = await tree(collector, "POST /v1/embeddings");
    const names = children.map((child) => child.span.name);
    expect(names[0]).toBe("access check");
    const all = collector.spans.filter(({ traceId }) => traceId === span.traceId);
    for (const name of [
      "queue wait",
      "embeddings embed",
      "documents meta",
      "documents declareWrite",
      "documents put",
    ]) {
      expect(all.map((one) => one.name)).toContain(name);
    }
    const put = all.find(({ name }) => name === "documents put")!;
    expect(put).toMatchObject({
      kind: "CLIENT",
      attributes: { "db.system.name": "sqlite", "db.operation.name": "put" },
    });
    const embedded = all.find(({ name }) => name === "embeddings embed")!;
    expect(model.seen.find(({ url }) => url === "/api/embed")!.headers.traceparent).toBe(
      `00-${span.traceId}-${embedded.spanId}-01`,
    );
    expect(collector.bytes()).not.toContain(PROMPT);
    expect(collector.bytes()).not.toContain(title);
  });

  it("of a job's run are linked to the request that submitted it", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call } = await start(collector, model.url);
    const answer = await call(CHAT, chat("hello"), { Prefer: "respond-async" });
    expect(answer.status).toBe(202);
    const submitted = await tree(collector, `POST ${CHAT}`);
    expect(namesOf(submitted)).toEqual([`POST ${CHAT}`, "access check", "jobs add"]);
    const run = await tree(collector, "job run");
    expect(namesOf(run)).toEqual(["job run", "queue wait", "chat tiny", "jobs finish"]);
    expect(run.span.traceId).not.toBe(submitted.span.traceId);
    expect(run.span.links).toEqual([{ traceId: submitted.span.traceId, spanId: submitted.span.spanId }]);
    expect(run.span.attributes).toMatchObject({
      "slm.caller": "alpha",
      "slm.job.outcome": "answered",
      "slm.queue": "chat",
    });
    const { headers } = model.seen.find(({ url }) => url === CHAT)!;
    expect(headers.traceparent).toBe(`00-${run.span.traceId}-${run.children[1]!.span.spanId}-01`);
  });

  it("are sent by a relay that stops", { timeout: LONG }, async () => {
    const [collector, model] = await Promise.all([startCollector(), startAnsweringModel()]);
    const { call, relay } = await start(collector, model.url);
    await (await call(CHAT, chat("hello"))).text();
    relay.child.kill("SIGTERM");
    await once(relay.child, "exit");
    expect(collector.spans.some(isRoot(`POST ${CHAT}`))).toBe(true);
  });
});
