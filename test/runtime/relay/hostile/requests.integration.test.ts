/** Requests that no real client sends, from a caller with a valid token: each ends, and leaves nothing behind. */
import { connect } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { CLIENT_ID, post, raw, serverToken, startModel, startTestRelay, type TestRelay } from "../harness.ts";

const PATIENT = { timeout: 20_000, interval: 50 };
const callers = [{ name: "quiet", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }];
const limits = limitsSchema.parse({ chat: 2, bodyMiB: 8, memoryMiB: 64 });
const AUTH = `Host: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n`;
const POST = `POST /v1/chat/completions HTTP/1.1\r\n${AUTH}`;
const CLOSE = "Connection: close\r\n";

const start = async () => {
  const model = await startModel();
  return { model, relay: await startTestRelay(model.url, { callers, limits }) };
};

async function nothingLeft(relay: TestRelay): Promise<void> {
  await vi.waitFor(async () => {
    const text = await (await fetch(`${relay.admin}/metrics`)).text();
    for (const name of ['slm_memory_held_bytes{caller="quiet"}', "slm_open_requests", "slm_open_streams"]) {
      expect(text).toContain(`${name} 0\n`);
    }
    expect(text).toMatch(/slm_requests_in_flight 0\n/);
  }, PATIENT);
  expect((await post(relay, "/v1/chat/completions", { model: "m" })).status).toBe(200);
  expect(relay.lines.filter(({ level }) => level === "error")).toEqual([]);
}

const json = (body: string) => `Content-Length: ${Buffer.byteLength(body)}\r\n${CLOSE}\r\n${body}`;

test.each([
  ["a company named twice", `${POST}Slm-Company: a\r\nSlm-Company: b\r\n${json("{}")}`, /^HTTP\/1.1 (200|400|403)/],
  ["a company under both names", `${POST}Slm-Company: a\r\nX-SLM-COMPANY: b\r\n${json("{}")}`, /^HTTP\/1.1 (200|400)/],
  ["a company of bad percent-encoding", `${POST}sLM-cOMPANY: %E0%A4%A\r\n${json("{}")}`, /^HTTP\/1.1 (200|400)/],
  ["a company of a NUL", `${POST}Slm-Company: %00\r\n${json("{}")}`, /^HTTP\/1.1 (200|400)/],
  ["a company of 8 KiB", `${POST}Slm-Company: ${"%F0%9F%99%82".repeat(680)}\r\n${json("{}")}`, /^HTTP\/1.1 (200|400)/],
  ["HTTP/1.0", `${POST.replace("1.1", "1.0")}${json("{}")}`, /^HTTP\/1.1 200/],
  [
    "HTTP/1.0, chunked",
    `${POST.replace("1.1", "1.0")}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
    /^HTTP\/1.1 \d/,
  ],
  [
    "chunk extensions",
    `${POST}Transfer-Encoding: chunked\r\n${CLOSE}\r\n2;a="b;c"\r\n{}\r\n0;x\r\n\r\n`,
    /^HTTP\/1.1 200/,
  ],
  [
    "long chunk extensions",
    `${POST}Transfer-Encoding: chunked\r\n${CLOSE}\r\n2;${"a".repeat(40_000)}\r\n{}\r\n0\r\n\r\n`,
    /^HTTP\/1.1 4/,
  ],
  [
    "trailers",
    `${POST}Transfer-Encoding: chunked\r\n${CLOSE}\r\n2\r\n{}\r\n0\r\nSlm-Company: b\r\nX: y\r\n\r\n`,
    /^HTTP\/1.1 200/,
  ],
  [
    "many trailers",
    `${POST}Transfer-Encoding: chunked\r\n${CLOSE}\r\n2\r\n{}\r\n0\r\n${"X: y\r\n".repeat(9000)}\r\n`,
    /^HTTP\/1.1 \d/,
  ],
  ["a chunk of 2^64 bytes", `${POST}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n`, /^HTTP\/1.1 400/],
  ["a length of 2^60", `${POST}Content-Length: 1152921504606846976\r\n${CLOSE}\r\n`, /^HTTP\/1.1 413/],
  ["a length of 2^70", `${POST}Content-Length: 1180591620717411303424\r\n${CLOSE}\r\n`, /^HTTP\/1.1 4/],
  ["1e400", `${POST}${json('{"max_tokens":1e400,"keep_alive":1e400}')}`, /^HTTP\/1.1 403/],
  [
    "400 digits",
    `${POST}${json(`{"max_tokens":${"9".repeat(400)},"num_predict":-${"9".repeat(400)}}`)}`,
    /^HTTP\/1.1 200/,
  ],
  ["a bound on the answer below zero", `${POST}${json('{"max_tokens":-1e300}')}`, /^HTTP\/1.1 200/],
  ["escapes in keys", `${POST}${json('{"\\u006bee\\u0070_alive":0}')}`, /^HTTP\/1.1 403/],
  ["keys in two cases", `${POST}${json('{"KEEP_ALIVE":"5m","keep_alive":0}')}`, /^HTTP\/1.1 400/],
  ["the long s in a key", `${POST}${json('{"\u017Ftream":true,"\u212Aeep_alive":0}')}`, /^HTTP\/1.1 403/],
  ["lone surrogates", `${POST}${json('{"\\ud800":"\\udfff\\ud800"}')}`, /^HTTP\/1.1 200/],
  ["__proto__", `${POST}${json('{"__proto__":{"stream":true},"constructor":1}')}`, /^HTTP\/1.1 200/],
  [
    "a wait beyond number range",
    `${POST}Prefer: respond-async, wait=${"9".repeat(400)}\r\n${json('{"model":"m"}')}`,
    /^HTTP\/1.1 [24]/,
  ],
  ["a wait below zero", `${POST}Prefer: respond-async, wait=-1\r\n${json('{"model":"m"}')}`, /^HTTP\/1.1 [24]/],
  [
    "2,000 preferences",
    `${POST}Prefer: ${"wait=1, ".repeat(1800)}respond-async\r\n${json('{"model":"m"}')}`,
    /^HTTP\/1.1 [24]/,
  ],
  ["a key of 8 KiB", `${POST}Idempotency-Key: ${"k".repeat(8000)}\r\n${json("{}")}`, /^HTTP\/1.1 400/],
  ["an unknown expectation", `${POST}Expect: the-unexpected\r\n${json("{}")}`, /^HTTP\/1.1 (200|417)/],
  ["GET with a body", `GET /v1/models HTTP/1.1\r\n${AUTH}${json("{}")}`, /^HTTP\/1.1 200/],
  [
    "an upgrade",
    `GET /v1/models HTTP/1.1\r\n${AUTH}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
    /^HTTP\/1.1 200/,
  ],
  ["an absolute URL as target", `GET http://x/v1/models HTTP/1.1\r\n${AUTH}${CLOSE}\r\n`, /^HTTP\/1.1 (200|404)/],
  ["CONNECT", `CONNECT 127.0.0.1:22 HTTP/1.1\r\n${AUTH}\r\n`, /^(HTTP\/1.1 4|$)/],
])("%s", async (_name, text, expected) => {
  const { relay } = await start();
  const got = await raw(relay.port, text, /^HTTP\/1.1 (?!100)\d+[\s\S]*\r\n\r\n/);
  expect(got).toMatch(expected);
  await nothingLeft(relay);
});

