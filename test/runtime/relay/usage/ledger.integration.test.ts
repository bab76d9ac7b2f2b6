/** What a relay records of real requests, what `/v1/usage` and the admin listener say of it, and quotas on the way. */

import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { jobsSchema, limitsSchema } from "../../../../runtime/limits-config.ts";
import { usage as usageSchema } from "../../../../runtime/relay/openapi/answers.ts";
import {
  asServer,
  codeOf,
  post,
  rawGet,
  startModel,
  startTestRelay,
  type TestRelay,
  temporaryFolder,
} from "../harness.ts";

/** The machine may be busy. */
const PATIENCE = { timeout: 20_000 };
const CHAT = "/v1/chat/completions";
const answer = (prompt: number, output: number, cached?: number) =>
  JSON.stringify({
    choices: [{ message: { content: "안녕" } }],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: output,
      ...(cached !== undefined && { prompt_tokens_details: { cached_tokens: cached } }),
    },
  });
const limits = (changes: Partial<RelayConfig["limits"]>) => limitsSchema.parse({ chat: 64, embeddings: 8, ...changes });

async function usageOf(
  relay: TestRelay,
  query = "",
): Promise<Record<string, never> & { total: Record<string, number>; data: Record<string, unknown>[] }> {
  const response = await fetch(`${relay.url}/v1/usage${query}`, { headers: asServer });
  expect(response.status, await response.clone().text()).toBe(200);
  const body = (await response.json()) as never;
  usageSchema.parse(body);
  return body;
}

