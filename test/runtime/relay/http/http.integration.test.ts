import { request } from "node:http";
import { describe, expect, test } from "vitest";
import { listen } from "../../../../runtime/relay/http/listener.ts";
import {
  asServer,
  codeOf,
  personToken,
  post,
  raw,
  rawGet,
  serverToken,
  startModel,
  startTestRelay,
} from "../harness.ts";

describe("paths are matched as received", () => {
  test.each([
    "/status/../v1/models",
    "//v1/models",
    "/V1/models",
    "/%761/models",
    "/v1/models/",
    "/v1//models",
    "/v1/./models",
    "/v1/models/..",
    "/v1/models/..%2F..%2Fapi%2Fdelete",
    "/v1/models/a%2f..%2fb",
    "/v1/models/%2e%2e",
    "/v1/models/a%5c..%5cb",
    "/v1/models/%252e%252e%252fapi",
    "/v1/models/a%00",
    "/v1/models/%ff",
    "/v1/models#x",
    "/api/pull",
    "/api/delete",
    "/api/tags;x",
    "/metrics",
    "/details",
    "*",
    "http://slm.example.com/v1/models",
  ])("GET %s is refused", async (path) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const auth = path.startsWith("/status") ? personToken : serverToken;
    expect(await rawGet(relay.port, path, auth)).toMatchObject({ status: 404, code: "not_found" });
    expect(model.seen).toEqual([]);
  });

  test.each([
    "/",
    "/v1/models",
    "/v1/models?x=//../%20",
    "/v1/models/Qwen%2FQwen3:4b",
    "/v1/models/a.b_c-1%2fd",
    "/v1/models/a/b",
    "/v1/models/a%2e",
    "/v1/models/gpt-oss%3A20b",
    "/v1/models/text-embedding@q8_0",
    "/v1/models/text-embedding%40q8_0",
    "/v1/models/%2Fopt%2Fmodels%2Fa.gguf",
    "/v1/models/%EA%B5%AD%EB%AF%BC",
    "/api/ps",
  ])("GET %s is passed on unchanged", async (path) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect((await rawGet(relay.port, path)).status).toBe(200);
    expect(model.seen.map(({ url }) => url)).toEqual([path]);
  });

  test("the path of model.url is kept", async () => {
    const model = await startModel();
    const relay = await startTestRelay(`${model.url}/slm/`);
    expect((await rawGet(relay.port, "/v1/models?a=1")).status).toBe(200);
    expect(model.seen[0]!.url).toBe("/slm/v1/models?a=1");
  });

  test("a known path with another method gives 405 and Allow", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const get = await rawGet(relay.port, "/api/chat");
    expect(get).toMatchObject({ status: 405, code: "method_not_allowed" });
    expect(get.answer).toMatch(/^Allow: POST\r$/m);
    expect((await rawGet(relay.port, "/v1/models", serverToken, "DELETE")).answer).toMatch(/^Allow: GET, HEAD\r$/m);
    expect((await rawGet(relay.port, "/readyz", serverToken, "POST")).answer).toMatch(/^Allow: GET, HEAD\r$/m);
  });

  test("Ollama's paths are refused for another model server, and the message says so", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { model: { kind: "openai", url: model.url, embeddingModel: "e" } });
    const response = await post(relay, "/api/chat", {});
    expect(response.status).toBe(404);
    expect(await response.text()).toMatch(/path of Ollama.*POST \/v1\/chat\/completions;.*not_found/);
    expect((await post(relay, "/v1/chat/completions", {})).status).toBe(200);
  });
});

