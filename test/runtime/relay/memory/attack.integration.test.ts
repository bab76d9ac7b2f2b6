/** What callers with valid tokens hold of the relay, and what is left for the others. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createLocalJWKSet } from "jose";
import { expect, onTestFinished, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { KEEP_ALIVE_TIMES } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { MAX_PAGE_STREAMS_PER_PERSON, MAX_STREAMS_PER_CALLER } from "../../../../runtime/relay/memory/holdings.ts";
import { startEmbeddingModel } from "../documents/model.ts";
import {
  CLIENT_ID,
  codeOf,
  jwks,
  personToken,
  post,
  raw,
  startModel,
  startTestRelay,
  type TestRelay,
  token,
} from "../harness.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const MIB = 1024 * 1024;
const GREEDY = "00000000000000000000000000000000.access";
const QUIET = CLIENT_ID;
const greedyToken = await token({ common_name: GREEDY });
const asGreedy = { "Cf-Access-Jwt-Assertion": greedyToken };
const twoCallers = [
  { name: "greedy", clientId: GREEDY, companies: ["*"], weight: 1, enabled: true },
  { name: "quiet", clientId: QUIET, companies: ["*"], weight: 1, enabled: true },
];
const chat = { model: "m", messages: [{ role: "user", content: "hi" }] };

async function start(changes: Parameters<typeof startTestRelay>[1] = {}, options = {}): Promise<TestRelay> {
  const model = await startModel();
  const limits = limitsSchema.parse({ bodyMiB: 8, memoryMiB: 64 });
  return startTestRelay(model.url, { callers: twoCallers, limits, ...changes }, options);
}

/** A POST whose body is announced, or chunked without a length, and does not come. */
function upload(relay: TestRelay, length: number | undefined, auth = greedyToken): Socket {
  const socket = connect(relay.port, "127.0.0.1");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  const framing = length === undefined ? "Transfer-Encoding: chunked" : `Content-Length: ${length}`;
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${auth}\r\n${framing}\r\n\r\n`,
  );
  return socket;
}

/** The start of what the relay says on a socket. */
async function said(socket: Socket): Promise<string> {
  const [data] = (await once(socket, "data")) as [Buffer];
  return data.toString();
}

async function gauge(relay: TestRelay, name: string): Promise<number> {
  const text = await (await fetch(`${relay.admin}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
  if (values.length === 0) expect.fail(`there is no ${name}`);
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

const settled = (relay: TestRelay, name: string, is: (value: number) => boolean) =>
  vi.waitFor(async () => expect(await gauge(relay, name)).toSatisfy(is), { timeout: 20_000, interval: 50 });

test("slow uploads of one caller are refused beyond its share, by their length and before they arrive; the other is served", async () => {
  const relay = await start();
  const capacity = await gauge(relay, "slm_memory_budget_bytes");
  expect(capacity).toBe(56 * MIB);
  const fit = Math.floor((capacity * 0.75) / (7 * MIB));
  const sockets = Array.from({ length: fit + 4 }, () => upload(relay, 7 * MIB));
  const refused = await Promise.all(
    sockets.map((socket) =>
      Promise.race([said(socket), settled(relay, "slm_memory_held_bytes", (held) => held === fit * 7 * MIB)]),
    ),
  );
  const texts = refused.filter((one): one is string => typeof one === "string");
  for (const text of texts) expect(text).toMatch(/^HTTP\/1\.1 429 .*Retry-After: 5.*"memory_share_full"/s);
  await settled(relay, "slm_memory_held_bytes", (held) => held === fit * 7 * MIB);
  const small = await post(relay, "/v1/chat/completions", chat);
  expect([small.status, (await small.arrayBuffer()).byteLength]).toEqual([200, JSON.stringify(chat).length]);
  const large = { ...chat, text: "x".repeat(6 * MIB) };
  const served = await post(relay, "/v1/chat/completions", large);
  expect([served.status, (await served.arrayBuffer()).byteLength]).toEqual([200, JSON.stringify(large).length]);
  for (const socket of sockets) socket.destroy();
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
  await settled(relay, "slm_open_requests", (open) => open === 0);
});

test("a body without a length is charged as it arrives, and refused when its caller's share is used up", async () => {
  const relay = await start();
  const sockets = Array.from({ length: 6 }, () => upload(relay, undefined));
  const piece = Buffer.alloc(64 * 1024, "x");
  const chunk = Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]);
  const answers = sockets.map(said);
  for (const socket of sockets) for (let n = 0; n < (7 * MIB) / piece.length; n += 1) socket.write(chunk);
  expect(await Promise.race(answers)).toMatch(/429 .*"memory_share_full"/s);
  const served = await post(relay, "/v1/chat/completions", { ...chat, text: "x".repeat(3 * MIB) });
  expect([served.status, (await served.arrayBuffer()).byteLength > 3 * MIB]).toEqual([200, true]);
  for (const socket of sockets) socket.destroy();
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
});

