/** What the relay changes in the model server's answers, and which models and responses a caller reaches. */
import { once } from "node:events";
import { createServer } from "node:http";
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { USER_AGENT } from "../../../../runtime/relay/model/remote-models.ts";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  rawGet,
  startModel,
  startTestRelay,
  type TestRelay,
  token,
} from "../harness.ts";

const client = (relay: TestRelay) =>
  new OpenAI({ apiKey: "dummy", baseURL: `${relay.url}/v1`, defaultHeaders: asServer, maxRetries: 0 });
const openaiKind = (url: string, more: Partial<RelayConfig["model"]> = {}) => ({
  model: { kind: "openai" as const, url, embeddingModel: "e", ...more },
});
const get = (relay: TestRelay, path: string, init: RequestInit = {}) =>
  fetch(relay.url + path, { ...init, headers: asServer });

describe("vectors", () => {
  const numbers = [0.25, -1, 1e-3, 12345.5, 0];
  const rows = Array.from({ length: 40 }, (_, index) => ({
    object: "embedding",
    index,
    embedding: numbers.map((n) => n + index),
  }));
  const floatsOnly = () =>
    startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "application/json" });
      // In pieces that end anywhere.
      const text = JSON.stringify({
        object: "list",
        data: rows,
        model: "e",
        usage: { prompt_tokens: 3, total_tokens: 3 },
      });
      for (let at = 0; at < text.length; at += 7) res.write(text.slice(at, at + 7));
      res.end();
    });

  test("in numbers reach the official client, which asks for base64 by itself", async () => {
    const model = await floatsOnly();
    const relay = await startTestRelay(model.url, openaiKind(model.url));
    const got = await client(relay).embeddings.create({ model: "e", input: ["가"] });
    expect(got.data.map(({ embedding }) => embedding)).toEqual(
      rows.map(({ embedding }) => embedding.map((n) => Math.fround(n))),
    );
    expect(got.usage.total_tokens).toBe(3);
  });

  test("as a job too", async () => {
    const model = await floatsOnly();
    const relay = await startTestRelay(model.url, openaiKind(model.url));
    const headers = { Prefer: "respond-async, wait=20" };
    const body = { model: "e", input: ["가"], encoding_format: "base64" };
    const got = (await (await post(relay, "/v1/embeddings", body, { headers })).json()) as {
      data: { embedding: string }[];
    };
    const bytes = Buffer.from(got.data[1]!.embedding, "base64");
    expect(bytes.readFloatLE(0)).toBe(1.25);
    expect(bytes.length).toBe(20);
  });

  test.each(["float", null, undefined])("asked for as %s stay as they are", async (encoding_format) => {
    const model = await floatsOnly();
    const relay = await startTestRelay(model.url, openaiKind(model.url));
    const got = await post(relay, "/v1/embeddings", { model: "e", input: "a", encoding_format, dimensions: null });
    expect(((await got.json()) as { data: unknown }).data).toEqual(rows);
  });

  test("that are base64 already stay as they are, and a text that looks like a key too", async () => {
    const text =
      '{"data":[{"embedding":"AACAPgAAgL8=","note":"\\"embedding\\":[1,2]","object":"embedding"}],"embedding" : [ "x" ]}';
    const model = await startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "application/json" }).end(text);
    });
    const relay = await startTestRelay(model.url);
    const got = await post(relay, "/v1/embeddings", { model: "e", input: "a", encoding_format: "base64" });
    expect(await got.text()).toBe(text);
  });
});

