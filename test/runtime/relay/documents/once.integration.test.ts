import { describe, expect, it } from "vitest";
import { eventually } from "../../../e2e/harness.ts";
import { startEmbeddingModel } from "./model.ts";
import { type Answer, at, call, startDocumentsRelay } from "./relays.ts";
import { record, startMongoForTest } from "./stores.ts";

const textOf = (i: number): string => `문서 ${i}. 첫째 조항은 이러하다. 둘째 조항은 저러하다.`;

const metricsOf = async ({ admin }: { admin: string }): Promise<string> => (await fetch(`${admin}/metrics`)).text();

/** Runs all, `width` at a time. */
async function inParallel<T>(width: number, tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let i = next++; i < tasks.length; i = next++) results[i] = await tasks[i]!();
    }),
  );
  return results;
}

describe.each(["embedded", "atlas"] as const)("one set of embedding calls per document, store %s", (store) => {
  it("is made for 2,000 requests for 50 documents by 4 companies, 100 at once", async () => {
    const model = await startEmbeddingModel();
    const mongo = store === "atlas" ? await startMongoForTest() : undefined;
    const relay = await startDocumentsRelay(model.url, { mongo });
    const documents = Array.from({ length: 50 }, (_, i) => ({ company: "ABCD"[i % 4]!, title: `문서 ${i}`, i }));
    // As a caller would: look it up, and send the text only on a miss.
    const ask = async ({ company, title, i }: (typeof documents)[number]): Promise<Answer> => {
      const found = await call(relay, "GET", at(company, title, { include: "vectors" }));
      if (found.status === 200) return found;
      return call(relay, "PUT", at(company, title, { include: "vectors" }), { text: textOf(i) });
    };
    const tasks = Array.from({ length: 2000 }, (_, n) => () => ask(documents[(n * 17) % 50]!));
    const answers = await inParallel(100, tasks);
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(50);
    expect(answers.every(({ status, body }) => (status === 200 || status === 201) && body.data?.length === 1)).toBe(
      true,
    );
    expect(model.calls).toHaveLength(50);
    expect(new Set(model.calls.flat()).size).toBe(50);
    const metrics = await metricsOf(relay);
    expect(metrics).toContain("slm_document_embeddings_total 50");
    expect(metrics).toMatch(/slm_document_lookups_total\{result="hit"\} 19\d\d/);
  }, 60_000);

  it("stores one of two concurrent texts whole", async () => {
    const model = await startEmbeddingModel();
    const mongo = store === "atlas" ? await startMongoForTest() : undefined;
    const relay = await startDocumentsRelay(model.url, { mongo });
    const one = Array.from({ length: 40 }, (_, i) => `가 ${i}`);
    const other = Array.from({ length: 40 }, (_, i) => `나 ${i}`);
    await inParallel(
      8,
      [one, other, one, other, other, one].map((chunks) => () => call(relay, "PUT", at("A", "t"), { chunks })),
    );
    const { body } = await call(relay, "GET", at("A", "t", { include: "chunks" }));
    const texts = body.data?.map(({ text }) => text);
    expect([one, other]).toContainEqual(texts);
  });
});

describe.each(["embedded", "atlas"] as const)("a removal, store %s", (store) => {
  it.each([
    ["the document", at("A", "t")],
    ["all of the company", "/v1/documents?company=A&all=true"],
  ])("of %s wins over what was being embedded, and over who waited for it", async (_what, path) => {
    const model = await startEmbeddingModel();
    const mongo = store === "atlas" ? await startMongoForTest() : undefined;
    const relay = await startDocumentsRelay(model.url, { mongo });
    await call(relay, "PUT", at("B", "t"), { text: textOf(1) });
    await call(relay, "PUT", at("A", "t"), { text: textOf(1) });
    const hold = Promise.withResolvers<void>();
    model.before = () => hold.promise;
    const names = { "Slm-Company": "A", "Slm-Document": "t" };
    const under = [
      call(relay, "PUT", at("A", "t"), { text: textOf(2) }),
      call(relay, "PUT", at("A", "t"), { text: textOf(3) }),
      call(relay, "POST", "/v1/embeddings", { model: "embed", input: "넷" }, names),
    ];
    await eventually(async () => model.calls.length === 3, 20_000);
    // The two others arrived before it as well: several answers have been sent since.
    await eventually(async () => (await metricsOf(relay)).includes("slm_requests_in_flight 3"), 20_000);
    for (let i = 0; i < 5; i++) await call(relay, "GET", at("B", "t"));
    expect((await call(relay, "DELETE", path)).body.deleted).toBe(1);
    hold.resolve();
    const answers = await Promise.all(under);
    expect(answers.map(({ body, headers }) => body.stored ?? headers.get("slm-stored"))).toEqual([
      false,
      false,
      "false",
    ]);
    expect((await call(relay, "GET", at("A", "t"))).headers.get("slm-miss")).toBe("absent");
    expect((await call(relay, "GET", at("B", "t"))).status).toBe(200);
    expect((await call(relay, "PUT", at("A", "t"), { text: textOf(2) })).body.stored).toBe(true);
  });
});