test("a caller above its guaranteed part gets 503 when all callers together hold everything", async () => {
  const relay = await start();
  const quietToken = await token();
  const sockets = [...Array.from({ length: 6 }, () => upload(relay, 7 * MIB)), upload(relay, 7 * MIB, quietToken)];
  await settled(relay, "slm_memory_held_bytes", (held) => held === 49 * MIB);
  const more = [upload(relay, 6 * MIB, quietToken), upload(relay, 4 * MIB, quietToken)];
  expect(await Promise.race(more.map(said))).toMatch(/503 .*Retry-After: 5.*"memory_full"/s);
  for (const socket of [...sockets, ...more]) socket.destroy();
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
});

test("a request of a client that left as soon as its body had been sent is not kept", async () => {
  const relay = await start({}, { keepAlive: KEEP_ALIVE_TIMES });
  const heldMiB = () => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers / MIB;
  };
  const before = heldMiB();
  const body = Buffer.from(JSON.stringify({ ...chat, text: "x".repeat(7 * MIB) }));
  for (let round = 0; round < 24; round += 1) {
    const socket = upload(relay, body.length);
    await new Promise((written) => socket.write(body, written));
    socket.destroy();
    await settled(relay, "slm_open_requests", (open) => open === 0);
  }
  expect(relay.lines.filter(({ bodyBytes }) => bodyBytes === body.length).length).toBeGreaterThan(6);
  await vi.waitFor(() => expect(heldMiB() - before).toBeLessThan(14), { timeout: 5000, interval: 100 });
  expect(await gauge(relay, "slm_memory_held_bytes")).toBe(0);
});

test("a client that left while its token was checked holds nothing, and is counted off once", async () => {
  const gate = Promise.withResolvers<void>();
  const keys = createLocalJWKSet(jwks);
  const relay = await start(
    { callers: [...twoCallers] },
    {
      keys: async (...args: Parameters<typeof keys>) => {
        await gate.promise;
        return keys(...args);
      },
    },
  );
  const leave = async (path: string, auth: string) => {
    const socket = connect(relay.port, "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nHost: slm.example.com\r\nCf-Access-Jwt-Assertion: ${auth}\r\n\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
  };
  for (let count = 0; count < MAX_PAGE_STREAMS_PER_PERSON; count += 1) await leave("/status/events", personToken);
  for (let count = 0; count < 5; count += 1) await leave("/v1/jobs", greedyToken);
  await vi.waitFor(() => expect(relay.lines.filter(({ status }) => status === 499)).toHaveLength(13), 5000);
  gate.resolve();
  const events = await fetch(`${relay.url}/status/events`, { headers: { "Cf-Access-Jwt-Assertion": personToken } });
  expect(events.status).toBe(200);
  await events.body?.cancel();
  const waiting = upload(relay, MIB);
  await settled(relay, "slm_open_requests", (open) => open === 1);
  waiting.destroy();
  await settled(relay, "slm_open_requests", (open) => open === 0);
});

test("a slow upload is ended, even if each period brings enough bytes", async () => {
  const relay = await start({}, { pace: { bytes: 1, ms: 200, bytesPerSecond: 10_000_000 } });
  const socket = upload(relay, 7 * MIB);
  const trickle = setInterval(() => socket.write("x".repeat(100)), 20);
  try {
    expect(await said(socket)).toMatch(/408 .*a second on average.*"request_timeout"/s);
  } finally {
    clearInterval(trickle);
  }
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
});

test("however requests end, everything they held is freed", { timeout: 60_000 }, async () => {
  const relay = await start();
  let state = 42;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % below;
  };
  const one = async (): Promise<void> => {
    const body = JSON.stringify({ ...chat, text: "x".repeat(random(2 * MIB)) });
    const kind = random(6);
    if (kind === 0) {
      const socket = upload(relay, body.length);
      socket.write(body.slice(0, random(body.length)));
      await new Promise((resolve) => setTimeout(resolve, random(20)));
      socket.destroy();
      return;
    }
    const key = { "Idempotency-Key": `k${random(20)}` };
    const headers: Record<string, string> = { ...asGreedy, "Content-Type": "application/json" };
    if (kind === 1) Object.assign(headers, key);
    if (kind === 2) Object.assign(headers, key, { Prefer: "respond-async" });
    if (kind === 3) Object.assign(headers, { Prefer: "respond-async, wait=1" });
    if (kind === 4) headers["Content-Encoding"] = "gzip";
    const path = kind === 5 ? "/v1/documents?company=a&title=b" : "/v1/chat/completions";
    const signal = random(2) === 0 ? AbortSignal.timeout(random(60)) : AbortSignal.timeout(30_000);
    const init = { method: kind === 5 ? "PUT" : "POST", headers, body, signal };
    await fetch(relay.url + path, init)
      .then((answer) => answer.arrayBuffer())
      .catch(() => {});
  };
  for (let round = 0; round < 12; round += 1) await Promise.all(Array.from({ length: 12 }, one));
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
  await settled(relay, "slm_open_requests", (open) => open === 0);
  await settled(relay, "slm_open_streams", (open) => open === 0);
});

