/** Bodies in encodings other than plain UTF-8, and compressed ones: the same answer on every path that takes JSON. */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { startEmbeddingModel } from "../documents/model.ts";
import { at, startDocumentsRelay } from "../documents/relays.ts";
import { asServer, codeOf, post, startModel, startTestRelay } from "../harness.ts";

const names = { "Slm-Company": "A", "Slm-Document": "t" };
const PATHS: readonly (readonly [
  what: string,
  method: string,
  path: string,
  json: string,
  headers: Record<string, string>,
])[] = [
  ["a chat", "POST", "/v1/chat/completions", '{"model":"m","input":["가"],"messages":[]}', {}],
  ["a message of Anthropic's API", "POST", "/v1/messages", '{"model":"m","input":["가"],"messages":[]}', {}],
  ["a message, streamed", "POST", "/v1/messages", '{"model":"m","stream":true,"input":["가"],"messages":[]}', {}],
  ["a message as a job", "POST", "/v1/messages", '{"model":"m","input":["가"]}', { Prefer: "respond-async" }],
  ["a count of tokens", "POST", "/v1/messages/count_tokens", '{"model":"m","input":["가"],"messages":[]}', {}],
  ["a job", "POST", "/api/embed", '{"model":"m","input":["가"]}', { Prefer: "respond-async" }],
  ["a call with a key", "POST", "/api/embed", '{"model":"m","input":["가"]}', { "Idempotency-Key": "k" }],
  ["a background response", "POST", "/v1/responses", '{"model":"m","background":true,"input":["가"]}', {}],
  ["a document", "PUT", at("A", "t"), '{"text":"가"}', {}],
  ["a search", "POST", "/v1/documents/search", '{"company":"A","title":"t","query":"가"}', {}],
  ["an embedding of a document", "POST", "/v1/embeddings", '{"model":"embed","input":["가"]}', names],
];

async function start() {
  const model = await startEmbeddingModel();
  const relay = await startDocumentsRelay(model.url);
  const send = (method: string, path: string, body: Buffer, headers: Record<string, string> = {}) =>
    fetch(relay.url + path, { method, body, headers: { ...asServer, ...headers } });
  return { model, send };
}

it.each(PATHS)(
  "CP949, as curl on a Korean Windows sends it, is refused with the reason: %s",
  async (_what, ...request) => {
    const [method, path, json, headers] = request;
    const { model, send } = await start();
    const [before, after] = json.split("가") as [string, string];
    const cp949 = Buffer.concat([Buffer.from(before), Buffer.from("b0a1", "hex"), Buffer.from(after)]);
    const answer = await send(method, path, cp949, headers);
    const text = await answer.text();
    expect([answer.status, await codeOf(new Response(text))]).toEqual([400, "body_not_json"]);
    expect(text).toContain("not UTF-8");
    expect(model.calls).toEqual([]);
  },
);

it.each(PATHS)("a byte order mark is accepted, and not forwarded: %s", async (_what, ...request) => {
  const [method, path, json, headers] = request;
  const { model, send } = await start();
  await (await send("PUT", at("A", "t"), Buffer.from('{"text":"가"}'))).arrayBuffer();
  const answer = await send(method, path, Buffer.from(`\uFEFF${json}`), headers);
  expect(answer.ok).toBe(true);
  await answer.arrayBuffer();
  for (const { body } of model.seen) expect(body.includes("\uFEFF")).toBe(false);
});

const DECODED = { gzip: gzipSync, "x-gzip": gzipSync, zstd: zstdCompressSync } as const;
const encoded = Object.keys(DECODED) as (keyof typeof DECODED)[];
const each = PATHS.flatMap((path) => encoded.map((encoding) => [path[0], encoding, path] as const));

it.each(each)("%s in %s reaches the model server decoded", async (_what, encoding, [, method, path, json, headers]) => {
  const { model, send } = await start();
  await (await send("PUT", at("A", "t"), Buffer.from('{"text":"가"}'))).arrayBuffer();
  const answer = await send(method, path, DECODED[encoding](json), { ...headers, "Content-Encoding": encoding });
  const { ok, status } = answer;
  expect([ok, ok ? "" : `${status} ${await answer.text()}`]).toEqual([true, ""]);
  await answer.arrayBuffer();
  await expect.poll(() => model.calls.at(-1)).toEqual(["가"]);
  for (const { headers: sent, body } of model.seen) {
    expect(sent["content-encoding"]).toBeUndefined();
    expect(body.toString()).toMatch(/^(?:\{|$)/);
  }
});

it.each(PATHS)("an encoding that is not decoded is 415, and names those that are: %s", async (_what, ...request) => {
  const [method, path, json, headers] = request;
  const { model, send } = await start();
  for (const [encoding, body] of [
    ["br", brotliCompressSync(json)],
    ["deflate", deflateSync(json)],
    ["gzip, gzip", gzipSync(gzipSync(json))],
  ] as const) {
    const answer = await send(method, path, body, { ...headers, "Content-Encoding": encoding });
    const text = await answer.text();
    expect([encoding, answer.status]).toEqual([encoding, 415]);
    expect(text).toContain("Send it as gzip or zstd");
  }
  expect(model.calls).toEqual([]);
});

it.each([
  ["/v1/chat/completions", false],
  ["/v1/messages", false],
  ["/v1/messages", true],
  ["/api/chat", true],
] as const)("an answer that the model server compresses unasked can be read: %s, streamed %s", async (path, stream) => {
  for (const [encoding, compress] of [
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ] as const) {
    const said = stream
      ? 'event: message_stop\ndata: {"type":"message_stop","text":"가나다"}\n\n'
      : '{"text":"가나다"}';
    const model = await startModel((_seen, res) => {
      const type = stream ? "text/event-stream" : "application/json";
      res.writeHead(200, { "Content-Type": type, "Content-Encoding": encoding }).end(compress(said));
    });
    const relay = await startTestRelay(model.url);
    const answer = await post(relay, path, { model: "m", messages: [], stream });
    expect([answer.headers.get("content-encoding"), await answer.text()]).toEqual([encoding, said]);
    expect(model.seen[0]!.headers["accept-encoding"]).toBeUndefined();
  }
});