describe("lists of models", () => {
  const list = {
    object: "list",
    data: [{ id: "slm:latest" }, { id: "other" }, { id: "gpt-oss:120b-cloud" }, { id: "alias:latest" }],
  };
  const tags = {
    models: [
      { name: "slm:latest", model: "slm:latest" },
      { name: "gpt-oss:120b-cloud", remote_host: "https://ollama.com:443" },
      { name: "alias:latest", remote_model: "glm-4.6", remote_host: "https://ollama.com:443" },
    ],
  };
  const listing = () =>
    startModel(({ url }, res) => {
      const value = url === "/api/tags" ? tags : list;
      res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    });

  test("show only those that are allowed, matched as Ollama matches names", async () => {
    const model = await listing();
    const relay = await startTestRelay(model.url, {
      model: { kind: "ollama", url: model.url, embeddingModel: "e", allowed: ["slm"] },
    });
    expect(await (await get(relay, "/v1/models")).json()).toEqual({ object: "list", data: [{ id: "slm:latest" }] });
    expect(await (await get(relay, "/api/tags")).json()).toEqual({ models: [tags.models[0]] });
  });

  test("show no model of Ollama's cloud; without one they pass byte for byte", async () => {
    const model = await listing();
    const relay = await startTestRelay(model.url);
    expect(await (await get(relay, "/api/tags")).json()).toEqual({ models: [tags.models[0]] });
    const other = await startTestRelay(model.url, openaiKind(model.url));
    expect(await (await get(other, "/v1/models")).text()).toBe(JSON.stringify(list));
  });

  test.each(["/", "/v1/models", "/api/tags", "/api/ps", "/api/version", "/v1/models/slm"])(
    "HEAD %s works where GET does, whatever the model server does with HEAD",
    async (path) => {
      const model = await startModel(({ method }, res) => {
        if (method !== "GET") res.writeHead(405).end();
        else res.writeHead(200, { "Content-Type": "application/json", "Content-Length": 2 }).end("{}");
      });
      const relay = await startTestRelay(model.url);
      const { status, answer } = await rawGet(relay.port, path, undefined, "HEAD");
      expect(status).toBe(200);
      expect(answer).toMatch(/^content-length: 2\r$/im);
      expect(answer.endsWith("\r\n\r\n")).toBe(true);
    },
  );
});

test("a model under a local name that runs in Ollama's cloud is refused on every road", async () => {
  const asked: string[] = [];
  const server = createServer((req, res) => {
    if (req.headers["user-agent"] === USER_AGENT) {
      res.end(
        JSON.stringify({
          models: [{ name: "mine:latest", remote_host: "https://ollama.com:443" }, { name: "slm:latest" }],
        }),
      );
    } else {
      asked.push(req.url ?? "");
      req.resume().on("end", () => res.writeHead(200, { "Content-Type": "application/json" }).end("{}"));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const relay = await startTestRelay(url);
  for (const [path, init] of [
    ["/api/chat", {}],
    ["/v1/chat/completions", {}],
    ["/v1/messages", {}],
    ["/api/chat", { headers: { Prefer: "respond-async" } }],
  ] as const) {
    const refused = await post(relay, path, { model: "mine" }, init);
    expect([path, refused.status, await codeOf(refused)]).toEqual([path, 403, "cloud_model_not_allowed"]);
  }
  expect((await post(relay, "/api/chat", { model: "slm" })).status).toBe(200);
  const allowing = await startTestRelay(url, {
    model: { kind: "ollama", url, embeddingModel: "e", allowed: ["mine"] },
  });
  expect((await post(allowing, "/api/chat", { model: "mine" })).status).toBe(200);
  expect(asked).toEqual(["/api/chat", "/api/chat"]);
  server.close();
  server.closeAllConnections();
});

test.each([
  [401, "application/json", '{"error":{"message":"Invalid API key","code":"invalid_api_key"}}'],
  [401, "text/plain", ""],
  [403, "text/html", "<h1>Forbidden</h1>"],
])("a %i of the model server does not look like the relay's: %s", async (status, type, body) => {
  const model = await startModel((_seen, res) => void res.writeHead(status, { "Content-Type": type }).end(body));
  const relay = await startTestRelay(model.url);
  const answers = [await post(relay, "/v1/chat/completions", { model: "m" }), await get(relay, "/v1/models")];
  for (const answer of answers) {
    expect([answer.status, answer.headers.get("x-should-retry"), await codeOf(answer)]).toEqual([
      502,
      "false",
      "model_server_denied",
    ]);
  }
});

test("a 404 for a model, and a 403 with a reason, are the model server's own", async () => {
  const model = await startModel(({ body }, res) => {
    const [status, message] = body.includes("none") ? [404, 'model "none" not found'] : [403, "cloud is disabled"];
    res.writeHead(status as number, { "Content-Type": "application/json" }).end(JSON.stringify({ error: message }));
  });
  const relay = await startTestRelay(model.url);
  const answers = [await post(relay, "/api/chat", { model: "none" }), await post(relay, "/api/chat", { model: "b" })];
  expect(await Promise.all(answers.map(async (one) => [one.status, await one.json()]))).toEqual([
    [404, { error: 'model "none" not found' }],
    [403, { error: "cloud is disabled" }],
  ]);
});

test("rerank takes a slot for embeddings, and its tokens are counted", async () => {
  const model = await startModel((_seen, res) => {
    const results = [{ index: 1, relevance_score: 0.9 }];
    const usage = { prompt_tokens: 40, total_tokens: 40 };
    res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ results, usage }));
  });
  const relay = await startTestRelay(model.url, openaiKind(model.url));
  for (const path of ["/v1/rerank", "/rerank"]) {
    const got = await post(relay, path, { model: "r", query: "판다", documents: ["안녕", "곰"], top_n: 1 });
    expect([got.status, await got.json()]).toMatchObject([200, { results: [{ index: 1 }] }]);
  }
  await expect
    .poll(async () => (await fetch(`${relay.admin}/metrics`)).text())
    .toMatch(/slm_tokens_total\{lane="embeddings",caller="backend",kind="prompt"\} 80\n/);
});