test("event streams and waits are limited per caller", {
  timeout: 60_000,
}, async () => {
  const model = await startModel((_seen, _res) => {}); // never answers
  const limits = limitsSchema.parse({ bodyMiB: 8, memoryMiB: 64 });
  const relay = await startTestRelay(model.url, { callers: twoCallers, limits });
  const stop = new AbortController();
  const submit = async (headers: Record<string, string>) => {
    const response = await post(relay, "/v1/chat/completions", chat, {
      headers: { Prefer: "respond-async", ...headers },
    });
    return ((await response.json()) as { id: string }).id;
  };
  const id = await submit(asGreedy);
  const follow = (headers: Record<string, string>, job = id) =>
    fetch(`${relay.url}/v1/jobs/${job}/events`, { headers, signal: stop.signal });
  const open = await Promise.all(Array.from({ length: MAX_STREAMS_PER_CALLER - 1 }, () => follow(asGreedy)));
  expect(new Set(open.map(({ status }) => status))).toEqual(new Set([200]));
  const wait = fetch(`${relay.url}/v1/jobs/${id}`, {
    headers: { ...asGreedy, Prefer: "wait=50" },
    signal: stop.signal,
  });
  wait.catch(() => {});
  await settled(relay, "slm_open_streams", (streams) => streams === MAX_STREAMS_PER_CALLER);
  for (const refused of [
    await follow(asGreedy),
    await fetch(`${relay.url}/v1/jobs/${id}`, { headers: { ...asGreedy, Prefer: "wait=50" } }),
  ]) {
    expect([refused.status, refused.headers.get("retry-after"), await codeOf(refused)]).toEqual([
      429,
      "5",
      "too_many_streams",
    ]);
  }
  const quiet = { "Cf-Access-Jwt-Assertion": await token() };
  expect((await follow(quiet, await submit(quiet))).status).toBe(200);
  stop.abort();
  await settled(relay, "slm_open_streams", (streams) => streams === 0);
});

test("a client that reads nothing is cut, for every kind of response", { timeout: 60_000 }, async () => {
  const model = await startModel((_seen, res) => res.writeHead(200).end(Buffer.alloc(20 * MIB, "y")));
  const relay = await startTestRelay(
    model.url,
    { callers: twoCallers, limits: limitsSchema.parse({ bodyMiB: 8, memoryMiB: 64 }) },
    { keepAlive: { ...KEEP_ALIVE_TIMES, stallMs: 1000 } },
  );
  const headers = { ...asGreedy, Prefer: "respond-async, wait=30" };
  const done = await post(relay, "/v1/chat/completions", chat, { headers });
  expect((await done.arrayBuffer()).byteLength).toBe(20 * MIB);
  const job = done.headers.get("location")!;
  const socket = connect(relay.port, "127.0.0.1");
  socket.pause();
  socket.write(`GET ${job}/result HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${greedyToken}\r\n\r\n`);
  await settled(relay, "slm_open_requests", (open) => open === 1);
  await settled(relay, "slm_open_requests", (open) => open === 0);
  expect(await gauge(relay, "slm_memory_held_bytes")).toBe(0);
  socket.destroy();
  // One that only waits for a slow model is not.
  const late = await startModel((_seen, res) => void setTimeout(() => res.end("late"), 2500));
  const other = await startTestRelay(late.url, {}, { keepAlive: { ...KEEP_ALIVE_TIMES, stallMs: 500 } });
  expect(await (await post(other, "/v1/chat/completions", chat)).text()).toBe("late");
});

