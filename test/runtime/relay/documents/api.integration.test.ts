import { describe, expect, it } from "vitest";
import { rawGet } from "../harness.ts";
import { DIMENSIONS, startEmbeddingModel, vectorOf } from "./model.ts";
import { asOther, at, call, floats, startDocumentsRelay } from "./relays.ts";
import { startMongoForTest } from "./stores.ts";

const text = "계약은 2026년에 시작한다. 대금은 매월 말일에 지급한다.";

describe.each(["embedded", "atlas"] as const)("documents, store %s", (store) => {
  const start = async (options: Parameters<typeof startDocumentsRelay>[1] = {}) => {
    const model = await startEmbeddingModel();
    const mongo = store === "atlas" ? await startMongoForTest() : undefined;
    const relay = await startDocumentsRelay(model.url, { mongo, ...options });
    return { model, relay, mongo };
  };

  it("misses, takes a text, and from then on finds its vectors without it", async () => {
    const { model, relay } = await start();
    const before = await call(relay, "GET", at("회사", "계약서.pdf"));
    expect([before.status, before.body.error?.code, before.headers.get("slm-miss")]).toEqual([
      404,
      "document_not_found",
      "absent",
    ]);
    const put = await call(relay, "PUT", at("회사", "계약서.pdf"), { text, version: "v1" });
    expect(put.status).toBe(201);
    expect(put.body).toMatchObject({
      created: true,
      embedded: 1,
      reused: 0,
      stored: true,
      chunk_count: 1,
      chunkCount: 1,
      version: "v1",
    });
    const found = await call(relay, "GET", at("회사", "계약서.pdf", { include: "chunks,vectors" }));
    expect(found.status).toBe(200);
    expect(found.headers.get("cache-control")).toBe("no-store, no-transform");
    expect(found.body.data).toHaveLength(1);
    expect(found.body.data?.[0]?.text).toBe(text);
    expect(floats(found.body.data?.[0]?.vector)).toEqual(vectorOf(text).map((x) => expect.closeTo(x, 6) as number));
    const lives = Date.parse(String(found.body.expiresAt)) - Date.now();
    expect(Math.abs(lives - 30 * 86_400_000)).toBeLessThan(60_000);
    const asJson = await call(relay, "GET", at("회사", "계약서.pdf", { include: "vectors", encoding: "float" }));
    expect(asJson.body.data?.[0]?.vector).toEqual(floats(found.body.data?.[0]?.vector));
    expect(model.calls).toEqual([[text]]);
  });

  it("embeds nothing for the same text, replaces another, and takes what of it is the same from before", async () => {
    const { model, relay } = await start();
    const path = at("회사", "a");
    await call(relay, "PUT", path, { chunks: ["하나", "둘", "셋"] });
    const same = await call(relay, "PUT", path, { chunks: ["하나", "둘", "셋"], version: "v2" });
    expect([same.status, same.body.embedded, same.body.reused, same.body.version]).toEqual([200, 0, 3, "v2"]);
    expect(model.calls).toHaveLength(1);
    const other = await call(relay, "PUT", path, { chunks: ["하나", "넷"] });
    expect([other.status, other.body.embedded, other.body.reused, other.body.version]).toEqual([200, 1, 1, null]);
    expect(model.calls[1]).toEqual(["넷"]);
    const { body } = await call(relay, "GET", `${path}&include=chunks,vectors`);
    expect(body.data?.map((chunk) => chunk.text)).toEqual(["하나", "넷"]);
    for (const chunk of body.data ?? []) {
      expect(floats(chunk.vector)[0]).toBeCloseTo(vectorOf(String(chunk.text))[0]!, 6);
    }
  });

  it("answers 304 to who has it, a miss to who wants another version, and counts both right", async () => {
    const { relay } = await start();
    const path = at("회사", "a");
    await call(relay, "PUT", path, { text, version: "v1" });
    const first = await call(relay, "GET", `${path}&version=v1`);
    const tag = first.headers.get("etag")!;
    const again = await call(relay, "GET", path, undefined, { "If-None-Match": `"x", W/${tag}` });
    expect([again.status, again.headers.get("etag")]).toEqual([304, tag]);
    expect(again.headers.get("cache-control")).toBe("no-store, no-transform");
    const head = await call(relay, "HEAD", path);
    expect([head.status, head.headers.get("etag")]).toEqual([200, tag]);
    const full = await call(relay, "GET", `${path}&include=vectors`, undefined, { "If-None-Match": tag });
    expect(full.status).toBe(200); // another form of the answer
    const other = await call(relay, "GET", `${path}&version=v2`);
    expect([other.status, other.headers.get("slm-miss")]).toEqual([404, "version"]);
    await call(relay, "PUT", path, { text, version: "v2" });
    const changed = await call(relay, "GET", path, undefined, { "If-None-Match": tag });
    expect(changed.status).toBe(200);
  });

  it("takes two spellings of one Korean title for one, but not two cases", async () => {
    const { model, relay } = await start();
    const put = await call(relay, "PUT", at(" 회사".normalize("NFD"), "한글 계약서.pdf ".normalize("NFD")), { text });
    expect(put.body).toMatchObject({ company: "회사", title: "한글 계약서.pdf" });
    expect((await call(relay, "GET", at("회사", "한글 계약서.pdf".normalize("NFC")))).status).toBe(200);
    expect((await call(relay, "PUT", at("회사", "한글 계약서.pdf"), { text })).body.embedded).toBe(0);
    expect((await call(relay, "GET", at("회사", "한글 계약서.PDF"))).status).toBe(404);
    expect(model.calls).toHaveLength(1);
  });

  it("keeps a caller to its companies, on every path", async () => {
    const { relay } = await start();
    for (const company of ["A", "B", "C"]) await call(relay, "PUT", at(company, "t"), { text });
    const headers = { "Slm-Company": "C", "Slm-Document": "t" };
    const answers = await Promise.all([
      call(relay, "GET", at("C", "t"), undefined, asOther),
      call(relay, "PUT", at("C", "t"), { text }, asOther),
      call(relay, "DELETE", at("C", "t"), undefined, asOther),
      call(relay, "DELETE", "/v1/documents?company=C&all=true", undefined, asOther),
      call(relay, "GET", "/v1/documents?company=C", undefined, asOther),
      call(relay, "POST", "/v1/documents/search", { company: "C", title: "t", query: "q" }, asOther),
      call(relay, "POST", "/v1/embeddings", { model: "embed", input: "x" }, { ...asOther, ...headers }),
    ]);
    expect(answers.map(({ status, body }) => [status, body.error?.code])).toEqual(
      answers.map(() => [403, "company_not_allowed"]),
    );
    const listed = await call(relay, "GET", "/v1/documents", undefined, asOther);
    expect(listed.body.data?.map((one) => one.company)).toEqual(["A", "B"]);
    expect((await call(relay, "GET", at("A", "t"), undefined, asOther)).status).toBe(200);
    expect((await call(relay, "GET", at("C", "t"))).status).toBe(200);
  });

  it("lists in pages, and deletes one or all of a company", async () => {
    const { relay } = await start();
    for (const title of ["1", "2", "3"]) await call(relay, "PUT", at("A", title), { text });
    await call(relay, "PUT", at("B", "1"), { text });
    const first = await call(relay, "GET", "/v1/documents?limit=2");
    const second = await call(relay, "GET", `/v1/documents?limit=2&after=${String(first.body.next)}`);
    const titles = [...first.body.data!, ...second.body.data!].map(
      (one) => `${String(one.company)}${String(one.title)}`,
    );
    expect([titles, second.body.next]).toEqual([["A1", "A2", "A3", "B1"], null]);
    expect((await call(relay, "DELETE", "/v1/documents?company=A")).body.error?.code).toBe("document_invalid");
    expect((await call(relay, "DELETE", at("A", "1"))).body.deleted).toBe(1);
    expect((await call(relay, "DELETE", at("A", "1"))).body.deleted).toBe(0);
    expect((await call(relay, "DELETE", "/v1/documents?company=A&all=true")).body.deleted).toBe(2);
    expect((await call(relay, "GET", "/v1/documents")).body.data).toHaveLength(1);
  });

  it("finds the nearest chunks by query and by vector, over several documents, naming those that are missing", async () => {
    const { model, relay } = await start();
    const chunks = Array.from({ length: 40 }, (_, i) => `조항 ${i}`);
    await call(relay, "PUT", at("A", "one"), { chunks: chunks.slice(0, 20) });
    await call(relay, "PUT", at("A", "two"), { chunks: chunks.slice(20) });
    const wanted = vectorOf("조항 33");
    const expected = chunks
      .map((text) => ({ text, score: vectorOf(text).reduce((sum, x, i) => sum + x * wanted[i]!, 0) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 3);
    const titles = ["one", "two", "none"];
    for (const ask of [
      { query: "조항 33" },
      { vector: wanted },
      { vector: Buffer.from(new Float32Array(wanted).buffer).toString("base64") },
    ]) {
      const { status, body } = await call(relay, "POST", "/v1/documents/search", {
        company: "A",
        titles,
        k: 3,
        ...ask,
      });
      expect([status, body.missing]).toEqual([200, ["none"]]);
      expect(body.data?.map(({ text }) => text)).toEqual(expected.map(({ text }) => text));
      expect(body.data?.[0]).toMatchObject({ title: "two", index: 13 });
      expect(body.data?.[0]?.score).toBeCloseTo(1, 5);
      expect(body.data?.[2]?.score).toBeCloseTo(expected[2]!.score, 5);
    }
    expect(model.calls.filter((inputs) => inputs.includes("조항 33"))).toHaveLength(2); // once stored, once asked for
    const wrong = await call(relay, "POST", "/v1/documents/search", { company: "A", title: "one", vector: [1, 2] });
    expect([wrong.status, wrong.body.error?.message]).toEqual([400, expect.stringContaining(`${DIMENSIONS}`)]);
    const none = await call(relay, "POST", "/v1/documents/search", { company: "A", title: "none", query: "q" });
    expect([none.status, none.body.error?.code]).toEqual([404, "document_not_found"]);
  });

  it("tells how far it has got, as events", async () => {
    const { relay } = await start();
    const response = await fetch(relay.url + at("A", "t"), {
      method: "PUT",
      headers: { ...asOther, Accept: "text/event-stream" },
      body: JSON.stringify({ chunks: Array.from({ length: 70 }, (_, i) => `조각 ${i}`) }),
    });
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
    const events = (await response.text()).trim().split("\n\n");
    expect(events.slice(0, -1)).toEqual(
      [32, 64, 70].map((done) => `event: progress\ndata: {"done":${done},"total":70}`),
    );
    expect(JSON.parse(events.at(-1)!.replace("event: done\ndata: ", ""))).toMatchObject({
      chunkCount: 70,
      embedded: 70,
    });
  });

  it("refuses what would pass 12 MiB, saying how to split it, and stores nothing of it", async () => {
    const { relay } = await start({ changes: { limits: limitsOf(64) } });
    const chunks = ["x".repeat(7 << 20), "y".repeat(6 << 20)];
    const put = await call(relay, "PUT", at("A", "t"), { chunks });
    expect([put.status, put.body.error?.code]).toEqual([413, "document_too_large"]);
    expect(put.body.error?.message).toMatch(/Split it into 2 titles/);
    expect((await call(relay, "GET", at("A", "t"))).status).toBe(404);
  });

  it("stores nothing of an embedding that fails", async () => {
    const { model, relay } = await start();
    model.before = (inputs) => {
      if (inputs.includes("조각 69")) throw new Error("the input length exceeds the context length");
    };
    const chunks = Array.from({ length: 70 }, (_, i) => `조각 ${i}`);
    const put = await call(relay, "PUT", at("A", "t"), { chunks });
    expect([put.status, put.body.error?.code]).toEqual([422, "embedding_refused"]);
    expect(put.body.error?.message).toContain("exceeds the context length");
    expect((await call(relay, "GET", at("A", "t"))).status).toBe(404);
  });
});

function limitsOf(bodyMiB: number) {
  return { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB, whenBusy: "queue" as const };
}

describe("names", () => {
  it.each([
    ["slashes and dots", "../../a/b\\c"],
    ["a title that looks like a file", "계약서.pdf"],
    ["1,000 characters of emoji", "😀".repeat(1000)],
    ["as many Korean characters as are promised", "가".repeat(1333)],
    ["quotes and percent signs", `"100%25" & 'x'=?#`],
  ])("takes %s as they are", async (_what, title) => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url);
    expect((await call(relay, "PUT", at("A", title), { text })).status).toBe(201);
    expect((await call(relay, "GET", at("A", title))).body.title).toBe(title);
  });

  it("refuses what is no name or no query, saying why", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url);
    const port = Number(new URL(relay.url).port);
    const cases: [string, string, RegExp][] = [
      ["?company=&title=a", "document_name_invalid", /company is empty/],
      ["?company=A&title=%20%20", "document_name_invalid", /title is empty/],
      ["?title=a", "document_name_invalid", /company is missing/],
      [`?company=A&title=${"a".repeat(2001)}`, "document_name_invalid", /2001 characters/],
      [
        `?company=A&title=${encodeURIComponent("가".repeat(1334))}`,
        "document_name_invalid",
        /4002 bytes.*at most 4000/,
      ],
      ["?company=A&title=a%0Ab", "document_name_invalid", /control/],
      ["?company=A&title=%FF", "document_invalid", /UTF-8/],
      ["?company=A&title=%ED%A0%80", "document_invalid", /UTF-8/],
      ["?company=A&title=a&title=b", "document_invalid", /more than once/],
      ["?company=A&title=a&colour=b", "document_invalid", /colour/],
      ["?company=A&title=a&include=all", "document_invalid", /include/],
      ["?company=A&limit=0", "document_invalid", /limit/],
      ["?after=x", "document_invalid", /after/],
    ];
    for (const [query, code, words] of cases) {
      const answer = await rawGet(port, `/v1/documents${query}`);
      expect([query.slice(0, 40), answer.status, answer.code]).toEqual([query.slice(0, 40), 400, code]);
      expect(answer.answer).toMatch(words);
    }
    for (const body of [
      {},
      { text: "a", chunks: ["b"] },
      { chunks: [] },
      { chunks: [""] },
      { text, more: 1 },
      { text: "  " },
    ]) {
      expect((await call(relay, "PUT", at("A", "t"), body)).body.error?.code).toBe("document_invalid");
    }
    expect((await call(relay, "PATCH", at("A", "t"), {})).headers.get("allow")).toBe("GET, HEAD, PUT, DELETE");
  });
});