test("pipelined requests are answered in order, and cutting one ends the others", async () => {
  const { relay } = await start();
  const one = (n: number) => `${POST}Content-Length: ${`{"n":${n}}`.length}\r\n\r\n{"n":${n}}`;
  const got = await raw(relay.port, Array.from({ length: 50 }, (_, n) => one(n + 10)).join(""), /"n":59\}/);
  expect([...got.matchAll(/"n":(\d+)/g)].map(([, n]) => Number(n))).toEqual(
    Array.from({ length: 50 }, (_, n) => n + 10),
  );
  const socket = connect(relay.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => {});
  socket.write(Array.from({ length: 500 }, (_, n) => one(n)).join(""), () => socket.destroy());
  await nothingLeft(relay);
});

test("Expect: 100-continue again and again, with no body after it, leaves nothing when the connection ends", async () => {
  const { relay } = await start();
  const sockets = Array.from({ length: 200 }, () => {
    const socket = connect(relay.port, "127.0.0.1");
    socket.on("error", () => {});
    onTestFinished(() => void socket.destroy());
    socket.write(`${POST}Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n`);
    return socket;
  });
  await vi.waitFor(async () => {
    expect(await (await fetch(`${relay.admin}/metrics`)).text()).toContain("slm_open_requests 200\n");
  }, PATIENT);
  for (const socket of sockets) socket.destroy();
  await nothingLeft(relay);
});

test.each([
  ["several ranges", "Range: bytes=0-0,5-6,-1"],
  ["an open range", "Range: bytes=0-"],
  ["2,000 entity tags", `If-None-Match: ${'"a",'.repeat(2000)}"b"`],
  ["If-Range", "If-Range: x\r\nRange: bytes=1-2"],
])("a stored result is given whole or not at all for %s", async (_name, header) => {
  const { relay } = await start();
  const done = await post(
    relay,
    "/v1/chat/completions",
    { model: "m", text: "x".repeat(100_000) },
    {
      headers: { Prefer: "respond-async, wait=30" },
    },
  );
  await done.arrayBuffer();
  const path = `${done.headers.get("location")}/result`;
  for (const method of ["GET", "HEAD"]) {
    const got = await raw(
      relay.port,
      `${method} ${path} HTTP/1.1\r\n${AUTH}${header.slice(0, 12_000)}\r\n${CLOSE}\r\n`,
    );
    expect(got).toMatch(/^HTTP\/1.1 (200|206|304|416)/);
    expect(got.length).toBeLessThan(120_000);
  }
  await nothingLeft(relay);
});
