import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Edge } from "../../../sandbox/edge/edge.ts";
import { ask, type Cloudflared, Harness, open, read } from "./harness.ts";

const HOST = "slm.example.com";
const harness = new Harness();
let edge: Edge;
let connector: Cloudflared;
let tunnel: string;
/** What the origin does in the current test. */
let serve: (request: IncomingMessage, response: ServerResponse) => void;

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

beforeAll(async () => {
  const origin = await harness.origin((request, response) => serve(request, response));
  tunnel = harness.account.declareTunnel(HOST, [
    { hostname: HOST, service: origin },
    { hostname: "dead.example.com", service: "http://127.0.0.1:1" },
    { service: "http_status:404" },
  ]);
  harness.account.records.set("dead.example.com", tunnel);
  edge = await harness.edge({ readTimeoutMs: 1500, bodyLimitBytes: 6_000_000 });
  connector = harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
});
afterAll(() => harness.stop());

test("an unmodified cloudflared reaches the edge by its environment alone and identifies itself", async () => {
  await edge.routed(tunnel, { connections: 2 });
  const [first] = await harness.account.connected(tunnel, 2);
  expect(first).toMatchObject({ coloName: "icn01", originIp: "127.0.0.1", isPendingReconnect: false });
  expect(first?.connectorId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  expect(first?.arch).toMatch(/^(linux|darwin)_/);
  expect(first?.clientVersion).not.toBe("");
  await connector.logged("location=icn01");
});

test("headers and a Korean body arrive byte for byte, both ways", async () => {
  const text = Buffer.from("한국어 문서: 계약서 제1조 — ✓\n");
  let seen: IncomingMessage | undefined;
  serve = (request, response) => {
    seen = request;
    void bodyOf(request).then((body) => {
      response.writeHead(201, [
        ...["Content-Type", "text/plain; charset=utf-8", "X-Raw", Buffer.from("é한", "utf8").toString("latin1")],
        ...["Set-Cookie", "a=1; Path=/", "Set-Cookie", "b=2", "X-Accel-Buffering", "no", "Server", "origin"],
        ...["CF-Ray", "forged", "Connection", "X-Hop", "X-Hop", "1"],
      ]);
      response.end(body);
    });
  };
  const target = "/v1/%EA%B3%84?q=%20a+b&x=%2F";
  const answer = await ask(edge, target, {
    method: "POST",
    host: HOST,
    body: text,
    headers: { "x-own": "value", authorization: "Bearer abc", "content-type": "text/plain" },
  });
  expect(answer.status).toBe(201);
  expect(answer.body.equals(text)).toBe(true);
  expect(Buffer.from(String(answer.headers["x-raw"]), "latin1").toString()).toBe("é한");
  expect(answer.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2"]);
  expect(answer.headers.server).toBe("cloudflare");
  expect(answer.headers["cf-ray"]).toMatch(/^[0-9a-f]{16}-ICN$/);
  expect(answer.headers["x-accel-buffering"]).toBeUndefined();
  expect(answer.headers["x-hop"]).toBeUndefined();
  expect(answer.headers["cf-cache-status"]).toBe("DYNAMIC");
  expect(seen?.url).toBe(target);
  expect(seen?.headers).toMatchObject({
    host: HOST,
    "x-own": "value",
    authorization: "Bearer abc",
    "cf-ray": answer.headers["cf-ray"],
    "cf-connecting-ip": "127.0.0.1",
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-proto": "https",
    "cf-visitor": '{"scheme":"https"}',
    "cdn-loop": "cloudflare; loops=1",
    "cf-ipcountry": "KR",
    "accept-encoding": "identity",
  });
});

test("a client's own Cloudflare headers never reach the origin, nor does a service token", async () => {
  let seen: IncomingMessage["headers"] = {};
  serve = (request, response) => {
    seen = request.headers;
    response.end();
  };
  await ask(edge, "/", {
    headers: {
      "cf-access-jwt-assertion": "forged",
      "cf-access-client-id": "id.access",
      "cf-access-client-secret": "secret",
      "cf-access-authenticated-user-email": "boss@example.com",
      "cf-connecting-ip": "203.0.113.9",
      "cf-ray": "0000000000000000-LAX",
      "cf-cloudflared-proxy-connection-upgrade": "update-configuration",
      "x-forwarded-for": "203.0.113.9",
      connection: "x-secret-hop",
      "x-secret-hop": "1",
    },
  });
  expect(Object.keys(seen).filter((name) => name.startsWith("cf-access"))).toEqual([]);
  expect(seen["cf-connecting-ip"]).toBe("127.0.0.1");
  expect(seen["cf-ray"]).toMatch(/-ICN$/);
  expect(seen["x-forwarded-for"]).toBe("203.0.113.9, 127.0.0.1");
  expect(seen["x-secret-hop"]).toBeUndefined();
});

test("5 MB go up and come back unchanged, with and without a length", async () => {
  const big = randomBytes(5_000_000);
  const digest = createHash("sha256").update(big).digest("hex");
  serve = (request, response) => void bodyOf(request).then((body) => response.end(body));
  const framings: Record<string, string>[] = [
    { "content-length": String(big.length) },
    { "transfer-encoding": "chunked" },
  ];
  for (const headers of framings) {
    const answer = await ask(edge, "/echo", { method: "POST", body: big, headers });
    expect(createHash("sha256").update(answer.body).digest("hex")).toBe(digest);
  }
});

test("server-sent events arrive one by one: the second is only written when the first was read", async () => {
  let next: (() => void) | undefined;
  serve = (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 하나\n\n");
    next = () => response.end("data: 둘\n\n");
  };
  const stream = await open(edge, "/events");
  const [first] = (await once(stream, "data")) as [Buffer];
  expect(first.toString()).toBe("data: 하나\n\n");
  next!();
  const rest = await read(stream);
  expect(rest.body.toString()).toBe("data: 둘\n\n");
});

test("a client's leaving reaches the origin within a second, and a cut upload does not look complete", async () => {
  const uploaded = new Promise<{ complete: boolean; after: number }>((resolve) => {
    serve = (request) => {
      request.resume();
      request.on("data", () => {
        const left = Date.now();
        client.destroy();
        request.on("close", () => resolve({ complete: request.complete, after: Date.now() - left }));
      });
      request.on("error", () => {});
    };
  });
  const client = connect(Number(new URL(edge.url).port), "127.0.0.1");
  client.on("error", () => {});
  client.write(`POST /up HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1000\r\n\r\nhalf`);
  const upload = await uploaded;
  expect(upload.complete).toBe(false);
  expect(upload.after).toBeLessThan(1000);

  const streamed = new Promise<number>((resolve) => {
    serve = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
      response.on("close", () => resolve(Date.now()));
    };
  });
  const stream = await open(edge, "/events");
  await once(stream, "data");
  const left = Date.now();
  stream.destroy();
  expect((await streamed) - left).toBeLessThan(1000);
});

test("an answer the origin cuts is cut for the client too, not ended", async () => {
  serve = (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: half\n\n", () => response.socket?.destroy());
  };
  await expect(ask(edge, "/cut")).rejects.toThrow();
});

test("50 requests at once are served at once", async () => {
  let running = 0;
  let most = 0;
  const all: (() => void)[] = [];
  serve = (request, response) => {
    running += 1;
    most = Math.max(most, running);
    all.push(() => {
      running -= 1;
      response.end(request.url);
    });
    if (all.length === 50) for (const finish of all) finish();
  };
  const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => ask(edge, `/${index}`)));
  expect(answers.map(({ body }) => body.toString())).toEqual(Array.from({ length: 50 }, (_, index) => `/${index}`));
  expect(most).toBe(50);
});

