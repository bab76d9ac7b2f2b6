/** What a request for documents may say, and what it means. */
import { describe, expect, it } from "vitest";
import {
  cursorOf,
  readEmbeddings,
  readPut,
  readQuery,
  readSearch,
} from "../../../../runtime/relay/documents/bodies.ts";

const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const refusal = (message: string | RegExp, code = "document_invalid") =>
  expect.objectContaining({
    code,
    message: (typeof message === "string"
      ? expect.stringContaining(message)
      : expect.stringMatching(message)) as string,
  });

describe("any body", () => {
  it.each([["{"], [""], ["nothing"], [Buffer.from([0x22, 0xff, 0x22])]])(
    "that is no JSON in UTF-8 is refused: %j",
    (body) => {
      expect(() => readPut(Buffer.from(body as string))).toThrow(refusal("JSON in UTF-8", "body_not_json"));
    },
  );

  it.each([["[]"], ["null"], ['"text"'], ["1"]])("that is no object is refused: %s", (body) => {
    for (const read of [readPut, readSearch, readEmbeddings])
      expect(() => read(bytes(body))).toThrow(refusal("the body: "));
  });

  it("is refused with its first five faults, each with its place", () => {
    const chunks = [1, "a", 2, 3, 4, 5, 6];
    expect(() => readPut(bytes({ chunks }))).toThrow(
      refusal(/^chunks\.0: [^;]+; chunks\.2: [^;]+; chunks\.3: [^;]+; chunks\.4: [^;]+; chunks\.5: [^;]+\.$/),
    );
  });
});

describe("a document", () => {
  it.each([
    [{ text: "가" }, { version: undefined, source: { text: "가" } }],
    [
      { text: "", version: null, chunks: null },
      { version: undefined, source: { text: "" } },
    ],
    [
      { chunks: ["a", "b"], text: null, version: "v" },
      { version: "v", source: { chunks: ["a", "b"] } },
    ],
    [
      { text: "a", version: "v".repeat(500) },
      { version: "v".repeat(500), source: { text: "a" } },
    ],
  ])("%j is read", (body, read) => {
    expect(readPut(bytes(body))).toEqual(read);
  });

  it.each([
    [{}, 'give either "text" or "chunks"'],
    [{ text: "a", chunks: ["a"] }, 'give either "text" or "chunks"'],
    [{ chunks: [] }, "chunks: "],
    [{ chunks: ["a", ""] }, "chunks.1: "],
    [{ text: 1 }, "text: "],
    [{ text: "\ud800" }, "lone surrogate"],
    [{ chunks: ["a", "\udc00"] }, "lone surrogate"],
    [{ text: "a", version: "" }, "version: "],
    [{ text: "a", version: "v".repeat(501) }, "version: "],
    [{ text: "a", version: "\ud800" }, "version: is not UTF-8"],
    [{ text: "a", title: "t" }, "title"],
  ])("%j is refused: %s", (body, message) => {
    expect(() => readPut(bytes(body))).toThrow(refusal(message));
  });

  it("has at most 100,000 chunks", () => {
    const chunks = Array.from({ length: 100_000 }, () => "a");
    expect(readPut(bytes({ chunks })).source).toEqual({ chunks });
    expect(() => readPut(bytes({ chunks: [...chunks, "a"] }))).toThrow(refusal("chunks: "));
  });
});

