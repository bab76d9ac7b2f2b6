import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { asServer, raw, serverToken } from "../harness.ts";
import { startEmbeddingModel, vectorOf } from "./model.ts";
import { at, call, startDocumentsRelay } from "./relays.ts";

async function start(options: Parameters<typeof startDocumentsRelay>[1] = {}) {
  const model = await startEmbeddingModel();
  const relay = await startDocumentsRelay(model.url, options);
  const names = {
    "Slm-Company": encodeURIComponent("주식회사 가나"),
    "Slm-Document": encodeURIComponent("한글 계약서.pdf".normalize("NFD")),
  };
  const client = new OpenAI({
    baseURL: `${relay.url}/v1`,
    apiKey: "not used",
    defaultHeaders: { ...asServer, ...names },
    maxRetries: 0,
  });
  const embed = async (input: string[], more: { dimensions?: number } = {}) =>
    (await client.embeddings.create({ model: "embed", input, ...more })).data.map(({ embedding }) => embedding);
  return { model, relay, client, embed, names };
}

const close = (text: string, dimensions?: number) =>
  vectorOf(text, "one", dimensions).map((value) => expect.closeTo(value, 5) as number);

it("embeds through OpenAI's client only what is not there yet, also when the batches differ from last time", async () => {
  const { model, embed } = await start();
  const texts = Array.from({ length: 10 }, (_, i) => `조각 ${i}`);
  await Promise.all([embed(texts.slice(0, 4)), embed(texts.slice(4, 8)), embed(texts.slice(8))]);
  expect(model.calls.flat().sort()).toEqual(texts);
  const again = await Promise.all([embed(texts.slice(0, 6)), embed(texts.slice(6))]);
  expect(again.flat()).toEqual(texts.map((text) => close(text)));
  expect(await embed(["조각 3", "새 조각", "조각 3"])).toEqual(
    ["조각 3", "새 조각", "조각 3"].map((text) => close(text)),
  );
  expect(model.calls.flat().sort()).toEqual([...texts, "새 조각"].sort());
});

it("says what it took, keeps the order, and is found by name and searched like any other", async () => {
  const { relay, names } = await start();
  const ask = (input: string | string[]) =>
    call(relay, "POST", "/v1/embeddings", { model: "embed", input, encoding_format: "float" }, names);
  const first = await ask(["하나", "둘"]);
  expect([first.headers.get("slm-embedded"), first.headers.get("slm-reused")]).toEqual(["2", "0"]);
  expect(first.body).toMatchObject({ object: "list", model: "embed", usage: { prompt_tokens: 2, total_tokens: 2 } });
  const second = await ask(["둘", "셋", "하나"]);
  expect([second.headers.get("slm-embedded"), second.headers.get("slm-reused")]).toEqual(["1", "2"]);
  expect(second.body.data?.map(({ index, embedding }) => [index, embedding])).toEqual(
    ["둘", "셋", "하나"].map((text, index) => [index, close(text)]),
  );
  expect((await ask("하나")).body).toMatchObject({ usage: { total_tokens: 0 } });
  const found = await call(relay, "GET", at("주식회사 가나", "한글 계약서.pdf"));
  expect(found.body).toMatchObject({ chunkCount: 3, version: null });
  const near = await call(relay, "POST", "/v1/documents/search", {
    company: "주식회사 가나",
    title: "한글 계약서.pdf",
    query: "셋",
    k: 1,
  });
  expect(near.body.data?.[0]).toMatchObject({ text: "셋" });
});

it("never mixes dimensions or models", async () => {
  const { model, embed } = await start();
  await embed(["하나"]);
  const [short] = await embed(["하나"], { dimensions: 4 });
  expect(short).toEqual(close("하나", 4));
  expect(model.calls).toHaveLength(2);
  expect((await embed(["하나"], { dimensions: 4 }))[0]).toHaveLength(4);
  expect(model.calls).toHaveLength(2);
});

it("takes from a document that was PUT as chunks, and leaves its text known", async () => {
  const { model, relay, embed } = await start();
  const path = at("주식회사 가나", "한글 계약서.pdf");
  await call(relay, "PUT", path, { chunks: ["하나", "둘"] });
  await embed(["둘", "셋"]);
  expect(model.calls).toEqual([["하나", "둘"], ["셋"]]);
  expect((await call(relay, "PUT", path, { chunks: ["하나", "둘"] })).body.embedded).toBe(0);
});

it("leaves calls without the headers as they were, and refuses half a name and inputs that are no texts", async () => {
  const { model, relay, names } = await start();
  const plain = await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "x" });
  expect([plain.status, plain.headers.get("slm-embedded")]).toEqual([200, null]);
  expect(model.seen.at(-1)?.url).toBe("/v1/embeddings");
  // A company alone says whom the call is for, as on any call.
  const forCompany = await call(
    relay,
    "POST",
    "/v1/embeddings",
    { model: "embed", input: "x" },
    { "Slm-Company": "A" },
  );
  expect([forCompany.status, forCompany.headers.get("slm-embedded")]).toEqual([200, null]);
  const cases: [Record<string, string>, unknown, string][] = [
    [{ "Slm-Document": "t" }, { model: "embed", input: "x" }, "document_name_invalid"],
    [{ ...names, "Slm-Company": "%E0%A4%A" }, { model: "embed", input: "x" }, "document_name_invalid"],
    [{ ...names, "Slm-Document": "%E0%A4%A" }, { model: "embed", input: "x" }, "document_name_invalid"],
    [{ ...names, "Slm-Document": "%00" }, { model: "embed", input: "x" }, "document_name_invalid"],
    [names, { model: "embed", input: [1, 2, 3] }, "document_invalid"],
    [names, { model: "embed", input: [] }, "document_invalid"],
    [names, { input: "x" }, "document_invalid"],
  ];
  for (const [headers, body, code] of cases) {
    const answer = await call(relay, "POST", "/v1/embeddings", body, headers);
    expect([answer.status, answer.body.error?.code]).toEqual([400, code]);
  }
  const unknown = await call(relay, "POST", "/v1/embeddings", { model: "none", input: "x" }, names);
  expect([unknown.status, unknown.body.error?.code]).toEqual([422, "embedding_refused"]);
});

