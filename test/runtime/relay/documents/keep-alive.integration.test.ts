/** Slow work on documents: heartbeats keep the connection until the answer, or the error, is there. */
import { expect, onTestFinished, test } from "vitest";
import { asServer, startTestRelay, type TestRelay } from "../harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { at, call } from "./relays.ts";

const keepAlive = { sseMs: 40, jsonMs: 80, everyMs: 40, stallMs: 10_000, pauseMs: 30_000 };
const company = "주식회사 가나";
const title = "한글 계약서.pdf";
const named = { "Slm-Company": encodeURIComponent(company), "Slm-Document": encodeURIComponent(title) };

/** A relay whose model server embeds nothing until `release`. */
async function startSlow(times = keepAlive) {
  const model = await startEmbeddingModel();
  const gate = Promise.withResolvers<void>();
  onTestFinished(() => gate.resolve());
  const relay = await startTestRelay(model.url, {}, { keepAlive: times });
  return {
    relay,
    model,
    hold: () => {
      model.before = () => gate.promise;
    },
    release: () => gate.resolve(),
    fail: (cause: string) => gate.reject(new Error(cause)),
  };
}

function open(relay: TestRelay, [method, path, body, headers = {}]: Request): Promise<Response> {
  return fetch(relay.url + path, {
    method,
    body: JSON.stringify(body),
    headers: { ...asServer, "Content-Type": "application/json", ...headers },
  });
}

type Request = readonly [method: string, path: string, body: unknown, headers?: Record<string, string>];

const REQUESTS: readonly (readonly [name: string, request: Request, answer: unknown])[] = [
  [
    "an embedding call with a document",
    ["POST", "/v1/embeddings", { model: "embed", input: ["하나", "둘"] }, named],
    { object: "list", data: [{ index: 0 }, { index: 1 }], usage: { total_tokens: 2 } },
  ],
  [
    "a PUT",
    ["PUT", at(company, title), { text: "대금은 말일에 지급한다." }],
    { object: "document", created: true, title },
  ],
  [
    "a search",
    ["POST", "/v1/documents/search", { company, title: "있는 문서", query: "대금" }],
    { object: "list", data: [{ title: "있는 문서" }] },
  ],
];

test.each(REQUESTS)("%s: heartbeats come before a late answer, which follows whole", async (_name, request, answer) => {
  const { relay, hold, release } = await startSlow();
  await call(relay, "PUT", at(company, "있는 문서"), { text: "대금은 현금으로 지급한다." });
  hold();
  const response = await open(relay, request);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json; charset=utf-8"]);
  const reader = response.body!.getReader();
  let text = "";
  while (text.length < 3) text += Buffer.from((await reader.read()).value!).toString();
  expect(text).toMatch(/^ +$/);
  release();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read())
    text += Buffer.from(piece.value).toString();
  expect(JSON.parse(text)).toMatchObject(answer as object);
});

test.each(REQUESTS)("%s: an error after heartbeats is an error object, and the log has it", async (_name, request) => {
  const { relay, hold, fail } = await startSlow();
  await call(relay, "PUT", at(company, "있는 문서"), { text: "대금은 현금으로 지급한다." });
  hold();
  const response = await open(relay, request);
  fail("모델이 거절한다");
  expect(response.status).toBe(200);
  expect(JSON.parse(await response.text())).toMatchObject({ error: { code: "embedding_refused" } });
  expect(relay.lines).toContainEqual(expect.objectContaining({ code: "embedding_refused", status: 200 }));
});

test("an answer in time keeps its status and headers", async () => {
  const { relay } = await startSlow({ ...keepAlive, jsonMs: 60_000 });
  const stored = await call(relay, "PUT", at(company, title), { text: "짧은 글" });
  expect([stored.status, stored.headers.get("etag")]).toEqual([201, expect.stringMatching(/^"/)]);
  const embedded = await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "하나" }, named);
  expect([embedded.headers.get("slm-embedded"), embedded.headers.get("slm-reused")]).toEqual(["1", "0"]);
});

test("a client that leaves between heartbeats loses nothing: the document is stored", async () => {
  const { relay, hold, release } = await startSlow();
  hold();
  const leaving = new AbortController();
  const response = await fetch(relay.url + at(company, title), {
    method: "PUT",
    body: JSON.stringify({ text: "떠나도 남는 글" }),
    headers: { ...asServer, "Content-Type": "application/json" },
    signal: leaving.signal,
  });
  expect(response.status).toBe(200);
  leaving.abort();
  release();
  await expect.poll(async () => (await call(relay, "GET", at(company, title))).status, { timeout: 20_000 }).toBe(200);
});