test("many large results at once take one chunk of memory each", { timeout: 60_000 }, async () => {
  const model = await startModel((_seen, res) => res.writeHead(200).end(Buffer.alloc(12 * MIB, "y")));
  const relay = await startTestRelay(model.url, {
    callers: twoCallers,
    limits: limitsSchema.parse({ bodyMiB: 8, memoryMiB: 64 }),
  });
  const headers = { ...asGreedy, Prefer: "respond-async, wait=30" };
  const done = await post(relay, "/v1/chat/completions", chat, { headers });
  await done.arrayBuffer();
  const job = done.headers.get("location")!;
  const sockets = Array.from({ length: 64 }, () => {
    const socket = connect(relay.port, "127.0.0.1").pause();
    socket.on("error", () => {});
    socket.write(`GET ${job}/result HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${greedyToken}\r\n\r\n`);
    return socket;
  });
  await settled(relay, "slm_memory_held_bytes", (held) => held === 64 * 512 * 1024);
  const quiet = await post(relay, "/v1/chat/completions", chat);
  expect([quiet.status, (await quiet.arrayBuffer()).byteLength]).toEqual([200, 12 * MIB]);
  for (const socket of sockets) socket.destroy();
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
  const head = await fetch(`${relay.url}${job}/result`, { method: "HEAD", headers: asGreedy });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, String(12 * MIB)]);
});

test("stored documents being sent to one caller are limited by its share", { timeout: 60_000 }, async () => {
  const embedding = await startEmbeddingModel();
  const limits = limitsSchema.parse({ bodyMiB: 12, memoryMiB: 128 });
  const relay = await startTestRelay(embedding.url, { callers: twoCallers, limits });
  const address = "/v1/documents?company=a&title=b";
  const body = JSON.stringify({ chunks: ["x".repeat(11.5 * MIB)] });
  const stored = await fetch(relay.url + address, { method: "PUT", headers: asGreedy, body });
  expect([stored.status, (await stored.text()).includes('"stored":true')]).toEqual([201, true]);
  const sockets = Array.from({ length: 24 }, () => {
    const socket = connect(relay.port, "127.0.0.1");
    socket.on("error", () => {});
    const head = `Host: x\r\nCf-Access-Jwt-Assertion: ${greedyToken}\r\n\r\n`;
    socket.write(`GET ${address}&include=chunks HTTP/1.1\r\n${head}`);
    const first = said(socket).then((text) => {
      socket.pause();
      return text;
    });
    return { socket, first };
  });
  const answers = await Promise.all(sockets.map(({ first }) => first));
  const refused = answers.filter((answer) => answer.startsWith("HTTP/1.1 429"));
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.length).toBeLessThan(24);
  expect(await gauge(relay, "slm_memory_held_bytes")).toBeLessThanOrEqual(84 * MIB);
  const quiet = { "Cf-Access-Jwt-Assertion": await token() };
  const read = await fetch(`${relay.url}${address}&include=chunks`, { headers: quiet });
  expect([read.status, (await read.arrayBuffer()).byteLength > 11 * MIB]).toEqual([200, true]);
  for (const { socket } of sockets) socket.destroy();
  await settled(relay, "slm_memory_held_bytes", (held) => held === 0);
});

test("open requests are limited per caller, however little they hold", async () => {
  const relay = await start({}, { openRequests: 16 });
  const sockets = Array.from({ length: 13 }, () => upload(relay, 5));
  expect(await Promise.race(sockets.map(said))).toMatch(/429 .*"too_many_requests"/s);
  expect((await post(relay, "/v1/chat/completions", chat)).status).toBe(200);
  const answer = await raw(relay.port, `GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  expect(answer).toMatch(/403/); // what Access does not vouch for never counts
  for (const socket of sockets) socket.destroy();
  await settled(relay, "slm_open_requests", (open) => open === 0);
});
