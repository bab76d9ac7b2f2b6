import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../../../e2e/harness.ts";
import { asPerson, temporaryFolder } from "../harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { at, call, startDocumentsRelay } from "./relays.ts";
import { startMongoForTest } from "./stores.ts";

const DAY = 86_400_000;
const text = "첫째 조항. 둘째 조항.";

/** A clock that tests can move. */
function clock() {
  let now = Date.now();
  return {
    now: () => now,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe.each(["embedded", "atlas"] as const)("the life of a document, store %s", (store) => {
  const start = async () => {
    const model = await startEmbeddingModel();
    const mongo = store === "atlas" ? await startMongoForTest() : undefined;
    const time = clock();
    const dataDir = await temporaryFolder();
    const options = { mongo, now: time.now, dataDir };
    return { model, mongo, time, options, relay: await startDocumentsRelay(model.url, options) };
  };

  it("ends 30 days after the last use, and any use extends it", async () => {
    const { model, time, relay } = await start();
    for (const title of ["looked up", "searched", "put", "304", "inputs", "left alone"]) {
      await call(relay, "PUT", at("A", title), { chunks: ["하나", "둘"] });
    }
    const tag = (await call(relay, "GET", at("A", "304"))).headers.get("etag")!;
    time.pass(29 * DAY);
    await call(relay, "GET", at("A", "looked up"));
    await call(relay, "POST", "/v1/documents/search", { company: "A", title: "searched", query: "q" });
    await call(relay, "PUT", at("A", "put"), { chunks: ["하나", "둘"] });
    expect((await call(relay, "HEAD", at("A", "304"), undefined, { "If-None-Match": tag })).status).toBe(304);
    const inputs = { "Slm-Company": "A", "Slm-Document": "inputs" };
    await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "둘" }, inputs);
    time.pass(2 * DAY);
    const calls = model.calls.length;
    for (const title of ["looked up", "searched", "put", "304", "inputs"]) {
      expect([title, (await call(relay, "GET", at("A", title))).status]).toEqual([title, 200]);
    }
    expect((await call(relay, "GET", at("A", "left alone"))).headers.get("slm-miss")).toBe("absent");
    time.pass(31 * DAY);
    expect((await call(relay, "GET", "/v1/documents")).body.data).toEqual([]);
    expect(model.calls.length).toBe(calls);
  });

  it("is extended at once if less than an hour is left, otherwise at a clean stop", async () => {
    const { model, time, options, relay } = await start();
    await call(relay, "PUT", at("A", "t"), { text });
    time.pass(10 * DAY);
    await call(relay, "GET", at("A", "t"));
    await relay.close();
    time.pass(29 * DAY);
    const between = await startDocumentsRelay(model.url, options);
    expect((await call(between, "GET", at("A", "t"))).status).toBe(200);
    await between.close();
    const second = await startDocumentsRelay(model.url, options);
    time.pass(30 * DAY - 60_000);
    const third = await startDocumentsRelay(model.url, options); // sees only written uses
    expect((await call(second, "GET", at("A", "t"))).status).toBe(200);
    time.pass(DAY);
    expect((await call(third, "GET", at("A", "t"))).status).toBe(200);
  });

  it("is ended by the store itself", async () => {
    const { model, mongo, options, relay } = await start();
    expect((await call(relay, "PUT", at("A", "t"), { text })).body.stored).toBe(true);
    await relay.close();
    const then = Date.now() - 31 * DAY;
    if (mongo !== undefined) {
      // The TTL monitor of the sandbox's MongoDB runs by the real clock.
      const documents = mongo.client.db(mongo.database).collection("documents");
      expect(await documents.countDocuments()).toBe(1);
      await documents.updateOne({ title: "t" }, { $set: { lastAccessedAt: new Date(then) } });
      await eventually(async () => (await documents.countDocuments()) === 0, 20_000);
      return;
    }
    // SQLite is swept when a relay starts.
    const past = await startDocumentsRelay(model.url, { ...options, now: () => then });
    expect((await call(past, "PUT", at("A", "past"), { text })).body.stored).toBe(true);
    await past.close();
    const { DatabaseSync } = await import("node:sqlite");
    await startDocumentsRelay(model.url, { ...options, now: Date.now });
    const file = new DatabaseSync(join(options.dataDir, "documents.sqlite"), { readOnly: true });
    const count = () => Number(file.prepare("SELECT count(*) AS n FROM contents").get()?.n);
    await eventually(async () => count() === 1, 20_000); // "t" lives on
    file.close();
  });
});