describe("two relays on one MongoDB", () => {
  it("let a removal by one void the other's running embedding", async () => {
    const model = await startEmbeddingModel();
    const mongo = await startMongoForTest();
    const [one, other] = [
      await startDocumentsRelay(model.url, { mongo }),
      await startDocumentsRelay(model.url, { mongo }),
    ];
    for (const [n, path] of [at("A", "t"), "/v1/documents?company=A&all=true"].entries()) {
      const hold = Promise.withResolvers<void>();
      model.before = () => hold.promise;
      const put = call(one, "PUT", at("A", "t"), { text: textOf(n) });
      await eventually(async () => model.calls.length === n + 1, 20_000);
      expect((await call(other, "DELETE", path)).status).toBe(200);
      hold.resolve();
      expect((await put).body.stored).toBe(false);
      for (const relay of [one, other]) expect((await call(relay, "GET", at("A", "t"))).status).toBe(404);
    }
    expect(await mongo.client.db(mongo.database).collection("documents").countDocuments()).toBe(0);
  });

  it("embed a text only once", async () => {
    const model = await startEmbeddingModel();
    const mongo = await startMongoForTest();
    const relays = [await startDocumentsRelay(model.url, { mongo }), await startDocumentsRelay(model.url, { mongo })];
    const tasks = Array.from({ length: 60 }, (_, n) => () => {
      const i = n % 5;
      return call(relays[n % 2]!, "PUT", at("A", `문서 ${i}`), { text: textOf(i) });
    });
    const answers = await inParallel(60, tasks);
    expect(answers.map(({ status }) => status).filter((status) => status === 201)).toHaveLength(5);
    expect(model.calls).toHaveLength(5);
  });

  it("take over from one that died while embedding, once its lease has expired", async () => {
    const model = await startEmbeddingModel();
    const mongo = await startMongoForTest();
    const { key } = record({ company: "A", title: "t" });
    const leases = mongo.client
      .db(mongo.database)
      .collection<{ _id: string; owner: string; until: Date }>("documents_leases");
    // A dead relay whose lease lasts another second.
    const probe = await startDocumentsRelay(model.url, { mongo });
    const hold = Promise.withResolvers<void>();
    model.before = () => hold.promise;
    const first = call(probe, "PUT", at(key.company, key.title), { text: textOf(1) });
    await eventually(async () => model.calls.length === 1, 5_000);
    const [lease] = await leases.find().toArray();
    expect(lease?.owner).toBeDefined();
    await leases.updateOne({ _id: lease!._id }, { $set: { owner: "gone", until: new Date(Date.now() + 1_000) } });
    model.before = () => {};
    const second = await startDocumentsRelay(model.url, { mongo });
    const taken = await call(second, "PUT", at(key.company, key.title), { text: textOf(2) });
    expect([taken.status, taken.body.embedded]).toEqual([201, 1]);
    hold.resolve();
    await first;
  });
});

it("continues when the client has disconnected, so that the next call finds it", async () => {
  const model = await startEmbeddingModel();
  const relay = await startDocumentsRelay(model.url);
  const hold = Promise.withResolvers<void>();
  model.before = () => hold.promise;
  const leave = new AbortController();
  const { asServer } = await import("../harness.ts");
  const put = fetch(relay.url + at("A", "t"), {
    method: "PUT",
    headers: asServer,
    body: JSON.stringify({ text: textOf(1) }),
    signal: leave.signal,
  });
  await eventually(async () => model.calls.length === 1, 5_000);
  leave.abort();
  await expect(put).rejects.toThrow();
  hold.resolve();
  await eventually(async () => (await call(relay, "GET", at("A", "t"))).status === 200, 5_000);
  expect(model.calls).toHaveLength(1);
});

describe("a changed model", () => {
  it("is a miss, never a wrong vector; also when it changes during an embedding", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url);
    await call(relay, "PUT", at("A", "t"), { text: textOf(1) });
    const { body: before } = await call(relay, "GET", at("A", "t"));
    model.digest = "two";
    await eventually(async () => (await call(relay, "GET", at("A", "t"))).headers.get("slm-miss") === "model", 3_000);
    const search = await call(relay, "POST", "/v1/documents/search", { company: "A", title: "t", query: "q" });
    expect(search.status).toBe(404);
    model.before = () => {
      model.digest = "three";
    };
    const put = await call(relay, "PUT", at("A", "t"), { text: textOf(1) });
    expect([put.status, put.body.embedded]).toEqual([200, 1]);
    expect(put.body.fingerprint).not.toBe(before.fingerprint);
    expect(model.calls).toHaveLength(4); // one, the query, and two since the model changed meanwhile
  });

  it("includes another prefix, chunk size or dimension", async () => {
    const model = await startEmbeddingModel();
    const { temporaryFolder } = await import("../harness.ts");
    const dataDir = await temporaryFolder();
    const variants = [
      {},
      { embedding: { documentPrefix: "passage: " } },
      { embedding: { dimensions: 4 } },
      { embedding: { queryPrefix: "query: " } },
      { embedding: { normalize: false } },
      { chunk: { characters: 500, overlap: 50 } },
    ];
    for (const documents of variants) {
      const relay = await startDocumentsRelay(model.url, { dataDir, documents });
      const found = await call(relay, "GET", at("A", "t"));
      expect([found.status, found.headers.get("slm-miss")]).toEqual([
        404,
        documents === variants[0] ? "absent" : "model",
      ]);
      expect((await call(relay, "PUT", at("A", "t"), { text: textOf(1) })).body.embedded).toBe(1);
      expect((await call(relay, "GET", at("A", "t"))).status).toBe(200);
      await relay.close();
    }
    expect(model.calls[1]).toEqual([`passage: ${textOf(1)}`]);
  });
});