describe("what is recorded", () => {
  it("calls with the tokens the model server states, by company and model", async () => {
    const model = await startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(100, 20, 30));
    });
    const relay = await startTestRelay(model.url);
    for (const company of ["국민", "국민", "삼성"]) {
      const headers = { "Slm-Company": encodeURIComponent(company) };
      const response = await post(relay, CHAT, { model: "qwen", messages: [] }, { headers });
      expect(response.status).toBe(200);
      await response.text();
    }
    await vi.waitFor(async () => expect((await usageOf(relay)).total.calls).toBe(3), PATIENCE);
    const { total, data } = await usageOf(relay, "?by=company");
    expect(total).toMatchObject({ tokens_in: 300, tokens_cached: 90, tokens_out: 60, errors: 0, refused: 0 });
    expect(data.map(({ company, calls }) => [company, calls])).toEqual([
      ["국민", 2],
      ["삼성", 1],
    ]);
    expect((await usageOf(relay, "?by=model")).data).toMatchObject([{ model: "qwen", tokens_out: 60 }]);
    expect((await usageOf(relay, "?by=caller")).data).toMatchObject([{ caller: "backend", calls: 3 }]);
    expect((await usageOf(relay, "?by=day")).data).toHaveLength(1);
    // Another caller's rows are not shown, and the file is for the relay's account only.
    expect((await usageOf(relay, "?from=2020-01&to=2020-02")).total.calls).toBe(0);
  });

  it("a stream that the client cancels with the tokens that had come", async () => {
    const sent = Promise.withResolvers<void>();
    const model = await startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      for (let at = 0; at < 7; at += 1) res.write(`data: {"choices":[{"delta":{"content":"${at}"}}]}\n\n`);
      sent.resolve();
    });
    const relay = await startTestRelay(model.url);
    const stop = new AbortController();
    const response = await post(
      relay,
      CHAT,
      { model: "qwen", stream: true, messages: [{ role: "user", content: "가".repeat(400) }] },
      { signal: stop.signal },
    );
    const reader = response.body!.getReader();
    let got = "";
    while (!got.includes('"6"')) got += new TextDecoder().decode((await reader.read()).value);
    stop.abort();
    await vi.waitFor(async () => expect((await usageOf(relay)).total.calls).toBe(1), PATIENCE);
    const { total } = await usageOf(relay);
    expect(total.tokens_out).toBe(7);
    expect(total.tokens_in).toBeGreaterThan(300);
    expect(total.errors).toBe(0);
  });

  it("runs of jobs, repetitions by a key, and errors; a job that is handed in is no call of its own", async () => {
    let status = 200;
    const model = await startModel((_seen, res) => {
      res.writeHead(status, { "Content-Type": "application/json" }).end(status === 200 ? answer(10, 5) : "{}");
    });
    const relay = await startTestRelay(model.url);
    const headers = { Prefer: "respond-async, wait=20" };
    expect((await post(relay, CHAT, { model: "qwen" }, { headers })).status).toBe(200);
    const keyed = { headers: { "Idempotency-Key": "k1" } };
    expect((await post(relay, CHAT, { model: "qwen" }, keyed)).status).toBe(200);
    await vi.waitFor(async () => {
      const again = await post(relay, CHAT, { model: "qwen" }, keyed);
      expect(again.headers.get("idempotency-replayed")).toBe("true");
    });
    status = 500;
    expect((await post(relay, CHAT, { model: "qwen" })).status).toBe(500);
    expect((await post(relay, CHAT, "not json")).status).toBe(400);
    await vi.waitFor(async () => {
      const { rows } = await owner(relay, "kind,servedBy");
      const calls = (kind: string, by: string | null) =>
        rows.filter((row) => row.kind === kind && row.served_by === by).map((row) => row.calls)[0];
      expect(calls("job", "model")).toBe(1);
      expect(calls("call", "model")).toBe(1);
      expect(calls("call", "cache")).toBeGreaterThanOrEqual(1);
      expect(calls("call", null)).toBe(2);
    });
    const { total } = await usageOf(relay);
    expect(total).toMatchObject({ tokens_in: 20, tokens_out: 10, errors: 2 });
    expect((await owner(relay, "model")).rows.map(({ model: name }) => name)).toContain("qwen");
  });

  it("what the fallback server answered, with its price, apart from what the Mac answered", async () => {
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(1000, 500, 400)),
    );
    const cloud = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(2000, 300)),
    );
    const prices = {
      currency: "USD",
      models: { default: { in: 0.15, cached: 0.075, out: "0.6" } },
      fallback: { in: 3, out: 15 },
    };
    const relay = await startTestRelay(model.url, {
      fallback: { url: cloud.url, companies: ["*"] },
      usage: { retentionDays: 400, timeZone: "Asia/Seoul", maxDiskMiB: 64, prices },
    });
    expect((await post(relay, CHAT, { model: "qwen" })).status).toBe(200);
    await model.close();
    const second = await post(relay, CHAT, { model: "qwen" });
    expect([second.status, second.headers.get("x-slm-served-by")]).toEqual([200, "fallback"]);
    await vi.waitFor(async () => expect((await owner(relay, "servedBy")).rows).toHaveLength(2));
    const { total, rows, currency } = await owner(relay, "servedBy");
    expect(currency).toBe("USD");
    // 600 × 0.15 + 400 × 0.075 + 500 × 0.6 and 2000 × 0.15 + 300 × 0.6 a million; 2000 × 3 + 300 × 15.
    expect(total).toMatchObject({ cloud_cost: "0.000900", fallback_cost: "0.010500" });
    expect(rows.map((row) => [row.served_by, row.cloud_cost, row.fallback_cost])).toEqual([
      ["fallback", "0.000480", "0.010500"],
      ["model", "0.000420", "0.000000"],
    ]);
  });
});

describe("GET /v1/usage", () => {
  it.each([
    ["?from=yesterday", /from: "yesterday" is not a time. Send a day such as/],
    ["?from=2026-02-30", /from: "2026-02-30" is not a time/],
    ["?to=2026-11-28T10:00:00+09:00", /Write the \+ of a time zone as %2B/],
    ["?from=2026-12-01&to=2026-11-01", /from: "2026-12-01" is not before to: "2026-11-01"/],
    ["?by=server", /by: "server" is nothing usage can be summed by. Use one of company, caller, model, day/],
    ["?by=company,day", /by: "company,day" is nothing/],
    ["?by=company&by=day", /has by more than once/],
    ["?caller=bank", /has "caller". Use from, to and by/],
  ])("answers 400 to %s, naming the field, its value and what to send", async (query, message) => {
    const relay = await startTestRelay("http://127.0.0.1:1");
    const response = await fetch(`${relay.url}/v1/usage${query}`, { headers: asServer });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("usage_query_invalid");
    expect(error.message).toMatch(message);
  });

  it("takes HEAD, and refuses other methods", async () => {
    const relay = await startTestRelay("http://127.0.0.1:1");
    expect((await rawGet(relay.port, "/v1/usage", undefined, "HEAD")).status).toBe(200);
    expect((await rawGet(relay.port, "/v1/usage", undefined, "DELETE")).status).toBe(405);
  });
});