it("works on a server that has no digests, where the configured revision stands for them", async () => {
  const model = await startEmbeddingModel();
  const changes = { model: { kind: "openai" as const, url: model.url, embeddingModel: "embed" } };
  const { temporaryFolder } = await import("../harness.ts");
  const dataDir = await temporaryFolder();
  for (const [revision, embedded] of [
    ["1", 1],
    ["1", 0],
    ["2", 1],
  ] as const) {
    const relay = await startDocumentsRelay(model.url, { changes, dataDir, documents: { embedding: { revision } } });
    expect((await call(relay, "PUT", at("A", "t"), { chunks: ["가"] })).body.embedded).toBe(embedded);
    await relay.close();
  }
});

describe("what clients in typed languages send", () => {
  const input = { model: "embed", input: ["하나"] };

  it("takes null for what is left out: embeddings, documents, search", async () => {
    const { model, relay, names } = await start();
    const nulls = { ...input, dimensions: null, encoding_format: null, user: null };
    const embedded = await call(relay, "POST", "/v1/embeddings", nulls, names);
    expect(embedded.status).toBe(200);
    expect(embedded.body.data?.[0]?.embedding).toEqual(close("하나"));
    const path = at("주식회사 가나", "둘.pdf");
    const put = await call(relay, "PUT", path, { text: null, chunks: ["둘"], version: null });
    expect([put.status, put.body.version]).toEqual([201, null]);
    const wanted = { company: "주식회사 가나", title: null, titles: ["둘.pdf"], query: "둘", vector: null, k: null };
    const found = await call(relay, "POST", "/v1/documents/search", wanted);
    expect([found.status, found.body.data?.[0]?.text]).toEqual([200, "둘"]);
    expect(model.calls).toEqual([["하나"], ["둘"], ["둘"]]);
  });

  it("takes a byte order mark before the JSON", async () => {
    const { relay, names } = await start();
    const ask = async (method: string, path: string, json: unknown, headers = {}) =>
      (
        await fetch(relay.url + path, {
          method,
          body: Buffer.from(`\ufeff${JSON.stringify(json)}`),
          headers: { ...asServer, "Content-Type": "application/json", ...headers },
        })
      ).status;
    expect(await ask("POST", "/v1/embeddings", input, names)).toBe(200);
    expect(await ask("PUT", at("A", "t"), { text: "가" })).toBe(201);
    expect(await ask("POST", "/v1/documents/search", { company: "A", title: "t", query: "가" })).toBe(200);
  });

  it.each(["embeddings", "PUT", "search"])(
    "refuses vectors of another width than was asked for, and stores nothing: %s",
    async (kind) => {
      const model = await startEmbeddingModel();
      const relay = await startDocumentsRelay(model.url, { documents: { embedding: { dimensions: 4 } } });
      const path = at("A", "t");
      if (kind === "search") await call(relay, "PUT", path, { text: "가" });
      const before = await call(relay, "GET", `${path}&include=vectors`);
      model.ignoresDimensions = true;
      const named = { "Slm-Company": "A", "Slm-Document": "t" };
      const answer =
        kind === "embeddings"
          ? await call(relay, "POST", "/v1/embeddings", { ...input, dimensions: 4 }, named)
          : kind === "PUT"
            ? await call(relay, "PUT", path, { text: "나" })
            : await call(relay, "POST", "/v1/documents/search", { company: "A", title: "t", query: "가" });
      expect([answer.status, answer.body.error?.code]).toEqual([422, "embedding_refused"]);
      expect(answer.body.error?.message).toMatch(/dimensions: 4 was asked for.*vectors of 8/);
      model.ignoresDimensions = false;
      const after = await call(relay, "GET", `${path}&include=vectors`);
      expect([after.status, after.body.data]).toEqual([before.status, before.body.data]);
    },
  );

  it("takes names in raw UTF-8, and refuses a title that is sent twice", async () => {
    const { relay } = await start();
    const ask = (lines: string[]) =>
      raw(
        Number(new URL(relay.url).port),
        `POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n` +
          `${lines.join("\r\n")}\r\nContent-Length: ${Buffer.byteLength(JSON.stringify(input))}\r\n\r\n${JSON.stringify(input)}`,
      );
    expect(await ask(["Slm-Company: 국민", "Slm-Document: 계약서.pdf"])).toMatch(/^HTTP\/1\.1 200 /);
    const found = await call(relay, "GET", at("국민", "계약서.pdf"));
    expect([found.status, found.body.title]).toEqual([200, "계약서.pdf"]);
    const twice = await ask(["Slm-Company: 국민", "Slm-Document: a", "Slm-Document: b"]);
    expect(twice).toMatch(/^HTTP\/1\.1 400 .*document_name_invalid/s);
  });
});