test("HEAD, 204 and 304 come without a body and leave the client's connection usable", async () => {
  serve = (request, response) => {
    if (request.url === "/304") response.writeHead(304, { etag: '"1"' });
    else if (request.url === "/204") response.writeHead(204);
    else response.writeHead(200, { "content-length": "5" });
    response.end(request.method === "HEAD" || request.url !== "/" ? undefined : "hello");
  };
  const head = await ask(edge, "/", { method: "HEAD" });
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "5", 0]);
  expect((await ask(edge, "/204", { method: "DELETE" })).status).toBe(204);
  expect((await ask(edge, "/304")).headers.etag).toBe('"1"');
});

test("an upload beyond the limit is 413, by its declared length or during the transfer", async () => {
  let reached = 0;
  serve = (request, response) => {
    reached += 1;
    request.on("error", () => {});
    void bodyOf(request).then(
      () => response.end(),
      () => {},
    );
  };
  const body = Buffer.alloc(6_000_001);
  const declared = await ask(edge, "/", { method: "POST", body, headers: { "content-length": String(body.length) } });
  expect(declared.status).toBe(413);
  expect(declared.body.toString()).toContain("413 Request Entity Too Large");
  expect(reached).toBe(0);
  const chunked = await ask(edge, "/", { method: "POST", body, headers: { "transfer-encoding": "chunked" } });
  expect(chunked.status).toBe(413);
});

