/** `Prefer` and `Idempotency-Key` on requests about documents: as on all others, or refused; never ignored. */
import { describe, expect, test, vi } from "vitest";
import { CLIENT_ID, startTestRelay, type TestRelay, temporaryFolder } from "../harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { type Answer, asOther, at, call, OTHER_ID, startDocumentsRelay } from "./relays.ts";

const company = "주식회사 가나";
const title = "한글 계약서.pdf";
const named = { "Slm-Company": encodeURIComponent(company), "Slm-Document": encodeURIComponent(title) };
const PATIENT = { timeout: 20_000, interval: 50 };
const callers = [
  { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
  { name: "other", clientId: OTHER_ID, companies: ["A", "B"], weight: 1, enabled: true },
];

type Send = (relay: Pick<TestRelay, "url">, headers?: Record<string, string>, text?: string) => Promise<Answer>;
const put: Send = (relay, headers, text = "대금은 말일에 지급한다.") =>
  call(relay, "PUT", at(company, title), { text }, headers);
const embed: Send = (relay, headers, text = "하나") =>
  call(relay, "POST", "/v1/embeddings", { model: "embed", input: [text, "둘"] }, { ...named, ...headers });
const search: Send = (relay, headers, text = "대금") =>
  call(relay, "POST", "/v1/documents/search", { company, title: "있는 문서", query: text }, headers);

const KINDS: readonly (readonly [name: string, send: Send, answer: object])[] = [
  ["a PUT", put, { object: "document", created: true, title, embedded: 1 }],
  ["an embedding call with a document", embed, { object: "list", data: [{ index: 0 }, { index: 1 }] }],
  ["a search", search, { object: "list", data: [{ title: "있는 문서" }] }],
];

async function start() {
  const model = await startEmbeddingModel();
  const relay = await startTestRelay(model.url, { callers });
  await call(relay, "PUT", at(company, "있는 문서"), { text: "대금은 현금으로 지급한다." });
  model.calls.length = 0;
  return { model, relay };
}

async function ended(relay: TestRelay, location: string): Promise<Answer> {
  return vi.waitFor(async () => {
    const job = await call(relay, "GET", location);
    expect(["completed", "failed"]).toContain(job.body.state);
    return job;
  }, PATIENT);
}

describe.each(KINDS)("%s", (_name, send, answer) => {
  test("becomes a job with Prefer: respond-async, whose result is the answer it would have got", async () => {
    const { relay } = await start();
    const accepted = await send(relay, { Prefer: "respond-async" });
    expect([accepted.status, accepted.headers.get("preference-applied")]).toEqual([202, "respond-async"]);
    const location = accepted.headers.get("location")!;
    expect((await ended(relay, location)).body).toMatchObject({ state: "completed" });
    const result = await call(relay, "GET", `${location}/result`);
    expect(result.body).toMatchObject(answer);
    expect(result.headers.get("content-type")).toBe("application/json; charset=utf-8");
  });

  test("waits for its job with wait=n", async () => {
    const { relay } = await start();
    const done = await send(relay, { Prefer: "respond-async, wait=30" });
    expect(done.headers.get("preference-applied")).toBe("respond-async, wait=30");
    expect(done.body).toMatchObject(answer);
  });

  test("with a repeated Idempotency-Key gets the kept answer and runs once; another request gets 422", async () => {
    const { relay, model } = await start();
    const first = await send(relay, { "Idempotency-Key": "5" });
    expect(first.body).toMatchObject(answer);
    const { length } = model.calls;
    const again = await vi.waitFor(async () => {
      const repeated = await send(relay, { "Idempotency-Key": "5" });
      expect(repeated.headers.get("idempotency-replayed")).toBe("true");
      return repeated;
    }, PATIENT);
    expect([again.status, again.body]).toEqual([first.status, first.body]);
    expect(model.calls).toHaveLength(length);
    const other = await send(relay, { "Idempotency-Key": "5" }, "다른 글");
    expect([other.status, other.body.error?.code]).toEqual([422, "idempotency_mismatch"]);
  });

  test("with a key gets 409 while the first one runs, and its answer after", async () => {
    const { relay, model } = await start();
    const gate = Promise.withResolvers<void>();
    model.before = () => gate.promise;
    const first = send(relay, { "Idempotency-Key": "k" });
    await vi.waitFor(() => expect(model.calls.length).toBeGreaterThan(0), PATIENT);
    const second = await send(relay, { "Idempotency-Key": "k" });
    expect([second.status, second.body.error?.code]).toEqual([409, "idempotency_in_progress"]);
    gate.resolve();
    expect((await first).body).toMatchObject(answer);
  });

  test("with a key and respond-async is one job, however often it is sent", async () => {
    const { relay } = await start();
    const both = await Promise.all([1, 2].map(() => send(relay, { "Idempotency-Key": "k", Prefer: "respond-async" })));
    expect(new Set(both.map(({ body }) => body.id)).size).toBe(1);
  });

  test("a job of it is the caller's own, also by its key", async () => {
    const { relay } = await start();
    const mine = await send(relay, { "Idempotency-Key": "k", Prefer: "respond-async" });
    const theirs = await call(relay, "GET", mine.headers.get("location")!, undefined, asOther);
    expect([theirs.status, theirs.body.error?.code]).toEqual([404, "job_not_found"]);
    const asThem = await send(relay, { "Idempotency-Key": "k", Prefer: "respond-async", ...asOther });
    expect([asThem.status, asThem.body.error?.code]).toEqual([403, "company_not_allowed"]);
  });

  test("bad input is refused at once, not as a job", async () => {
    const { relay } = await start();
    const bad = await call(
      relay,
      "POST",
      "/v1/documents/search",
      { company, titel: "오타" },
      { Prefer: "respond-async" },
    );
    expect([bad.status, bad.body.error?.code]).toEqual([400, "document_invalid"]);
    const empty = await send(relay, { Prefer: "respond-async", "Idempotency-Key": "" });
    expect(empty.body.error?.code).toBe("idempotency_key_invalid");
  });

  test("a job waits while the model server is away, and is done when it is back", async () => {
    const { relay, model } = await start();
    const { port } = new URL(model.url);
    await model.close();
    const accepted = await send(relay, { Prefer: "respond-async" });
    expect(accepted.status).toBe(202);
    const location = accepted.headers.get("location")!;
    await vi.waitFor(async () => {
      expect((await call(relay, "GET", location)).body).toMatchObject({ attempts: [{ counted: false }] });
    }, PATIENT);
    await startEmbeddingModel(Number(port));
    expect((await ended(relay, location)).body).toMatchObject({ state: "completed" });
  });
});

test("a refusal that a repetition would not change is the job's result", async () => {
  const { relay, model } = await start();
  model.before = () => {
    throw new Error("너무 길다");
  };
  const done = await put(relay, { Prefer: "respond-async, wait=30" });
  expect([done.status, done.body.error?.code]).toEqual([422, "embedding_refused"]);
});

test("many jobs of documents in a lane with one slot all end: none waits for a slot that another one holds", async () => {
  const model = await startEmbeddingModel();
  const limits = { chat: 1, embeddings: 1, waiting: 256, waitSeconds: 60, bodyMiB: 8, whenBusy: "queue" as const };
  const relay = await startTestRelay(model.url, { callers, limits });
  const sent = await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      call(relay, "PUT", at(company, `문서 ${n % 4}`), { text: `본문 ${n}` }, { Prefer: "respond-async" }),
    ),
  );
  for (const { headers } of sent) {
    expect((await ended(relay, headers.get("location")!)).body).toMatchObject({ state: "completed" });
  }
});