describe("responses that the model server keeps", () => {
  const other = "fedcba9876543210fedcba9876543210.access";
  const callers = (
    [
      ["backend", CLIENT_ID],
      ["billing", other],
    ] as const
  ).map(([name, clientId]) => ({
    ...{ name, clientId, companies: ["*"], weight: 1, enabled: true },
  }));

  async function start() {
    let made = 0;
    const model = await startModel(({ method, body }, res) => {
      const asked = method === "POST" ? (JSON.parse(body.toString()) as { stream?: boolean }) : undefined;
      if (asked !== undefined) made += 1;
      const response = { id: `resp_made${made}`, object: "response", output: [] };
      if (asked?.stream === true) {
        res.writeHead(200, { "Content-Type": "text/event-stream" });
        res.end(`event: response.created\ndata: ${JSON.stringify({ type: "response.created", response })}\n\n`);
      } else res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(response));
    });
    return { model, relay: await startTestRelay(model.url, { ...openaiKind(model.url), callers }) };
  }
  const ask = (relay: TestRelay, more: object, headers: Record<string, string> = {}) =>
    post(relay, "/v1/responses", { model: "m", input: "가", ...more }, { headers });

  test("are the caller's that made them: to read, to continue, to delete", async () => {
    const { model, relay } = await start();
    const theirs = { "Cf-Access-Jwt-Assertion": await token({ common_name: other }) };
    const [whole, streamed, job] = [
      await (await ask(relay, {})).text(),
      await (await ask(relay, { stream: true })).text(),
      await (await ask(relay, {}, { Prefer: "respond-async, wait=20" })).text(),
    ];
    expect([whole, streamed, job].map((text) => /resp_\w+/.exec(text)?.[0])).toEqual([
      "resp_made1",
      "resp_made2",
      "resp_made3",
    ]);
    for (const id of ["resp_made1", "resp_made2", "resp_made3"]) {
      expect((await get(relay, `/v1/responses/${id}`)).status).toBe(200);
      expect((await ask(relay, { previous_response_id: id })).status).toBe(200);
      const before = model.seen.length;
      const refused = [
        await fetch(`${relay.url}/v1/responses/${id}`, { headers: theirs }),
        await fetch(`${relay.url}/v1/responses/${id}`, { method: "DELETE", headers: theirs }),
        await ask(relay, { previous_response_id: id }, theirs),
      ];
      expect(refused.map(({ status }) => status)).toEqual([404, 404, 404]);
      expect(await codeOf(refused[2]!)).toBe("response_not_found");
      expect(model.seen.length).toBe(before);
    }
    expect((await get(relay, "/v1/responses/resp_made1", { method: "DELETE" })).status).toBe(200);
    expect(model.seen.at(-1)).toMatchObject({ method: "DELETE", url: "/v1/responses/resp_made1" });
    expect((await get(relay, "/v1/responses/resp_made1")).status).toBe(404);
    expect((await ask(relay, { previous_response_id: null })).status).toBe(200);
  });

  test.each(['"resp_unknown"', "12", "{}", `"${"x".repeat(5000)}"`])(
    "previous_response_id %s is refused",
    async (id) => {
      const { model, relay } = await start();
      const refused = await post(relay, "/v1/responses", `{"model":"m","input":"a","previous_response_id":${id}}`);
      expect([refused.status, await codeOf(refused)]).toEqual([404, "response_not_found"]);
      expect(model.seen).toEqual([]);
    },
  );
});
