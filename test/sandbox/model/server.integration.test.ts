import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type ModelServer,
  type ModelServerOptions,
  type ModelServerRequests,
  startModelServer,
} from "../../../sandbox/model/server.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(options: Partial<ModelServerOptions> = {}): Promise<ModelServer> {
  const server = await startModelServer({ port: 0, log: () => {}, tokensPerSecond: 2000, firstTokenMs: 1, ...options });
  ends.push(() => server.close());
  return server;
}

async function openai(options: Partial<ModelServerOptions> = {}): Promise<OpenAI> {
  return new OpenAI({ baseURL: `${(await start(options)).url}/v1`, apiKey: "none", maxRetries: 0 });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const post = (server: ModelServer, path: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
  fetch(server.url + path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...init });

const recordSchema = z.object({
  path: z.string(),
  state: z.string(),
  bytes: z.number(),
  tokens: z.number(),
  headerNames: z.array(z.string()),
});
const requestsSchema = z.object({
  active: z.number(),
  waiting: z.number(),
  finished: z.number(),
  cancelled: z.number(),
  embeddedInputs: z.number(),
  last: z.array(recordSchema),
});

async function requests(server: ModelServer): Promise<z.infer<typeof requestsSchema>> {
  return requestsSchema.parse(await (await fetch(`${server.url}/sandbox/requests`)).json());
}

/** Asks until the state is as wanted; the test's own time-out ends it. */
async function until(server: ModelServer, wanted: (state: z.infer<typeof requestsSchema>) => boolean): Promise<void> {
  while (!wanted(await requests(server)));
}

describe("the OpenAI endpoints, with OpenAI's client", () => {
  it("answer a chat at once, within max_tokens", async () => {
    const client = await openai();
    const messages = [
      { role: "system" as const, content: "짧게" },
      { role: "user" as const, content: "안녕하세요" },
    ];
    const whole = await client.chat.completions.create({ model: "slm-ko", messages });
    expect(whole.choices[0]).toMatchObject({
      message: { role: "assistant", content: "받은 말: 안녕하세요" },
      finish_reason: "stop",
    });
    expect(whole.usage).toEqual({ prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 });
    const cut = await client.chat.completions.create({ model: "slm-ko:latest", messages, max_tokens: 2 });
    expect(cut.choices[0]).toMatchObject({ message: { content: "받은 말: " }, finish_reason: "length" });
  });

  it("stream a chat: role, contents, reason, usage when asked for", async () => {
    const client = await openai();
    const messages = [{ role: "user" as const, content: [{ type: "text" as const, text: "계약서 요약" }] }];
    const stream = await client.chat.completions.create({
      model: "slm-ko",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "받은 " }); // every piece has the role
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe("받은 말: 계약서 요약");
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 4 } });
    const plain = await collect(await client.chat.completions.create({ model: "slm-ko", messages, stream: true }));
    expect(plain.every(({ usage }) => usage === undefined)).toBe(true);
  });

  it("end a stream with [DONE]", async () => {
    const server = await start();
    const response = await post(server, "/v1/chat/completions", {
      model: "slm-ko",
      stream: true,
      messages: [{ role: "user", content: "a" }],
    });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(await response.text()).toMatch(/\n\ndata: \[DONE\]\n\n$/);
  });

  it("complete a text and answer in the Responses form, whole and streamed", async () => {
    const client = await openai();
    expect((await client.completions.create({ model: "slm-ko", prompt: "가나" })).choices[0]?.text).toBe(
      "받은 말: 가나",
    );
    const pieces = await collect(await client.completions.create({ model: "slm-ko", prompt: "가나", stream: true }));
    expect(pieces.map(({ choices }) => choices[0]?.text ?? "").join("")).toBe("받은 말: 가나");

    const response = await client.responses.create({ model: "slm-ko", input: "가나" });
    expect(response).toMatchObject({ status: "completed", output_text: "받은 말: 가나" });
    const cut = await client.responses.create({
      model: "slm-ko",
      input: [{ role: "user", content: "가나" }],
      max_output_tokens: 1,
    });
    expect(cut).toMatchObject({ status: "completed", incomplete_details: null }); // Ollama does not tell
    const stream = client.responses.stream({ model: "slm-ko", input: "가나" });
    const types = new Set<string>();
    for await (const event of stream) types.add(event.type);
    expect((await stream.finalResponse()).output_text).toBe("받은 말: 가나");
    expect(types).toContain("response.output_text.delta");
  });

  it("embed: the same text has the same unit vector, as floats and as base64", async () => {
    const client = await openai();
    const one = await client.embeddings.create({ model: "bge-m3", input: "계약서", encoding_format: "float" });
    const two = await client.embeddings.create({ model: "bge-m3", input: ["다른 글", "계약서"] }); // the client asks for base64
    const vector = one.data[0]!.embedding;
    expect(vector).toHaveLength(1024);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 10);
    for (const [i, value] of two.data[1]!.embedding.entries()) expect(value).toBeCloseTo(vector[i]!, 6);
    expect(two.data[0]!.embedding[0]).not.toBeCloseTo(vector[0]!, 6);
    const short = await client.embeddings.create({
      model: "bge-m3",
      input: "계약서",
      encoding_format: "float",
      dimensions: 8,
    });
    expect(Math.hypot(...short.data[0]!.embedding)).toBeCloseTo(1, 10);
    expect(short.data[0]!.embedding).toHaveLength(8);
  });

  it("list the models and refuse others in OpenAI's form", async () => {
    const client = await openai();
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["slm-ko:latest", "bge-m3:latest"]);
    expect((await client.models.retrieve("bge-m3")).id).toBe("bge-m3:latest");
    const messages = [{ role: "user" as const, content: "a" }];
    const unknown = client.chat.completions.create({ model: "gpt-9", messages });
    await expect(unknown).rejects.toMatchObject({
      status: 404,
      type: "api_error", // as Ollama says behind its middleware
      message: '404 model "gpt-9" not found',
    });
    await expect(client.chat.completions.create({ model: "bge-m3", messages })).rejects.toMatchObject({ status: 400 });
  });

  it("refuse a broken body with 400", async () => {
    const server = await start();
    for (const body of ["{", "", { model: "slm-ko" }, { model: "slm-ko", messages: [] }]) {
      const response = await post(server, "/v1/chat/completions", body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error" } });
    }
  });
});

