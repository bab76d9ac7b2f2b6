import { describe, expect, it } from "vitest";
import { startModel } from "../harness.ts";
import { vectorOf } from "./model.ts";
import { at, call, startDocumentsRelay } from "./relays.ts";

interface RerankBody {
  readonly model?: string;
  readonly query: string;
  readonly documents: readonly string[];
}

/** A server of OpenAI's API that embeds, and reranks as `rerank` says: by default by the number at a text's end. */
async function start(rerank?: (body: RerankBody) => { status: number; body: unknown }, model: object = {}) {
  const asked: RerankBody[] = [];
  const upstream = await startModel(({ url, body }, res) => {
    const json = (value: unknown, status = 200) =>
      void res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    if (url === "/v1/models") return json({ data: [{ id: "embed" }] });
    const parsed = JSON.parse(body.toString() || "{}") as RerankBody & { input: string | string[] };
    if (url === "/v1/embeddings") {
      const data = [parsed.input].flat().map((text, index) => ({ index, embedding: vectorOf(text) }));
      return json({ data, usage: { prompt_tokens: data.length } });
    }
    asked.push(parsed);
    if (rerank !== undefined) {
      const answer = rerank(parsed);
      return json(answer.body, answer.status);
    }
    const results = parsed.documents.map((text, index) => ({
      index,
      relevance_score: Number(/\d+$/.exec(text)?.[0]) / 10,
    }));
    return json({ results: results.reverse(), usage: { prompt_tokens: 7, total_tokens: 7 } });
  });
  const relay = await startDocumentsRelay(upstream.url, {
    changes: { model: { kind: "openai", url: upstream.url, embeddingModel: "embed", ...model } },
    documents: { tokensPerCompanyPerDay: 100_000 },
  });
  const chunks = Array.from({ length: 80 }, (_, n) => `조항 ${n}`);
  expect((await call(relay, "PUT", at("국민", "계약서.pdf"), { chunks })).status).toBe(201);
  const search = (more: object) =>
    call(relay, "POST", "/v1/documents/search", { company: "국민", title: "계약서.pdf", query: "대금", ...more });
  return { relay, asked, search };
}

describe("a search with rerank", () => {
  it("reranks the nearest 50 and gives the best k by the reranker, with both scores", async () => {
    const { asked, search } = await start();
    const near = await search({ k: 50 });
    const found = await search({ k: 3, rerank: true });
    expect(found.status).toBe(200);
    const nearest = near.body.data!.map(({ text }) => text as string);
    expect(asked).toEqual([{ query: "대금", documents: nearest }]);
    const best = [...nearest].sort((a, b) => Number(/\d+$/.exec(b)?.[0]) - Number(/\d+$/.exec(a)?.[0])).slice(0, 3);
    expect(found.body.data?.map(({ text }) => text)).toEqual(best);
    for (const one of found.body.data ?? []) {
      const before = near.body.data!.find(({ text }) => text === one.text);
      expect(one).toEqual({ ...before, relevance_score: Number(/\d+$/.exec(String(one.text))?.[0]) / 10 });
    }
    // The query's embedding and the reranking.
    expect(found.body.usage).toEqual({ prompt_tokens: 8, total_tokens: 8 });
  });

  it("names the configured reranker, and asks nothing of it without rerank", async () => {
    const { asked, search } = await start(undefined, { rerankModel: "bge-reranker-v2-m3" });
    expect((await search({ rerank: false })).status).toBe(200);
    expect((await search({ rerank: null })).status).toBe(200);
    expect(asked).toEqual([]);
    expect((await search({ rerank: true })).body.data).toHaveLength(5);
    expect(asked[0]?.model).toBe("bge-reranker-v2-m3");
  });

  it.each([
    ["llama-server without --reranking", { status: 501, body: { error: { code: 501, message: "not supported" } } }],
    ["Ollama", { status: 404, body: "404 page not found" }],
    ["LM Studio", { status: 200, body: { error: "Unexpected endpoint or method. (POST /v1/rerank)" } }],
    ["a server that leaves texts out", { status: 200, body: { results: [{ index: 0, relevance_score: 1 }] } }],
  ])("says that there is no reranker: %s", async (_what, answer) => {
    const { search } = await start(() => answer);
    const found = await search({ rerank: true });
    expect([found.status, found.body.error?.code]).toEqual([422, "rerank_not_available"]);
    expect(found.body.error?.message).toMatch(/^rerank: true needs a reranker.*llama-server.*Leave "rerank" out/);
    expect((await search({})).status).toBe(200);
  });

  it("passes a refusal's words on, and tells a busy or failing server apart", async () => {
    let answer = { status: 400, body: { error: { message: "input is too large" } } as unknown };
    const { search } = await start(() => answer);
    const refused = await search({ rerank: true });
    expect([refused.status, refused.body.error?.message]).toEqual([422, expect.stringContaining("input is too large")]);
    answer = { status: 503, body: { error: { message: "loading" } } };
    expect((await search({ rerank: true })).body.error?.code).toBe("model_busy");
    answer = { status: 500, body: {} };
    expect((await search({ rerank: true })).body.error?.code).toBe("model_broke_off");
  });

  it.each([
    [{ rerank: "yes" }, /rerank: .*boolean/],
    [{ rerank: true, k: 51 }, /k: at most 50 with "rerank"/],
    [{ rerank: true, query: undefined, vector: [1, 2] }, /rerank: true needs "query"/],
  ])("refuses %j", async (more, words) => {
    const { asked, search } = await start();
    const found = await search(more);
    expect([found.status, found.body.error?.code]).toEqual([400, "document_invalid"]);
    expect(found.body.error?.message).toMatch(words);
    expect(asked).toEqual([]);
  });
});
