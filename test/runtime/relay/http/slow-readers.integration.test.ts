/** Callers that read answers of direct calls slowly, or not at all: the resources they hold, and for how long. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { KEEP_ALIVE_TIMES } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { CLIENT_ID, post, serverToken, startModel, startTestRelay, type TestRelay, token } from "../harness.ts";

const MIB = 1024 * 1024;
const PATIENT = { timeout: 20_000, interval: 50 };
const GREEDY = "00000000000000000000000000000000.access";
const greedyToken = await token({ common_name: GREEDY });
const callers = [
  { name: "greedy", clientId: GREEDY, companies: ["*"], weight: 1, enabled: true },
  { name: "quiet", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
];
const limits = limitsSchema.parse({ chat: 2, bodyMiB: 8, memoryMiB: 256 });

/** A model server whose answer is `bytes` long for the greedy caller, sent as fast as it is taken, and short for others. */
function startLargeModel(bytes: number, type = "text/event-stream") {
  return startModel(({ body }, res) => {
    if (!body.includes("large")) return void res.end("short");
    res.writeHead(200, { "Content-Type": type });
    const piece = Buffer.from(`data: ${"x".repeat(64 * 1024 - 8)}\n\n`);
    let left = bytes;
    const more = () => {
      while (left > 0 && !res.destroyed) {
        left -= piece.length;
        if (!res.write(piece)) return void res.once("drain", more);
      }
      res.end();
    };
    more();
  });
}