describe("Ollama's endpoints", () => {
  const lines = async (response: Response): Promise<Record<string, unknown>[]> =>
    (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => z.record(z.string(), z.unknown()).parse(JSON.parse(line)));

  it("stream a chat as NDJSON, with the counts at the end", async () => {
    const server = await start();
    const response = await post(server, "/api/chat", {
      model: "slm-ko",
      messages: [{ role: "user", content: "안녕" }],
    });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const pieces = await lines(response);
    const said = pieces.map(({ message }) => z.object({ content: z.string() }).parse(message).content).join("");
    expect(said).toBe("받은 말: 안녕");
    expect(pieces.slice(0, -1).every(({ done }) => done === false)).toBe(true);
    expect(pieces.at(-1)).toMatchObject({ done: true, done_reason: "stop", eval_count: 3, prompt_eval_count: 1 });
    expect(pieces.at(-1)?.total_duration).toBeGreaterThan(1e6);
  });

  it("generate a whole answer, within num_predict", async () => {
    const server = await start();
    const body = { model: "slm-ko", prompt: "가나다라", stream: false, options: { num_predict: 3 } };
    expect(await (await post(server, "/api/generate", body)).json()).toMatchObject({
      response: "받은 말: 가나다",
      done: true,
      done_reason: "length",
    });
  });

  it("embed by both endpoints, count what is embedded, and agree with /v1", async () => {
    const server = await start();
    const vectors = z
      .object({ embeddings: z.array(z.array(z.number())) })
      .parse(await (await post(server, "/api/embed", { model: "bge-m3", input: ["a", "b"] })).json());
    const old = z
      .object({ embedding: z.array(z.number()) })
      .parse(await (await post(server, "/api/embeddings", { model: "bge-m3", prompt: "a" })).json());
    expect(vectors.embeddings).toHaveLength(2);
    expect(old.embedding).toEqual(vectors.embeddings[0]);
    expect((await requests(server)).embeddedInputs).toBe(3);
  });

  it("describe models, keep them loaded, and unload with keep_alive 0", async () => {
    const server = await start();
    const get = async (path: string): Promise<unknown> => (await fetch(server.url + path)).json();
    expect(await get("/api/version")).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    expect(await get("/api/tags")).toMatchObject({
      models: [{ name: "slm-ko:latest", digest: expect.stringMatching(/^[0-9a-f]{64}$/) }, { name: "bge-m3:latest" }],
    });
    expect(await (await post(server, "/api/show", { model: "bge-m3" })).json()).toMatchObject({
      capabilities: ["embedding"],
      model_info: { "bert.embedding_length": 1024 },
    });
    expect(await get("/api/ps")).toEqual({ models: [] });
    await post(server, "/api/generate", { model: "slm-ko" });
    expect(await get("/api/ps")).toMatchObject({ models: [{ name: "slm-ko:latest" }] });
    expect(await (await post(server, "/api/generate", { model: "slm-ko", keep_alive: 0 })).json()).toMatchObject({
      done_reason: "unload",
    });
    expect(await get("/api/ps")).toEqual({ models: [] });
  });

  it("really delete and pull, so that nobody should be let through to them", async () => {
    const server = await start();
    const body = JSON.stringify({ model: "slm-ko" });
    expect((await fetch(`${server.url}/api/delete`, { method: "DELETE", body })).status).toBe(200);
    const gone = await post(server, "/api/chat", { model: "slm-ko", messages: [{ role: "user", content: "a" }] });
    expect(gone.status).toBe(404);
    expect(await gone.json()).toEqual({ error: 'model "slm-ko" not found' });
    expect((await lines(await post(server, "/api/pull", { model: "slm-ko" }))).at(-1)).toEqual({ status: "success" });
    const back = await post(server, "/api/chat", { model: "slm-ko", messages: [{ role: "user", content: "a" }] });
    expect(back.status).toBe(200);
    await back.text();
  });
});