describe("headers", () => {
  test("only listed ones go to the model server", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    await post(relay, "/v1/embeddings", "{}", {
      headers: {
        Accept: "text/event-stream",
        "Accept-Language": "ko",
        Authorization: "Bearer sk-dummy",
        "Cf-Connecting-Ip": "203.0.113.1",
        "Cf-Access-Client-Secret": "s",
        Cookie: "CF_Authorization=x",
        "OpenAI-Beta": "responses=v1",
        Traceparent: "00-1-2-01",
        "User-Agent": "backend/1",
        "X-Forwarded-For": "203.0.113.1",
        "X-Request-Id": "abc",
      },
    });
    const { host, connection, ...sent } = model.seen[0]!.headers;
    expect([host, connection]).toEqual([new URL(model.url).host, "keep-alive"]);
    expect(sent).toEqual({
      accept: "text/event-stream",
      "accept-language": "ko",
      "content-length": "2",
      "content-type": "application/json",
      "openai-beta": "responses=v1",
      traceparent: "00-1-2-01",
      "user-agent": "backend/1",
      "x-request-id": "abc",
    });
  });

  test("only listed ones come back", async () => {
    const model = await startModel((_seen, res) => {
      res.writeHead(200, {
        "Content-Type": "text/plain",
        "Content-Length": "2",
        "OpenAI-Processing-Ms": "5",
        "X-Request-Id": "m1",
        "Set-Cookie": "a=b",
        Server: "uvicorn",
        "Cache-Control": "public, max-age=60",
        "Access-Control-Allow-Origin": "*",
        "Keep-Alive": "timeout=9",
      });
      res.end("ok");
    });
    const relay = await startTestRelay(model.url);
    const { headers } = await fetch(`${relay.url}/v1/models`, { headers: asServer });
    const names = [...headers.keys()].filter((name) => !["connection", "date", "keep-alive"].includes(name));
    expect(names.sort()).toEqual([
      "cache-control",
      "content-length",
      "content-type",
      "openai-processing-ms",
      "server-timing",
      "x-request-id",
      "x-slm-request-id",
    ]);
    expect(headers.get("server-timing")).toMatch(/^relay;dur=\d+\.\d$/);
    expect(headers.get("cache-control")).toBe("no-store, no-transform");
    expect(headers.get("keep-alive")).toBe("timeout=130");
  });

  test("no-store and the request's id are on every answer, errors and malformed requests too", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const answers = [
      (await rawGet(relay.port, "/v1/models")).answer,
      (await rawGet(relay.port, "/nothing")).answer,
      (await rawGet(relay.port, "/readyz", "")).answer,
      (await rawGet(relay.adminPort, "/metrics", "")).answer,
      await raw(relay.port, "this is not HTTP\r\n\r\n"),
      await raw(relay.port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(70_000)}\r\n\r\n`),
    ];
    for (const answer of answers) {
      expect(answer).toMatch(/^cache-control: no-store, no-transform\r$/im);
      expect(answer).toMatch(/^x-slm-request-id: [0-9a-f-]{36}\r$/im);
    }
    expect(answers[4]).toMatch(/^HTTP\/1\.1 400 .*"code":"http_malformed"/s);
    expect(answers[5]).toMatch(/^HTTP\/1\.1 431 .*"code":"headers_too_large"/s);
  });
});

describe("bodies", () => {
  const limits = { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 1, whenBusy: "queue" as const };
  const head = (more: string) =>
    `POST /api/chat HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n${more}\r\n\r\n`;

  test("too large by Content-Length is refused before anything is sent", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const answer = await raw(relay.port, head("Content-Length: 1048577"), /body_too_large/);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(model.seen).toEqual([]);
  });

  test("too large without a Content-Length is refused while it is read", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const chunk = `80000\r\n${"x".repeat(0x80000)}\r\n`;
    const answer = await raw(relay.port, `${head("Transfer-Encoding: chunked")}${chunk.repeat(3)}`, /body_too_large/);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(model.seen).toEqual([]);
  });

  test("a body of exactly the limit passes", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const body = `{"a":"${"x".repeat(1024 * 1024 - 8)}"}`;
    expect((await post(relay, "/api/chat", body)).status).toBe(200);
  });

  test("after a refused upload the same connection serves the next request", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const big = `${head("Content-Length: 1100000").replace("Connection: close\r\n", "")}${"x".repeat(1_100_000)}`;
    const answer = await raw(relay.port, `${big}${head("Content-Length: 2")}{}`);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413", "HTTP/1.1 200"]);
  });

  test("Expect: 100-continue is answered for an acceptable request, and refused before the upload otherwise", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits });
    const asked = await raw(relay.port, `${head("Expect: 100-continue\r\nContent-Length: 2")}{}`);
    expect(asked.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 100", "HTTP/1.1 200"]);
    const refused = await raw(
      relay.port,
      head("Expect: 100-continue\r\nContent-Length: 9999999").replace("Connection: close\r\n", ""),
      /body_too_large/,
    );
    expect(refused.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 413"]);
    expect(refused).toMatch(/^Connection: close\r$/m);
  });

  test.each([
    ["compressed as br", { headers: { "Content-Encoding": "br" } }, "{}", "415 encoding_not_supported"],
    ["compressed twice", { headers: { "Content-Encoding": "gzip, gzip" } }, "{}", "415 encoding_not_supported"],
    ["not compressed, but said to be", { headers: { "Content-Encoding": "gzip" } }, "{}", "400 encoding_invalid"],
    ["not JSON", {}, "{", "400 body_not_json"],
    ["unloading the model", {}, '{"keep_alive":0}', "403 keep_alive_not_allowed"],
  ])("%s: refused", async (_name, init, body, expected) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const response = await post(relay, "/api/chat", body, init);
    expect(`${response.status} ${await codeOf(response)}`).toBe(expected);
    expect(model.seen).toEqual([]);
  });

  test("a model that is not allowed is refused", async () => {
    const model = await startModel();
    const only = { kind: "ollama" as const, url: model.url, embeddingModel: "e", allowed: ["m"] };
    const relay = await startTestRelay(model.url, { model: only });
    expect(await codeOf(await post(relay, "/v1/responses", { model: "x" }))).toBe("model_not_allowed");
    expect((await post(relay, "/v1/responses", { model: "m" })).status).toBe(200);
  });

  test("a client that disconnects during the upload leaves nothing behind", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const req = request({ port: relay.port, host: "127.0.0.1", method: "POST", path: "/api/chat", headers: asServer });
    req.on("error", () => {});
    req.write('{"a":');
    await expect.poll(async () => (await details(relay.admin)).tally.inFlight).toBe(1);
    req.destroy();
    await expect.poll(async () => (await details(relay.admin)).tally).toMatchObject({ inFlight: 0, clientAborts: 1 });
    expect(model.seen.map(({ url }) => url).filter((url) => url === "/api/chat")).toEqual([]);
  });
});

async function details(admin: string) {
  return (await (await fetch(`${admin}/details`)).json()) as { tally: { inFlight: number; clientAborts: number } };
}

test("idle connections are kept longer than cloudflared keeps them, and a request may be slow", async () => {
  const { server, close } = await listen("test", 0, (_req, res) => res.end());
  expect(server.keepAliveTimeout).toBeGreaterThan(120_000);
  expect(server.requestTimeout).toBe(0);
  expect(server.address()).toMatchObject({ address: "127.0.0.1" });
  await close();
});

test("a port in use is reported", async () => {
  const { port, close } = await listen("first", 0, (_req, res) => res.end());
  await expect(listen("public", port, () => {})).rejects.toThrow(
    new RegExp(`public listener cannot bind 127\\.0\\.0\\.1:${port}: another process holds it .*lsof`),
  );
  await close();
});