/** Requests a large answer and reads only its beginning. */
async function ask(relay: TestRelay, path = "/v1/chat/completions", auth = greedyToken): Promise<Socket> {
  const socket = connect(relay.port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  const body = '{"model":"large"}';
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${auth}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  await once(socket, "readable");
  return socket;
}

/** Reads a little now and then, so that the answer never stalls for long. Returns what ends it. */
function trickle(socket: Socket, bytes: number): () => void {
  const timer = setInterval(() => void socket.read(Math.min(bytes, socket.readableLength)), 20);
  onTestFinished(() => clearInterval(timer));
  return () => clearInterval(timer);
}

const running = async (relay: TestRelay) =>
  ((await (await fetch(`${relay.admin}/details`)).json()) as { lanes: { chat: { running: number } } }).lanes.chat
    .running;

async function gauge(relay: TestRelay, name: string): Promise<number> {
  const text = await (await fetch(`${relay.admin}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

test("an unread answer does not hold its slot: it is buffered in its caller's memory", {
  timeout: 60_000,
}, async () => {
  const model = await startLargeModel(24 * MIB);
  const relay = await startTestRelay(model.url, { callers, limits }); // cut after 60 s at the earliest
  const sockets = [await ask(relay), await ask(relay)];
  await vi.waitFor(async () => expect(await running(relay)).toBe(0), PATIENT);
  const held = await gauge(relay, "slm_memory_held_bytes");
  expect(held).toBeGreaterThan(24 * MIB); // less what the sockets buffer
  expect(held).toBeLessThan(50 * MIB);
  expect(await (await post(relay, "/v1/chat/completions", { model: "m" })).text()).toBe("short");
  // The buffered answer is complete when it is read after all.
  let got = 0;
  const [socket] = sockets as [Socket, Socket];
  const ended = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      got += chunk.length;
      if (chunk.subarray(-5).toString("latin1") === "0\r\n\r\n") resolve();
    });
  });
  await ended;
  expect(got).toBeGreaterThanOrEqual(24 * MIB);
  for (const one of sockets) one.destroy();
  await vi.waitFor(async () => expect(await gauge(relay, "slm_memory_held_bytes")).toBe(0), PATIENT);
});

test("a slow trickle holds a slot for pauseMs in total, once no more can be buffered", {
  timeout: 60_000,
}, async () => {
  const model = await startLargeModel(512 * MIB);
  const relay = await startTestRelay(
    model.url,
    { callers, limits },
    { keepAlive: { ...KEEP_ALIVE_TIMES, everyMs: 100, pauseMs: 500 } },
  );
  const sockets = [await ask(relay), await ask(relay)];
  for (const socket of sockets) trickle(socket, 64 * 1024);
  const other = post(relay, "/v1/chat/completions", { model: "m" });
  expect(await (await other).text()).toBe("short");
  await vi.waitFor(async () => expect(await running(relay)).toBe(0), PATIENT);
  await vi.waitFor(async () => expect(await gauge(relay, "slm_memory_held_bytes")).toBe(0), PATIENT);
});

test("a caller whose memory is used up holds its slots no longer", { timeout: 60_000 }, async () => {
  const model = await startLargeModel(31 * MIB);
  const small = limitsSchema.parse({ chat: 2, bodyMiB: 8, memoryMiB: 64 });
  const relay = await startTestRelay(
    model.url,
    { callers, limits: small },
    { keepAlive: { ...KEEP_ALIVE_TIMES, everyMs: 100, pauseMs: 500 } },
  );
  await Promise.all([ask(relay), ask(relay)]);
  expect(await gauge(relay, "slm_memory_held_bytes")).toBeLessThanOrEqual(42 * MIB);
  expect(await (await post(relay, "/v1/chat/completions", { model: "m" })).text()).toBe("short");
  await vi.waitFor(async () => expect(await running(relay)).toBe(0), PATIENT);
});

test("a steady reader that is slower than the model server gets the whole stream", {
  timeout: 60_000,
}, async () => {
  const model = await startLargeModel(20 * MIB);
  const relay = await startTestRelay(
    model.url,
    { callers, limits },
    { keepAlive: { ...KEEP_ALIVE_TIMES, everyMs: 100, stallMs: 5000, pauseMs: 1 } },
  );
  const socket = await ask(relay, "/v1/chat/completions", serverToken);
  await vi.waitFor(async () => expect(await running(relay)).toBe(0), PATIENT);
  let got = 0;
  for (let whole = false; !whole; ) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) await once(socket, "readable");
    else {
      got += chunk.length;
      whole = chunk.subarray(-5).toString("latin1") === "0\r\n\r\n";
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  expect(got).toBeGreaterThanOrEqual(20 * MIB);
});

test("calls without a slot are bounded, and never take the connection of one with a slot", {
  timeout: 60_000,
}, async () => {
  const held: (() => void)[] = [];
  const model = await startModel(({ url, body }, res) => {
    if (url === "/api/show") held.push(() => res.end("{}"));
    else res.end(body);
  });
  const relay = await startTestRelay(model.url, { callers, limits });
  const greedy = { "Cf-Access-Jwt-Assertion": greedyToken };
  const stop = new AbortController();
  const statuses: number[] = [];
  for (let n = 0; n < 300; n += 1) {
    post(relay, "/api/show", { model: "m" }, { headers: greedy, signal: stop.signal }).then(
      ({ status }) => statuses.push(status),
      () => {},
    );
  }
  await vi.waitFor(() => expect(held.length + statuses.length).toBe(300), PATIENT);
  expect(held.length).toBe(48); // three quarters of the total
  expect(new Set(statuses)).toEqual(new Set([429]));
  expect((await post(relay, "/v1/chat/completions", { model: "m" })).status).toBe(200);
  const show = post(relay, "/api/show", { model: "m" });
  await vi.waitFor(() => expect(held.length).toBe(49), PATIENT);
  for (const answer of held) answer();
  expect((await show).status).toBe(200);
  stop.abort();
  await vi.waitFor(async () => expect(await gauge(relay, "slm_open_requests")).toBe(0), PATIENT);
  const again = post(relay, "/api/show", { model: "m" }, { headers: greedy });
  await vi.waitFor(() => expect(held.length).toBe(50), PATIENT);
  held.at(-1)!();
  expect((await again).status).toBe(200);
});
