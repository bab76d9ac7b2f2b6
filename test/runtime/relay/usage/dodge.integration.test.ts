/** Ways around a quota, each tried on a real relay: documents, searches, jobs, other companies, HEAD, cancelled streams, the fallback, a kill. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { freePorts, runRelay } from "../child.ts";
import { startEmbeddingModel } from "../documents/model.ts";
import { asOther, at, call, type DocumentsRelay, startDocumentsRelay } from "../documents/relays.ts";
import { asServer, jwks, post, startModel, startTestRelay, TEAM, temporaryFolder, testConfig } from "../harness.ts";

/** The machine may be busy. */
const PATIENCE = { timeout: 20_000 };
const CHAT = "/v1/chat/completions";
const limits = (changes: Partial<RelayConfig["limits"]>) => limitsSchema.parse(changes);
const json = (prompt: number, output: number) =>
  JSON.stringify({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: output } });

async function rowsOf(relay: Pick<DocumentsRelay, "admin">, by: string): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${relay.admin}/usage?by=${by}`);
  return ((await response.json()) as { data: Record<string, unknown>[] }).data;
}

describe("documents", () => {
  it("writes, searches and embeddings of a document count for the company that they name, and a hit costs no tokens", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url, {
      changes: { limits: limits({ companies: { A: { requestsPerMinute: 4 } } }) },
    });
    const put = () => call(relay, "PUT", at("A", "one"), { chunks: ["가", "나", "다"] }, asOther);
    expect([(await put()).status, (await put()).status]).toEqual([201, 200]);
    for (let look = 0; look < 3; look += 1) expect((await call(relay, "GET", at("A", "one"))).status).toBe(200);
    expect((await call(relay, "HEAD", at("A", "one"))).status).toBe(200);
    const search = { company: "A", titles: ["one"], query: "가" };
    expect((await call(relay, "POST", "/v1/documents/search", search)).status).toBe(200);
    const named = { "Slm-Company": "A", "Slm-Document": "one" };
    const embed = await call(relay, "POST", "/v1/embeddings", { model: "embed", input: ["라"] }, named);
    expect(embed.status).toBe(200);
    // All of A's four requests are used, over both callers and all four paths.
    for (const refused of [
      await put(),
      await call(relay, "POST", "/v1/documents/search", search),
      await call(relay, "POST", "/v1/embeddings", { model: "embed", input: ["마"] }, named),
      await call(relay, "POST", "/v1/embeddings", { model: "embed", input: "마" }, { "Slm-Company": "A" }),
    ]) {
      expect([refused.status, refused.body.error?.code]).toEqual([429, "quota_exceeded"]);
      expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    }
    // Another company that the caller may name has its own; one that it may not name is refused for that.
    expect((await call(relay, "PUT", at("B", "one"), { chunks: ["가"] }, asOther)).status).toBe(201);
    expect((await call(relay, "PUT", at("C", "one"), { chunks: ["가"] }, asOther)).body.error?.code).toBe(
      "company_not_allowed",
    );
    await vi.waitFor(async () => {
      const rows = await rowsOf(relay, "company,kind,servedBy");
      const of = (kind: string, by: string | null) =>
        rows.find((row) => row.company === "A" && row.kind === kind && row.served_by === by);
      expect(of("document", "model")).toMatchObject({ calls: 1, tokens_embedded: 3, embedding_calls: 1 });
      expect(of("document", "cache")).toMatchObject({ calls: 1, tokens_embedded: 0, cache_hits: 1 });
      expect(of("document", null)).toMatchObject({ refused: 1 });
      expect(of("lookup", "cache")).toMatchObject({ calls: 4, cache_hits: 4 });
      expect(of("search", "model")).toMatchObject({ calls: 1, tokens_embedded: 1 });
      expect(of("call", "model")).toMatchObject({ calls: 1, tokens_embedded: 1 });
    }, PATIENCE);
  });

  it("as jobs wait for the quota too, and their tokens count", async () => {
    const model = await startEmbeddingModel();
    const relay = await startDocumentsRelay(model.url, {
      changes: { limits: limits({ companies: { default: { embeddingTokensPerDay: 5 } } }) },
    });
    const submit = (title: string) =>
      call(relay, "PUT", at("A", title), { chunks: ["가"] }, { Prefer: "respond-async, wait=5" });
    expect((await submit("1")).status).toBe(201); // about 1 token is reserved, 1 is used
    const big = { chunks: ["나".repeat(30), "다".repeat(30)] };
    const waiting = await call(relay, "PUT", at("A", "2"), big, { Prefer: "respond-async" });
    expect(waiting.status).toBe(202);
    await vi.waitFor(async () => {
      const { body } = await call(relay, "GET", `/v1/jobs/${String(waiting.body.id)}`);
      const attempts = body.attempts as { outcome: string; counted: boolean }[];
      expect([body.state, attempts[0]?.outcome ?? "quota_spent", attempts[0]?.counted ?? false]).toEqual([
        "queued",
        "quota_spent",
        false,
      ]);
    }, PATIENCE);
    expect(model.calls.flat()).toEqual(["가"]);
    const [row] = await rowsOf(relay, "company");
    expect(row).toMatchObject({ company: "A", tokens_embedded: 1 });
  });
});

describe("calls", () => {
  it("streams that are cancelled again and again use up the quota with what was generated", async () => {
    const model = await startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      for (let event = 0; event < 100; event += 1) res.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
    });
    const relay = await startTestRelay(model.url, {
      limits: limits({ callers: { backend: { tokensPerDay: 1000 } } }),
    });
    let refused: Response | undefined;
    for (let turn = 0; turn < 40 && refused === undefined; turn += 1) {
      const stop = new AbortController();
      const body = { model: "m", stream: true, max_tokens: 1 };
      const response = await post(relay, CHAT, body, { signal: stop.signal });
      if (response.status === 429) refused = response;
      else await response.body!.getReader().read();
      const ended = relay.lines.length;
      stop.abort();
      if (refused === undefined) await vi.waitFor(() => expect(relay.lines.length).toBeGreaterThan(ended), PATIENCE);
    }
    expect(refused?.status).toBe(429);
    expect(model.seen.length).toBeLessThanOrEqual(20);
  });

  it("another company that the caller may invent has a quota of its own, but the caller's holds", async () => {
    const model = await startModel((_seen, res) => res.writeHead(200).end(json(1, 1)));
    const relay = await startTestRelay(model.url, {
      limits: limits({
        callers: { backend: { requestsPerMinute: 5 } },
        companies: { default: { requestsPerMinute: 2 } },
      }),
    });
    const ask = (company?: string) =>
      post(relay, CHAT, { model: "m" }, { headers: company === undefined ? {} : { "Slm-Company": company } });
    const statuses: number[] = [];
    for (const company of ["a", "a", "a", undefined, undefined, undefined, "b", "c", "d"]) {
      statuses.push((await ask(company)).status);
    }
    expect(statuses).toEqual([200, 200, 429, 200, 200, 429, 200, 429, 429]);
  });

  it("what the fallback answers counts", async () => {
    const cloud = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(json(300, 300)),
    );
    const relay = await startTestRelay("http://127.0.0.1:1", {
      fallback: { url: cloud.url, companies: ["*"] },
      limits: limits({ callers: { backend: { tokensPerMonth: 1000 } } }),
    });
    expect((await post(relay, CHAT, { model: "m" })).status).toBe(200);
    await vi.waitFor(async () => expect(await rowsOf(relay, "servedBy")).toMatchObject([{ tokens_in: 300 }]), PATIENCE);
    expect((await post(relay, CHAT, { model: "m", messages: ["x".repeat(1000)] })).status).toBe(429);
    expect(cloud.seen).toHaveLength(1);
  });

  it("a refused request holds no slot and does not queue", async () => {
    const held: (() => void)[] = [];
    const model = await startModel(({ method }, res) => {
      if (method !== "POST") return void res.writeHead(404).end(); // the status page's look
      held.push(() => res.writeHead(200).end(json(1, 1)));
    });
    const relay = await startTestRelay(model.url, {
      limits: limits({ chat: 1, callers: { backend: { atOnce: 2 } } }),
    });
    const running = [post(relay, CHAT, { model: "m" }), post(relay, CHAT, { model: "m" })];
    await vi.waitFor(async () => {
      const details = (await (await fetch(`${relay.admin}/details`)).json()) as {
        lanes: { chat: { waiting: number } };
      };
      expect([held.length, details.lanes.chat.waiting]).toEqual([1, 1]);
    }, PATIENCE);
    const refused = await Promise.all(Array.from({ length: 20 }, () => post(relay, CHAT, { model: "m" })));
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([429]));
    held[0]!();
    await vi.waitFor(() => expect(held).toHaveLength(2), PATIENCE);
    held[1]!();
    expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
  });
});

it("what ran when the relay was killed counts as used by the next one", { timeout: 60_000 }, async () => {
  const model = await startModel(() => {}); // never answers
  const folder = await temporaryFolder();
  const dataDir = join(folder, "data");
  await mkdir(dataDir, { mode: 0o700 });
  const keysUrl = `https://${TEAM}/cdn-cgi/access/certs`;
  await writeFile(join(dataDir, "jwks.json"), JSON.stringify({ url: keysUrl, uat: Date.now(), jwks }));
  const start = async () => {
    const ports = await freePorts();
    const config = {
      ...testConfig(model.url, dataDir),
      limits: limits({ callers: { backend: { tokensPerMonth: 1000 } } }),
    };
    const relay = await runRelay(folder, { ...config, ...ports });
    await relay.line(({ msg }) => msg === "listening");
    const ask = (characters: number) =>
      fetch(`http://127.0.0.1:${ports.port}${CHAT}`, {
        method: "POST",
        headers: { ...asServer, "Content-Type": "application/json" },
        body: JSON.stringify({ model: "m", max_tokens: 1, messages: ["x".repeat(characters)] }),
      });
    return { relay, ask };
  };
  const { DatabaseSync } = await import("node:sqlite");
  const first = await start();
  const cut = first.ask(3200).catch(() => undefined);
  // Written with the next group of rows, 2 s later at most.
  await vi.waitFor(
    () => {
      const db = new DatabaseSync(join(dataDir, "usage.db"), { readOnly: true });
      const { n } = db.prepare("SELECT count(*) AS n FROM reservations").get() as { n: number };
      db.close();
      expect(n).toBe(1);
    },
    { timeout: 20_000, interval: 100 },
  );
  first.relay.child.kill("SIGKILL");
  await first.relay.exit;
  await cut;
  const second = await start();
  const refused = await second.ask(1000);
  expect(refused.status).toBe(429);
  expect(await refused.text()).toContain("quota_spent");
});
