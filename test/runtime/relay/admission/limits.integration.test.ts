import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { raw, rawGet, serverToken, startModel, startTestRelay } from "../harness.ts";

const head = (more: string) =>
  `POST /api/chat HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n${more}`;

test.each([
  [
    "both Content-Length and Transfer-Encoding",
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
  ],
  ["two Content-Lengths", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"],
  ["a folded header", "X-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}"],
  ["a space before the colon", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"],
  ["a chunk size that is none", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"],
  ["a chunk size with a sign", "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n"],
  ["a chunk longer than its size", "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"],
  ["a transfer coding after chunked", "Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n"],
  ["a Content-Length with a sign", "Content-Length: +2\r\n\r\n{}"],
])("request smuggling by %s gets 400, and nothing reaches the model server", async (_name, text) => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const answer = await raw(relay.port, head(text));
  expect(answer).toMatch(/^HTTP\/1\.1 400 .*"code":"http_malformed"/s);
  expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
  expect(model.seen).toEqual([]);
});

test("headers over 40 KiB get 431; smaller ones pass", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const ask = (bytes: number) =>
    raw(relay.port, `GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ${"y".repeat(bytes)}\r\n\r\n`);
  expect(await ask(40 * 1024)).toMatch(/^HTTP\/1\.1 431 .*"code":"headers_too_large"/s);
  expect(await ask(39 * 1024)).toMatch(/^HTTP\/1\.1 200 /);
});

test("headers over 40 KiB get 431 on a connection that is in use already, each time, and the log has its id", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const ask = `GET /api/version HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n`;
  for (let time = 0; time < 3; time += 1) {
    const socket = connect(relay.port, "127.0.0.1").setEncoding("latin1");
    let got = "";
    socket.on("data", (text: string) => {
      got += text;
    });
    socket.write(`${ask}\r\n`);
    await expect.poll(() => got).toMatch(/^HTTP\/1\.1 200 /);
    await expect.poll(() => relay.lines.filter(({ status }) => status === 200).length).toBe(time + 1);
    got = "";
    socket.write(`${ask}X: ${"y".repeat(50_000)}\r\n\r\n`);
    await expect.poll(() => got).toMatch(/^HTTP\/1\.1 431 .*"code":"headers_too_large"/s);
    const id = /x-slm-request-id: (\S+)/i.exec(got)![1];
    await expect
      .poll(() => relay.lines.find((line) => line.id === id))
      .toMatchObject({
        status: 431,
        code: "headers_too_large",
      });
    socket.destroy();
  }
});

test("what cannot be parsed after a response has begun cuts the connection: it must not become part of that response", async () => {
  const model = await startModel((_seen, res) => void res.writeHead(200).write("begun"));
  const relay = await startTestRelay(model.url);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n`;
  const socket = connect(relay.port, "127.0.0.1").setEncoding("latin1");
  let got = "";
  socket.on("data", (text: string) => {
    got += text;
  });
  const closed = once(socket, "close");
  socket.write(`${head}Content-Length: 2\r\n\r\n{}`);
  await expect.poll(() => got).toContain("begun");
  socket.write(`GET / HTTP/1.1\r\nX: ${"y".repeat(50_000)}\r\n\r\n`);
  await closed;
  expect(got).not.toContain("431");
});

test("a body that arrives too slowly gets 408, and a new connection works", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url, {}, { pace: { bytes: 8, ms: 200, bytesPerSecond: 0 } });
  const slow = await raw(relay.port, head('Content-Length: 100\r\n\r\n{"a":'), /request_timeout/);
  expect(slow).toMatch(/^HTTP\/1\.1 408 /);
  expect(model.seen).toEqual([]);
  expect((await rawGet(relay.port, "/api/version")).status).toBe(200);
});

test("incomplete headers get 408, and the connection is closed", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url, {}, { pace: { bytes: 8, ms: 600, bytesPerSecond: 0 } });
  const slow = await raw(relay.port, "POST /v1/chat/completions HTTP/1.1\r\nHost: slm\r\nX-Slow: ", /request_timeout/);
  expect(slow).toMatch(/^HTTP\/1\.1 408 /);
  expect(slow).toMatch(/Connection: close/i);
  expect(slow).toContain("did not arrive within 0.6 s");
  expect(await (await fetch(`http://127.0.0.1:${relay.port}/healthz`)).text()).toBe("ok\n");
});

test("a long upload passes while it keeps the minimum rate", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url, {}, { pace: { bytes: 1, ms: 1000, bytesPerSecond: 0 } });
  const socket = connect(relay.port, "127.0.0.1").setEncoding("latin1");
  let answer = "";
  socket.on("data", (text) => {
    answer += String(text);
  });
  const closed = once(socket, "close");
  const body = '{"a":1,"b":2,"c":3}';
  socket.write(head(`Content-Length: ${body.length}\r\n\r\n`));
  for (const letter of body) {
    socket.write(letter);
    await wait(150);
  }
  await closed;
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(model.seen[0]?.body.toString()).toBe(body);
});