describe("an unavailable store", () => {
  it("leaves the relay answering, is reported, and is used again once it is back", async () => {
    const model = await startEmbeddingModel();
    const dir = await temporaryFolder();
    const mongo = await startMongoForTest({ dir });
    const { port } = mongo.server!;
    const relay = await startDocumentsRelay(model.url, { mongo });
    await call(relay, "PUT", at("A", "t"), { text });
    await mongo.server!.close();

    const miss = await call(relay, "GET", at("A", "t"));
    expect([miss.status, miss.headers.get("slm-miss")]).toEqual([404, "store-away"]);
    const since = performance.now();
    const put = await call(relay, "PUT", at("A", "t", { include: "vectors" }), { text });
    expect([put.status, put.body.stored, put.body.data?.length]).toEqual([201, false, 1]);
    const names = { "Slm-Company": "A", "Slm-Document": "t" };
    const inputs = await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "가" }, names);
    expect([inputs.status, inputs.headers.get("slm-stored")]).toEqual([200, "false"]);
    for (const answer of [
      await call(relay, "DELETE", at("A", "t")),
      await call(relay, "GET", "/v1/documents"),
      await call(relay, "POST", "/v1/documents/search", { company: "A", title: "t", query: "q" }),
    ]) {
      expect([answer.status, answer.body.error?.code]).toEqual([503, "documents_unavailable"]);
    }
    expect(performance.now() - since).toBeLessThan(3_000); // later requests do not wait for it
    const page = await (await fetch(`${relay.url}/status`, { headers: asPerson })).text();
    expect(page).toMatch(/Documents<\/th><td>The store of the documents does not answer/);
    expect(await (await fetch(`${relay.admin}/metrics`)).text()).toContain("slm_document_store_up 0");
    expect((await fetch(`${relay.url}/readyz`)).status).toBe(200);

    await startMongoForTest({ dir, port });
    await eventually(async () => (await call(relay, "GET", at("A", "t"))).status === 200, 15_000);
    expect(await (await fetch(`${relay.admin}/metrics`)).text()).toContain("slm_document_store_up 1");
    const details = (await (await fetch(`${relay.admin}/details`)).json()) as Record<string, unknown>;
    expect(details.documents).toEqual({ store: "atlas", available: true });
  });

  it("does not prevent the relay from starting", async () => {
    const model = await startEmbeddingModel();
    const uri = "mongodb://relay:secret@127.0.0.1:1/?serverSelectionTimeoutMS=200";
    const relay = await startDocumentsRelay(model.url, { mongo: { uri, database: "slm", collection: "documents" } });
    expect((await call(relay, "GET", at("A", "t"))).headers.get("slm-miss")).toBe("store-away");
    expect((await call(relay, "PUT", at("A", "t"), { text })).body).toMatchObject({ stored: false, embedded: 1 });
    expect(JSON.stringify(relay.lines)).not.toContain("secret");
  });

  it("is recreated when the file is damaged, which is set aside", async () => {
    const model = await startEmbeddingModel();
    const dataDir = await temporaryFolder();
    await writeFile(
      join(dataDir, "documents.sqlite"),
      "this is no database, and long enough to be read as one".repeat(9),
    );
    const relay = await startDocumentsRelay(model.url, { dataDir });
    expect((await call(relay, "PUT", at("A", "t"), { text })).body).toMatchObject({ stored: true });
    const { readdir } = await import("node:fs/promises");
    expect(await readdir(dataDir)).toContain("documents.sqlite.broken");
  });

  it("answers stored documents while the model server is down", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url);
    await call(relay, "PUT", at("A", "t"), { text });
    await model.close();
    expect((await call(relay, "GET", at("A", "t"))).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 1_100)); // longer than a digest counts as current
    expect((await call(relay, "GET", at("A", "t", { include: "vectors" }))).body.data).toHaveLength(1);
  });
});

