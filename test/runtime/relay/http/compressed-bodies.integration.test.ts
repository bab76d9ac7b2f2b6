/** Request bodies with a Content-Encoding: decoded, with the bounds of the decoded bytes. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { CLIENT_ID, codeOf, post, raw, serverToken, startModel, startTestRelay, type TestRelay } from "../harness.ts";

const callers = [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }];
const limits = limitsSchema.parse({ chat: 2, bodyMiB: 8, memoryMiB: 64 });
const MIB = 1024 * 1024;
const COMPRESS = { gzip: gzipSync, "x-gzip": gzipSync, GZIP: gzipSync, zstd: zstdCompressSync } as const;

const start = async () => {
  const model = await startModel();
  return { model, relay: await startTestRelay(model.url, { callers, limits }) };
};
const chat = (words: string) => JSON.stringify({ model: "m", messages: [{ role: "user", content: words }] });

async function nothingHeld(relay: TestRelay): Promise<void> {
  await vi.waitFor(
    async () => {
      const text = await (await fetch(`${relay.admin}/metrics`)).text();
      expect(text).toContain('slm_memory_held_bytes{caller="backend"} 0\n');
      expect(text).toMatch(/slm_requests_in_flight 0\n/);
    },
    { timeout: 20_000 },
  );
}

test.each(Object.keys(COMPRESS) as (keyof typeof COMPRESS)[])(
  "%s: the model server gets it decoded",
  async (encoding) => {
    const { model, relay } = await start();
    const body = chat("계약서를 요약해 줘. ".repeat(20_000));
    const response = await post(relay, "/v1/chat/completions", COMPRESS[encoding](body), {
      headers: { "Content-Encoding": encoding },
    });
    expect([response.status, await response.text()]).toEqual([200, body]);
    expect(model.seen[0]!.headers["content-encoding"]).toBeUndefined();
    await nothingHeld(relay);
  },
);

test("without a length, and in small pieces", async () => {
  const { model, relay } = await start();
  const body = chat("가".repeat(1000));
  const bytes = gzipSync(body);
  const chunks = Array.from(bytes, (byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join("");
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n`;
  const socketText = `${head}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`;
  expect(await raw(relay.port, Buffer.from(socketText, "latin1"))).toMatch(/^HTTP\/1\.1 200/);
  expect(model.seen[0]!.body.toString()).toBe(body);
});

test.each(["gzip", "zstd"] as const)("a %s bomb is 413, and leaves nothing behind", async (encoding) => {
  const { model, relay } = await start();
  const bomb = COMPRESS[encoding](Buffer.alloc(512 * MIB, 32));
  expect(bomb.length).toBeLessThan(MIB);
  const response = await post(relay, "/v1/chat/completions", bomb, { headers: { "Content-Encoding": encoding } });
  expect(`${response.status} ${await codeOf(response)}`).toBe("413 body_too_large");
  expect(model.seen).toEqual([]);
  await nothingHeld(relay);
  expect((await post(relay, "/v1/chat/completions", chat("hi"))).status).toBe(200);
});

test("its decoded bytes count in the caller's share of memory", async () => {
  const model = await startModel(() => {}); // never answers
  const relay = await startTestRelay(model.url, { callers, limits });
  const abort = new AbortController();
  const body = gzipSync(chat("a".repeat(7 * MIB)));
  const init = { headers: { "Content-Encoding": "gzip" }, signal: abort.signal };
  const one = post(relay, "/v1/chat/completions", body, init).catch(() => {});
  await expect.poll(() => model.seen.length, { timeout: 20_000 }).toBe(1);
  const held = async () => {
    const text = await (await fetch(`${relay.admin}/metrics`)).text();
    return Number(/slm_memory_held_bytes\{caller="backend"\} (\d+)/.exec(text)?.[1]);
  };
  expect(await held()).toBeGreaterThanOrEqual(7 * MIB);
  abort.abort();
  await one;
  await nothingHeld(relay);
});

test.each([
  ["cut off", (body: Buffer) => body.subarray(0, body.length - 12), "400 encoding_invalid"],
  [
    "damaged",
    (body: Buffer) => Buffer.concat([body.subarray(0, 12), Buffer.alloc(8, 255), body.subarray(20)]),
    "400 encoding_invalid",
  ],
  ["empty", () => Buffer.alloc(0), "400 encoding_invalid"],
])("one that is %s is refused", async (_what, change, expected) => {
  const { model, relay } = await start();
  for (const encoding of ["gzip", "zstd"] as const) {
    const random = Buffer.from(Array.from({ length: 3000 }, (_, n) => (n * 7919) % 251));
    const body = change(COMPRESS[encoding](chat(random.toString("base64"))));
    const response = await post(relay, "/v1/chat/completions", body, { headers: { "Content-Encoding": encoding } });
    expect(`${encoding} ${response.status} ${await codeOf(response)}`).toBe(`${encoding} ${expected}`);
  }
  expect(model.seen).toEqual([]);
  await nothingHeld(relay);
});

test("a zstd frame with a window over 8 MiB is refused before it takes the memory", async () => {
  const { relay } = await start();
  // Magic number, no flags, a window of 128 MiB, one last empty raw block. RFC 8878, section 3.1.1.
  const frame = Buffer.from("28b52ffd0088010000", "hex");
  const response = await post(relay, "/v1/chat/completions", frame, { headers: { "Content-Encoding": "zstd" } });
  expect(`${response.status} ${await codeOf(response)}`).toBe("400 encoding_invalid");
  await nothingHeld(relay);
});

test("a caller that leaves in the middle leaves nothing behind", async () => {
  const { relay } = await start();
  const half = gzipSync(chat("가".repeat(100_000))).subarray(0, 100);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n`;
  const text = Buffer.concat([Buffer.from(`${head}Content-Encoding: zstd\r\nContent-Length: 5000\r\n\r\n`), half]);
  await raw(relay.port, text, undefined, 100);
  await nothingHeld(relay);
});