describe("slots and time", () => {
  const slow = (server: ModelServer, init: RequestInit = {}): Promise<Response> =>
    post(server, "/api/generate", { model: "slm-ko", prompt: "가".repeat(3000) }, init);

  it("lets only so many compute; the rest wait in the order they came", async () => {
    const server = await start({ slots: 1, tokensPerSecond: 100 });
    const order: string[] = [];
    const run = async (name: string): Promise<void> => {
      await (await post(server, "/api/generate", { model: "slm-ko", prompt: "가".repeat(30), stream: false })).text();
      order.push(name);
    };
    const all: Promise<void>[] = [];
    for (const [i, name] of ["one", "two", "three"].entries()) {
      all.push(run(name));
      await until(server, ({ active, waiting }) => active + waiting === i + 1);
    }
    expect(await requests(server)).toMatchObject({ active: 1, waiting: 2 });
    await Promise.all(all);
    expect(order).toEqual(["one", "two", "three"]);
    expect(await requests(server)).toMatchObject({ active: 0, waiting: 0, finished: 3, cancelled: 0 });
  });

  it("takes the time that the speed says", async () => {
    const server = await start({ tokensPerSecond: 50, firstTokenMs: 30 });
    const start_ = performance.now();
    await (await post(server, "/api/generate", { model: "slm-ko", prompt: "가".repeat(26), stream: false })).text(); // 11 tokens
    const took = performance.now() - start_;
    expect(took).toBeGreaterThan(220);
    expect(took).toBeLessThan(2000);
  });

  it("stops for a client that goes, running or waiting, and gives its slot to the next", async () => {
    const server = await start({ slots: 1, tokensPerSecond: 10 });
    const [running, queued] = [new AbortController(), new AbortController()];
    const first = await slow(server, { signal: running.signal });
    const second = slow(server, { signal: queued.signal });
    second.catch(() => {});
    await until(server, ({ waiting }) => waiting === 1);
    queued.abort();
    await until(server, ({ waiting, cancelled }) => waiting === 0 && cancelled === 1);
    running.abort();
    await expect(first.text()).rejects.toThrow(/abort/i);
    await until(server, ({ active, cancelled }) => active === 0 && cancelled === 2);
    const state: ModelServerRequests["last"][number]["state"][] = ["cancelled", "cancelled"];
    expect((await requests(server)).last.map((record) => record.state)).toEqual(state);
  });

  it("tells names of headers but never values", async () => {
    const server = await start();
    await (
      await post(server, "/api/show", { model: "slm-ko" }, { headers: { "cf-access-client-secret": "hidden" } })
    ).text();
    const text = await (await fetch(`${server.url}/sandbox/requests`)).text();
    expect(text).toContain("cf-access-client-secret");
    expect(text).not.toContain("hidden");
  });
});