describe("quotas", () => {
  it("of 64 requests at once over keep-alive connections exactly as many reach the model as the quota says", async () => {
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(1, 1)),
    );
    const relay = await startTestRelay(model.url, {
      limits: limits({ callers: { backend: { requestsPerMinute: 40 } } }),
    });
    const all = await Promise.all(Array.from({ length: 64 }, () => post(relay, CHAT, { model: "qwen" })));
    const statuses = all.map(({ status }) => status);
    expect([statuses.filter((one) => one === 200).length, statuses.filter((one) => one === 429).length]).toEqual([
      40, 24,
    ]);
    expect(model.seen).toHaveLength(40);
    const refused = all.find(({ status }) => status === 429)!;
    expect(refused.headers.get("ratelimit-policy")).toBe('"caller-requests";q=40;qu="requests";w=60');
    expect(refused.headers.get("x-ratelimit-limit-requests")).toBe("40");
    expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(refused.headers.get("x-should-retry")).toBe("true");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await codeOf(refused)).toBe("quota_exceeded");
    expect(
      all
        .filter(({ status }) => status === 200)
        .every(({ headers }) => headers.get("x-ratelimit-limit-requests") === "40"),
    ).toBe(true);
    await Promise.all(all.filter(({ bodyUsed }) => !bodyUsed).map((one) => one.text()));
    await vi.waitFor(async () =>
      expect((await usageOf(relay)).total).toMatchObject({ calls: 64, refused: 24, tokens_in: 40 }),
    );
  });

  it.each([
    ["/api/chat", (body: never) => (body as { error: unknown }).error !== undefined],
    ["/v1/messages", (body: never) => (body as { type: string }).type === "error"],
  ])("a refusal has the form of its API (%s)", async (path, isError) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { limits: limits({ companies: { default: { tokensPerDay: 1 } } }) });
    const response = await post(relay, path, { model: "qwen", max_tokens: 5, messages: [] });
    expect(response.status).toBe(429);
    expect(isError((await response.json()) as never)).toBe(true);
    expect(model.seen).toEqual([]);
  });

  it("jobs wait while their quota is used up, and others' jobs do not wait behind them", async () => {
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(900, 200)),
    );
    const relay = await startTestRelay(model.url, {
      limits: limits({ companies: { default: { tokensPerDay: 1000 } } }),
      jobs: jobsSchema.parse({ minFreeMiB: 0 }),
    });
    const headers = (company: string) => ({
      Prefer: "respond-async, wait=20",
      "Slm-Company": encodeURIComponent(company),
    });
    const submit = (company: string) => post(relay, CHAT, { model: "qwen" }, { headers: headers(company) });
    expect((await submit("국민")).status).toBe(200);
    await vi.waitFor(async () => expect((await usageOf(relay)).total.calls).toBe(1), PATIENCE);
    const waits = await post(
      relay,
      CHAT,
      { model: "qwen" },
      { headers: { ...headers("국민"), Prefer: "respond-async" } },
    );
    expect(waits.status).toBe(202);
    expect((await submit("삼성")).status).toBe(200);
    const { id } = (await waits.json()) as { id: string };
    const job = (await (await fetch(`${relay.url}/v1/jobs/${id}`, { headers: asServer })).json()) as { state: string };
    expect(job.state).toBe("queued");
    expect(model.seen).toHaveLength(2);
    // Raised, the job runs.
    relay.reload({
      callers: [
        {
          name: "backend",
          clientId: "0123456789abcdef0123456789abcdef.access",
          companies: ["*"],
          weight: 1,
          enabled: true,
        },
      ],
      limits: limits({ companies: { default: { tokensPerDay: 100_000 } } }),
      directCredentials: undefined,
    });
    await vi.waitFor(() => expect(model.seen).toHaveLength(3), { timeout: 10_000 });
  });

  it("a restart goes on with what was used", async () => {
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(answer(600, 100)),
    );
    const dataDir = await temporaryFolder();
    const changes = {
      dataDir,
      limits: limits({ callers: { backend: { tokensPerMonth: 1000, requestsPerMinute: 100 } } }),
    };
    const first = await startTestRelay(model.url, changes);
    expect((await post(first, CHAT, { model: "qwen" })).status).toBe(200);
    await first.close();
    const second = await startTestRelay(model.url, changes);
    const response = await post(second, CHAT, {
      model: "qwen",
      messages: [{ role: "user", content: "x".repeat(2000) }],
    });
    expect([response.status, await codeOf(response)]).toEqual([429, "quota_spent"]);
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("99");
  });
});