test("a cancelled job ends its embedding, and stores nothing", async () => {
  const { relay, model } = await start();
  const gate = Promise.withResolvers<void>();
  model.before = () => gate.promise;
  const accepted = await put(relay, { Prefer: "respond-async" });
  await vi.waitFor(() => expect(model.calls).toHaveLength(1), PATIENT);
  const cancelled = await call(relay, "DELETE", accepted.headers.get("location")!);
  expect(cancelled.body).toMatchObject({ state: "cancelled" });
  model.before = () => {};
  // The next PUT gets its turn only when the cancelled one has ended.
  expect((await put(relay, {}, "다음 글")).body).toMatchObject({ created: true });
  gate.resolve();
});

test("a job of a document survives a restart of the relay", async () => {
  const model = await startEmbeddingModel();
  const dataDir = await temporaryFolder();
  const first = await startDocumentsRelay(model.url, { dataDir });
  const gate = Promise.withResolvers<void>();
  model.before = () => gate.promise;
  const accepted = await put(first, { Prefer: "respond-async" });
  await vi.waitFor(() => expect(model.calls).toHaveLength(1), PATIENT);
  await first.close();
  model.before = () => {};
  gate.resolve();
  const second = await startDocumentsRelay(model.url, { dataDir });
  await vi.waitFor(async () => {
    expect((await call(second, "GET", accepted.headers.get("location")!)).body).toMatchObject({ state: "completed" });
  }, PATIENT);
  expect((await call(second, "GET", at(company, title))).status).toBe(200);
});