test("silence before the headers is 524, silence after them cuts the answer, and every byte restarts the time limit", async () => {
  const cancelled = new Promise<void>((resolve) => {
    serve = (_request, response) => void response.on("close", () => resolve());
  });
  const late = await ask(edge, "/late");
  expect([late.status, late.body.toString()]).toEqual([524, "error code: 524"]);
  await cancelled;

  serve = (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  };
  await expect(ask(edge, "/silent")).rejects.toThrow();

  serve = (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    let left = 4;
    const timer = setInterval(() => {
      response.write(": ping\n\n");
      left -= 1;
      if (left > 0) return;
      clearInterval(timer);
      response.end();
    }, 600);
  };
  expect((await ask(edge, "/pings")).status).toBe(200);
});

test("no DNS record is 1016, a dead origin 502, and cloudflared's own rule its status", async () => {
  const unknown = await ask(edge, "/", { host: "unknown.example.com" });
  expect([unknown.status, unknown.body.toString()]).toEqual([530, "error code: 1016"]);
  const dead = await ask(edge, "/", { host: "dead.example.com" });
  expect([dead.status, dead.body.toString()]).toEqual([502, "error code: 502"]);
  harness.account.records.set("other.example.com", tunnel);
  expect((await ask(edge, "/", { host: "other.example.com:443" })).status).toBe(404);
});

test("/cdn-cgi/ is the edge's own: trace tells the colo, the rest is not found", async () => {
  serve = (_request, response) => void response.end("origin");
  const trace = await ask(edge, "/cdn-cgi/trace");
  const lines = trace.body.toString().trim().split("\n");
  for (const line of [`h=${HOST}`, "ip=127.0.0.1", "colo=ICN", "loc=KR", "http=http/1.1"])
    expect(lines).toContain(line);
  expect((await ask(edge, "/cdn-cgi/other")).status).toBe(404);
});

test("a GET whose path ends like a file is cached, unless the origin says no-store", async () => {
  let served = 0;
  serve = (request, response) => {
    served += 1;
    if (request.url?.includes("private")) response.setHeader("cache-control", "no-store");
    response.writeHead(request.url?.includes("missing") ? 404 : 200).end(`answer ${served}`);
  };
  const statuses = async (path: string, ask2 = {}) => {
    const answers = [await ask(edge, path, ask2), await ask(edge, path, ask2)];
    return answers.map(({ headers, body }) => `${headers["cf-cache-status"]} ${body.toString()}`);
  };
  expect(await statuses("/%EA%B3%84%EC%95%BD%EC%84%9C.pdf")).toEqual(["MISS answer 1", "HIT answer 1"]);
  expect(await statuses("/missing.docx?x=1")).toEqual(["MISS answer 2", "HIT answer 2"]);
  expect(await statuses("/private.pdf")).toEqual(["BYPASS answer 3", "BYPASS answer 4"]);
  expect(await statuses("/v1/documents?title=a.pdf")).toEqual(["DYNAMIC answer 5", "DYNAMIC answer 6"]);
  expect(await statuses("/a.pdf", { method: "POST" })).toEqual(["DYNAMIC answer 7", "DYNAMIC answer 8"]);
});

test("a new configuration is live without a restart", async () => {
  const before = harness.account.configuration(tunnel)!;
  harness.account.configure(tunnel, [{ hostname: HOST, service: "http_status:418" }, { service: "http_status:404" }]);
  await edge.routed(tunnel);
  expect((await ask(edge, "/")).status).toBe(418);
  harness.account.configure(tunnel, before.config.ingress);
  await edge.routed(tunnel);
  serve = (_request, response) => void response.end("back");
  expect((await ask(edge, "/")).body.toString()).toBe("back");
});