describe("a file that cannot be used", () => {
  const changes = async () => ({ dataDir: await temporaryFolder() });
  const echo = () =>
    startModel((_seen, res) => res.writeHead(200, { "Content-Type": "application/json" }).end(answer(3, 2)));

  it("damaged: it is moved aside, the relay serves and says so", async () => {
    const model = await echo();
    const { dataDir } = await changes();
    writeFileSync(join(dataDir, "usage.db"), "garbage ".repeat(2000));
    const relay = await startTestRelay(model.url, { dataDir });
    expect(relay.lines).toContainEqual(expect.objectContaining({ movedTo: join(dataDir, "usage.db.broken") }));
    expect((await post(relay, CHAT, { model: "qwen" })).status).toBe(200);
    await vi.waitFor(async () => expect((await usageOf(relay)).total.calls).toBe(1), PATIENCE);
    expect(statSync(join(dataDir, "usage.db")).mode & 0o777).toBe(0o600);
  });

  it("locked: the relay starts and serves, rows wait in memory, and are stored once it is free", {
    timeout: 60_000,
  }, async () => {
    const model = await echo();
    const { dataDir } = await changes();
    const other = new DatabaseSync(join(dataDir, "usage.db"));
    onTestFinished(() => {
      if (other.isOpen) other.close();
    });
    other.exec("CREATE TABLE t (a); BEGIN EXCLUSIVE");
    const relay = await startTestRelay(model.url, { dataDir });
    expect((await post(relay, CHAT, { model: "qwen" })).status).toBe(200);
    const away = await fetch(`${relay.url}/v1/usage`, { headers: asServer });
    expect([away.status, await codeOf(away)]).toEqual([503, "usage_unavailable"]);
    expect(away.headers.get("retry-after")).toBe("5");
    await vi.waitFor(
      () => expect(relay.lines.some(({ msg }) => /ledger cannot be used/.test(String(msg)))).toBe(true),
      20_000,
    );
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toMatch(/slm_ledger_available 0/);
    other.exec("COMMIT; DROP TABLE t");
    other.close();
    await vi.waitFor(async () => expect((await usageOf(relay)).total.calls).toBe(1), 30_000);
  });

  it("a folder in its place: the relay serves", async () => {
    const model = await echo();
    const { dataDir } = await changes();
    mkdirSync(join(dataDir, "usage.db"));
    chmodSync(join(dataDir, "usage.db"), 0o500);
    const relay = await startTestRelay(model.url, { dataDir });
    expect((await post(relay, CHAT, { model: "qwen" })).status).toBe(200);
  });
});

interface OwnerUsage {
  readonly currency: string | null;
  readonly total: Record<string, unknown>;
  readonly rows: Record<string, unknown>[];
}

async function owner(relay: TestRelay, by: string): Promise<OwnerUsage> {
  const response = await fetch(`${relay.admin}/usage?by=${by}`);
  expect(response.status).toBe(200);
  const { data, total, currency } = (await response.json()) as {
    data: OwnerUsage["rows"];
    total: OwnerUsage["total"];
    currency: string | null;
  };
  return { rows: data, total, currency };
}