describe("a search", () => {
  const named = { company: " 가나 ", title: "t" };
  const base64 = Buffer.from(Float32Array.from([1, -2.5]).buffer).toString("base64");

  it.each([
    ["its defaults", { query: "q" }, { query: { text: "q" } }],
    [
      "nulls for what is left out",
      { query: "q", vector: null, titles: null, k: null, rerank: null },
      { query: { text: "q" } },
    ],
    [
      "several titles",
      { title: undefined, titles: ["a", " b "], query: "q" },
      { titles: ["a", "b"], query: { text: "q" } },
    ],
    ["numbers", { vector: [1, -2.5] }, { query: { vector: Float32Array.from([1, -2.5]) } }],
    ["base64", { vector: base64 }, { query: { vector: Float32Array.from([1, -2.5]) } }],
    ["the largest k", { query: "q", k: 1000 }, { query: { text: "q" }, k: 1000 }],
    ["the largest k to rerank", { query: "q", k: 50, rerank: true }, { query: { text: "q" }, k: 50, rerank: true }],
    ["the longest query", { query: "q".repeat(100_000) }, { query: { text: "q".repeat(100_000) } }],
  ])("with %s is read", (_name, body, read) => {
    expect(readSearch(bytes({ ...named, ...body }))).toEqual({
      company: "가나",
      titles: ["t"],
      k: 5,
      rerank: false,
      ...read,
    });
  });

  it("has at most 100 titles, a query of 100,000 characters, and vectors of 16,384 numbers", () => {
    const titles = Array.from({ length: 100 }, (_, n) => `t${n}`);
    const search = (more: object) => readSearch(bytes({ company: "A", query: "q", ...more }));
    expect(search({ titles }).titles).toEqual(titles);
    expect(() => search({ titles: [...titles, "t"] })).toThrow(refusal("titles: "));
    expect(() => search({ title: "t", query: "q".repeat(100_001) })).toThrow(refusal("query: "));
    const numbers = Array.from({ length: 16_384 }, () => 1);
    const vector = (given: unknown) => search({ title: "t", query: undefined, vector: given }).query;
    const text = (all: number[]) => Buffer.from(Float32Array.from(all).buffer).toString("base64");
    expect(vector(numbers)).toEqual({ vector: Float32Array.from(numbers) });
    expect(vector(text(numbers))).toEqual({ vector: Float32Array.from(numbers) });
    expect(() => vector([...numbers, 1])).toThrow(refusal("vector: "));
    expect(() => vector(text([...numbers, 1]))).toThrow(refusal("vector: "));
  });

  it.each([
    [{}, 'give either "query" or "vector"'],
    [{ query: "q", vector: [1] }, 'give either "query" or "vector"'],
    [{ query: "" }, "query: "],
    [{ vector: [] }, "vector: "],
    [{ vector: "" }, "vector: "],
    [{ vector: "?" }, "vector: "],
    [{ vector: ["1"] }, "vector: "],
    [{ vector: "AAA=" }, "vector: neither a list of numbers nor base64"],
    [{ vector: Buffer.from(Float32Array.from([1, Number.NaN]).buffer).toString("base64") }, "vector: neither"],
    [{ vector: [1e39] }, "vector: neither"],
    [{ query: "q", titles: ["a"] }, 'give either "title" or "titles"'],
    [{ query: "q", title: undefined }, 'give either "title" or "titles"'],
    [{ query: "q", title: undefined, titles: [] }, "titles: "],
    [{ query: "q", k: 0 }, "k: "],
    [{ query: "q", k: 1001 }, "k: "],
    [{ query: "q", k: 1.5 }, "k: "],
    [{ query: "q", rerank: 1 }, "rerank: "],
    [{ vector: [1], rerank: true }, 'rerank: true needs "query"'],
    [{ query: "q", k: 51, rerank: true }, 'k: at most 50 with "rerank"'],
    [{ query: "q", limit: 1 }, "limit"],
  ])("with %j is refused: %s", (body, message) => {
    expect(() => readSearch(bytes({ ...named, ...body }))).toThrow(refusal(message));
  });

  it("names a company and documents as every request does", () => {
    const search = (more: object) => () => readSearch(bytes({ ...named, query: "q", ...more }));
    expect(search({ company: undefined })).toThrow(refusal("The company is missing", "document_name_invalid"));
    expect(search({ company: "" })).toThrow(refusal("The company is empty", "document_name_invalid"));
    expect(search({ title: "" })).toThrow(refusal("The title is empty", "document_name_invalid"));
    expect(search({ title: undefined, titles: ["a", 1] })).toThrow(
      refusal("The title is missing", "document_name_invalid"),
    );
  });
});