describe("a model server that is down", () => {
  it("opens one breaker for documents and chats: both get Retry-After, and work once it is back", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url);
    await call(relay, "PUT", at("A", "t"), { text });
    await model.close();
    const codes: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const put = await call(relay, "PUT", at("A", `${i}`), { text });
      codes.push([put.status, put.body.error?.code, put.headers.get("retry-after")]);
    }
    expect(codes).toEqual(new Array(3).fill([502, "model_unreachable", "5"]));
    const names = { "Slm-Company": "A", "Slm-Document": "new" };
    for (const answer of [
      await call(relay, "PUT", at("A", "other"), { text }),
      await call(relay, "POST", "/v1/documents/search", { company: "A", title: "t", query: "q" }),
      await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "가" }, names),
      await call(relay, "POST", "/v1/chat/completions", { model: "embed", messages: [] }),
    ]) {
      expect([answer.status, answer.body.error?.code]).toEqual([503, "model_down"]);
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    expect((await call(relay, "GET", at("A", "t"))).status).toBe(200);
    await startEmbeddingModel(Number(new URL(model.url).port));
    await eventually(async () => (await call(relay, "PUT", at("A", "other"), { text })).status === 201, 60_000);
  });

  it("is waited for until its time-out only", async () => {
    const model = await startEmbeddingModel();
    model.before = () => new Promise(() => {});
    const changes = {
      model: { kind: "ollama" as const, url: model.url, embeddingModel: "embed", timeouts: { firstByte: 1 } },
    };
    const relay = await startDocumentsRelay(model.url, { changes });
    const put = await call(relay, "PUT", at("A", "t"), { text });
    expect([put.status, put.body.error?.code]).toEqual([504, "model_timeout"]);
    expect((await call(relay, "GET", at("A", "t"))).headers.get("slm-miss")).toBe("absent");
  });
});

it("counts running embeddings against the daily limit, so that concurrent ones cannot exceed it together", async () => {
  const model = await startEmbeddingModel();
  const relay = await startDocumentsRelay(model.url, { documents: { tokensPerCompanyPerDay: 100 } });
  const hold = Promise.withResolvers<void>();
  model.before = () => hold.promise;
  const put = (title: string) => call(relay, "PUT", at("A", title), { chunks: ["가".repeat(60)] });
  const first = put("1");
  await eventually(async () => model.calls.length === 1, 20_000);
  const second = await put("2");
  expect([second.status, second.body.error?.code]).toEqual([429, "company_budget_spent"]);
  hold.resolve();
  expect((await first).status).toBe(201);
  expect((await put("2")).status).toBe(201); // the model counted one token
});

it("limits the daily tokens of a company's documents", async () => {
  const model = await startEmbeddingModel();
  const time = clock();
  const mongo = await startMongoForTest();
  const changes = { dataDir: await temporaryFolder() };
  const options = { mongo, now: time.now, changes, documents: { tokensPerCompanyPerDay: 40 } };
  const relay = await startDocumentsRelay(model.url, options);
  expect((await call(relay, "PUT", at("A", "1"), { chunks: ["가".repeat(30)] })).status).toBe(201);
  await relay.close();
  // The model counted one token, as the ledger knows; about 40 more would exceed the limit.
  const second = await startDocumentsRelay(model.url, options);
  const refused = await call(second, "PUT", at("A", "2"), { chunks: ["나".repeat(40)] });
  expect([refused.status, refused.body.error?.code]).toEqual([429, "company_budget_spent"]);
  expect(refused.headers.get("x-should-retry")).toBe("false");
  expect(Number(refused.headers.get("retry-after"))).toBeLessThanOrEqual(86_400);
  expect(refused.headers.get("ratelimit-policy")).toBe('"company-tokens";q=40;qu="tokens";w=86400');
  expect(refused.headers.get("ratelimit")).toMatch(/^"company-tokens";r=39;t=\d+$/);
  expect((await call(second, "PUT", at("B", "2"), { chunks: ["나".repeat(40)] })).status).toBe(201);
  expect((await call(second, "PUT", at("A", "1"), { chunks: ["가".repeat(30)] })).status).toBe(200); // a hit costs nothing
  time.pass(DAY);
  expect((await call(second, "PUT", at("A", "2"), { chunks: ["나".repeat(40)] })).status).toBe(201);
});
