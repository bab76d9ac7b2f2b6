import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { jsonPieces, sendJson } from "../../../../runtime/relay/http/json-output.ts";
import { portOf } from "../harness.ts";

const values: readonly unknown[] = [
  {},
  [],
  "",
  0,
  null,
  true,
  { a: undefined, b: [1, [], { c: '가\u0000"\\\u2028' }], d: -0.5 },
  "😀".repeat(20_000),
  `a${"😀".repeat(20_000)}`,
  "\ud800".repeat(20_000),
  Array.from({ length: 3000 }, (_, i) => ({ i, text: "x".repeat(i % 50) })),
];

describe("pieces of JSON", () => {
  it.each(values.map((value, at) => [at, value]))("together equal JSON.stringify: value %i", (_at, value) => {
    const pieces = [...jsonPieces(value)];
    expect(pieces.join("")).toBe(JSON.stringify(value));
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(100_000);
  });

  it("write vectors and iterables as arrays, and iterate only as far as consumed", () => {
    const vector = Float32Array.from({ length: 2000 }, (_, i) => i / 7 - 100);
    let made = 0;
    const rows = function* () {
      for (;;) {
        made += 1;
        yield { vector };
      }
    };
    expect([...jsonPieces(vector)].join("")).toBe(JSON.stringify([...vector]));
    const pieces = jsonPieces({ data: rows() });
    for (let i = 0; i < 30; i += 1) pieces.next();
    expect(made).toBeLessThan(10);
  });
});

describe("an answer in JSON", () => {
  const serve = async (value: unknown) => {
    const ended = Promise.withResolvers<void>();
    const server = createServer((_req, res) => void sendJson(res, 201, value).then(ended.resolve, ended.reject));
    onTestFinished(() => void server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: portOf(server), url: `http://127.0.0.1:${portOf(server)}`, ended: ended.promise };
  };

  it("has its length when it is short, and is complete when it is long; HEAD gets no body", async () => {
    for (const value of [{ a: "가" }, { data: Array.from({ length: 20_000 }, (_, i) => `글 ${i}`) }]) {
      const { url } = await serve(value);
      const text = JSON.stringify(value);
      const answer = await fetch(url);
      const length = text.length < 1000 ? String(Buffer.byteLength(text)) : null;
      expect([answer.status, answer.headers.get("content-length")]).toEqual([201, length]);
      expect(await answer.text()).toBe(text);
      const head = await fetch(url, { method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([201, ""]);
    }
  });

  it("is built no faster than it is read, and stops when the client has disconnected", async () => {
    let made = 0;
    const rows = function* () {
      for (let i = 0; i < 100_000; i += 1) {
        made += 1;
        yield "x".repeat(10_000);
      }
    };
    const { port, ended } = await serve(rows());
    const socket = connect(port, "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "readable");
    // Only what both sockets buffer of the gigabyte: it settles and stays.
    let before = -1;
    while (made !== before) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(made).toBeLessThan(10_000);
    socket.destroy();
    await ended;
    expect(made).toBeLessThan(10_000);
  });
});