describe("a call for embeddings", () => {
  const call = { model: "m", input: "a" };

  it.each([
    [call, { inputs: ["a"] }],
    [{ ...call, input: ["a", "b"], user: "unknown fields stay the model server's" }, { inputs: ["a", "b"] }],
    [{ ...call, dimensions: null, encoding_format: null }, { inputs: ["a"] }],
    [
      { ...call, dimensions: 16_384, encoding_format: "float" },
      { inputs: ["a"], dimensions: 16_384 },
    ],
    [
      { ...call, dimensions: 1, encoding_format: "base64" },
      { inputs: ["a"], dimensions: 1, base64: true },
    ],
  ])("%j is read", (body, read) => {
    expect(readEmbeddings(bytes(body))).toEqual({ model: "m", dimensions: undefined, base64: false, ...read });
  });

  it("has at most 2,048 inputs", () => {
    const input = Array.from({ length: 2048 }, () => "a");
    expect(readEmbeddings(bytes({ ...call, input })).inputs).toEqual(input);
    expect(() => readEmbeddings(bytes({ ...call, input: [...input, "a"] }))).toThrow(refusal("input: "));
  });

  it.each([
    [{ model: "" }, "model: "],
    [{ model: undefined }, "model: "],
    [{ input: "" }, "input: "],
    [{ input: [] }, "input: "],
    [{ input: [""] }, "input.0: "],
    [{ input: [1] }, "input: "],
    [{ dimensions: 0 }, "dimensions: "],
    [{ dimensions: 16_385 }, "dimensions: "],
    [{ dimensions: 1.5 }, "dimensions: "],
    [{ encoding_format: "hex" }, "encoding_format: "],
  ])("with %j is refused: %s", (change, message) => {
    expect(() => readEmbeddings(bytes({ ...call, ...change }))).toThrow(refusal(message));
  });
});

describe("a query", () => {
  const none = {
    company: undefined,
    title: undefined,
    version: undefined,
    all: false,
    include: { chunks: false, vectors: false },
    base64: true,
    limit: 100,
    after: undefined,
  };

  it.each([
    ["", {}],
    ["company=%EA%B0%80+%EB%82%98&title=t", { company: "가 나", title: "t" }],
    ["version=v&all=true", { version: "v", all: true }],
    ["include=chunks", { include: { chunks: true, vectors: false } }],
    ["include=vectors", { include: { chunks: false, vectors: true } }],
    ["include=vectors,chunks&encoding=float", { include: { chunks: true, vectors: true }, base64: false }],
    ["encoding=base64", {}],
    ["limit=1", { limit: 1 }],
    ["limit=1000", { limit: 1000 }],
    [`after=${cursorOf({ company: "가", title: "/t" })}`, { after: { company: "가", title: "/t" } }],
  ])("%j is read", (query, read) => {
    expect(readQuery(query)).toEqual({ ...none, ...read });
  });

  it.each([
    ["title=%ff", "not percent-encoded UTF-8"],
    ["title=%", "not percent-encoded UTF-8"],
    ["Title=t", /unknown parameter "Title"\. Known: company, title, version, all, include, encoding, limit, after\.$/],
    ["title=a&title=b", "title more than once"],
    ["version=", "version must have 1 to 500 characters"],
    [`version=${"v".repeat(501)}`, "version must have 1 to 500 characters"],
    ["all=false", "all must be true or left out"],
    ["all=", "all must be true or left out"],
    ["include=", 'include has the unknown value ""'],
    ["include=chunks,text", 'include has the unknown value "text". Known: chunks, vectors.'],
    ["encoding=hex", "encoding must be base64 or float"],
    ["encoding=", "encoding must be base64 or float"],
    ["limit=0", "limit must be a whole number from 1 to 1000"],
    ["limit=1001", "limit must be a whole number from 1 to 1000"],
    ["limit=1.5", "limit must be a whole number from 1 to 1000"],
    ["limit=x", "limit must be a whole number from 1 to 1000"],
    ["limit=", "limit must be a whole number from 1 to 1000"],
    ["after=", "after is not the `next`"],
    [`after=${Buffer.from('["a"]').toString("base64url")}`, "after is not the `next`"],
    [`after=${Buffer.from('["a",1]').toString("base64url")}`, "after is not the `next`"],
  ])("%j is refused", (query, message) => {
    expect(() => readQuery(query)).toThrow(refusal(message));
  });

  it("names a company and a document as every request does", () => {
    expect(() => readQuery("company=")).toThrow(refusal("The company is empty", "document_name_invalid"));
    expect(() => readQuery("title=%00")).toThrow(refusal("The title contains a control", "document_name_invalid"));
  });
});