test.each([
  ["respond-async on a DELETE", "DELETE", { Prefer: "respond-async" }, /Prefer/],
  ["respond-async beside events", "PUT", { Prefer: "respond-async", Accept: "text/event-stream" }, /Prefer/],
  ["a key beside events", "PUT", { "Idempotency-Key": "k", Accept: "text/event-stream" }, /Idempotency-Key/],
])("%s is refused by an error that names the header", async (_name, method, headers, name) => {
  const { relay } = await start();
  const body = method === "PUT" ? { text: "글" } : undefined;
  const refused = await call(relay, method, at(company, "있는 문서"), body, headers);
  expect([refused.status, refused.body.error?.code]).toEqual([400, "header_not_supported"]);
  expect(refused.body.error?.message).toMatch(name);
  expect((await call(relay, "GET", at(company, "있는 문서"))).status).toBe(200);
});

test("a kept answer has the vectors too", async () => {
  const { relay } = await start();
  const ask = () =>
    call(
      relay,
      "PUT",
      at(company, title, { include: "chunks,vectors" }),
      { text: "짧은 글" },
      { "Idempotency-Key": "k" },
    );
  const { body } = await ask();
  expect(body.data).toMatchObject([{ text: "짧은 글", vector: expect.any(String) as string }]);
  await vi.waitFor(async () => expect((await ask()).body).toEqual(body), PATIENT);
});

test("a repeated DELETE with a key gets the first answer, and a PUT with that key is another request", async () => {
  const { relay } = await start();
  const key = { "Idempotency-Key": "k" };
  const remove = () => call(relay, "DELETE", at(company, "있는 문서"), undefined, key);
  expect((await remove()).body).toMatchObject({ deleted: 1 });
  await vi.waitFor(async () => expect((await remove()).body).toMatchObject({ deleted: 1 }), PATIENT);
  const other = await call(relay, "PUT", at(company, "있는 문서"), { text: "글" }, key);
  expect(other.body.error?.code).toBe("idempotency_mismatch");
});

test("the same inputs under another document's name are another request for a key", async () => {
  const { relay } = await start();
  const key = { "Idempotency-Key": "k" };
  expect((await embed(relay, key)).status).toBe(200);
  const other = await embed(relay, { ...key, "Slm-Document": encodeURIComponent("다른 문서") });
  expect([other.status, other.body.error?.code]).toEqual([422, "idempotency_mismatch"]);
});
