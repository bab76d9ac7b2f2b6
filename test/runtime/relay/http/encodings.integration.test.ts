/** Bodies in encodings other than plain UTF-8: the same answer on every path that takes JSON. */
import { expect, it } from "vitest";
import { startEmbeddingModel } from "../documents/model.ts";
import { at, startDocumentsRelay } from "../documents/relays.ts";
import { asServer } from "../harness.ts";

const names = { "Slm-Company": "A", "Slm-Document": "t" };
const PATHS: readonly (readonly [
  what: string,
  method: string,
  path: string,
  json: string,
  headers: Record<string, string>,
])[] = [
  ["a chat", "POST", "/v1/chat/completions", '{"model":"m","input":["가"],"messages":[]}', {}],
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
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    expect([answer.status, error.code]).toEqual([400, "body_not_json"]);
    expect(error.message).toContain("not UTF-8");
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
