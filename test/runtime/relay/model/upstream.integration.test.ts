import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { describe, expect, onTestFinished, test } from "vitest";
import { createBreaker } from "../../../../runtime/relay/model/breaker.ts";
import { agreed } from "../../../../runtime/relay/model/fallback.ts";
import { claimPort } from "../../../../sandbox/machine/ports.ts";
import { asServer, CLIENT_ID, codeOf, post, startModel, startTestRelay, testConfig } from "../harness.ts";

const ask = { model: "local", messages: [] };

async function metricsOf(relay: { admin: string }): Promise<string> {
  return (await fetch(`${relay.admin}/metrics`)).text();
}

describe("circuit breaker", () => {
  test("opens after three failures in a row, answers 503 at once, and closes by itself when the model server is back", async () => {
    // The same port again later: one that nobody else gets meanwhile.
    const model = await startModel(undefined, await claimPort());
    await model.close();
    const relay = await startTestRelay(model.url);
    for (let n = 0; n < 3; n += 1) expect((await post(relay, "/api/chat", {})).status).toBe(502);
    const refused = await post(relay, "/api/chat", {});
    expect([refused.status, await codeOf(refused)]).toEqual([503, "model_down"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await metricsOf(relay)).toMatch(/slm_breaker_state\{state="open"\} 1.*slm_breaker_opened_total 1/s);

    const back: Server = createServer((_req, res) => res.end('{"models":[]}'));
    back.listen(Number(new URL(model.url).port), "127.0.0.1");
    await once(back, "listening");
    onTestFinished(() => {
      back.closeAllConnections();
      back.close();
    });
    await expect
      .poll(async () => (await post(relay, "/api/chat", {})).status, { timeout: 10_000, interval: 100 })
      .toBe(200);
  });

  test("half-opens with one look; jobs may wait for it to close", async () => {
    let looks = 0;
    const found = Promise.withResolvers<boolean>();
    const breaker = createBreaker({
      failures: 1,
      pauseMs: 5,
      probe: () => {
        looks += 1;
        return looks === 1 ? Promise.resolve(false) : found.promise;
      },
    });
    onTestFinished(() => breaker.stop());
    breaker.failed();
    breaker.failed();
    expect([breaker.state, breaker.opened]).toEqual(["open", 1]);
    const leaving = new AbortController();
    const left = breaker.whenClosed(leaving.signal);
    const waiting = breaker.whenClosed(new AbortController().signal);
    leaving.abort();
    await expect(left).rejects.toThrow("disconnected");
    await expect.poll(() => looks).toBe(2);
    expect(breaker.state).toBe("half-open");
    expect(() => breaker.check()).toThrow("down");
    found.resolve(true);
    await waiting;
    breaker.check();
    expect(looks).toBe(2);
  });

  test("an answer with 5xx does not open it, nor does a caller who leaves", async () => {
    const model = await startModel((_seen, res) => res.writeHead(500).end());
    const relay = await startTestRelay(model.url);
    for (let n = 0; n < 5; n += 1) expect((await post(relay, "/api/chat", {})).status).toBe(500);
  });
});

describe("time-outs", () => {
  test.each([
    ["before its first byte", {}, "504 model_timeout"],
    ["within an answer", { begin: true }, "cut"],
  ])(
    "a model server that says nothing %s is given up",
    async (_name, { begin = false }: { begin?: boolean }, expected) => {
      const gone = Promise.withResolvers<void>();
      const model = await startModel((_seen, res) => {
        res.once("close", gone.resolve);
        if (begin) res.writeHead(200, { "Content-Type": "text/plain" }).write("a");
      });
      const timeouts = { firstByte: 0.5, silence: 0.5 };
      const relay = await startTestRelay(model.url, {
        model: { kind: "ollama", url: model.url, embeddingModel: "e", timeouts },
      });
      const response = await post(relay, "/api/chat", {});
      if (begin) await expect(response.text()).rejects.toThrow("terminated");
      else expect(`${response.status} ${await codeOf(response)}`).toBe(expected);
      await gone.promise;
      await expect
        .poll(() => relay.lines.find(({ msg }) => msg === "request"))
        .toMatchObject({ code: "model_timeout" });
    },
  );
});

describe("fallback", () => {
  const limits = { ...testConfig("", "").limits, chat: 1, embeddings: 1, waiting: 0 };

  async function start(companies: string[] | undefined, ofCaller = ["acme"]) {
    const cloud = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end('{"cloud":1}'),
    );
    const model = await startModel(({ url }, res) => {
      if (url.startsWith("/v1/models")) res.end('{"data":[]}');
    });
    const relay = await startTestRelay(
      model.url,
      {
        limits,
        model: { kind: "openai", url: model.url, embeddingModel: "e" },
        callers: [{ name: "backend", clientId: CLIENT_ID, companies: ofCaller, weight: 1, enabled: true }],
        fallback: companies && { url: `${cloud.url}/base`, model: "gpt-x", companies },
      },
      { secrets: { fallbackKey: "sk-secret" } },
    );
    const leaving = new AbortController();
    for (const path of ["/v1/chat/completions", "/v1/embeddings"]) {
      void post(relay, path, {}, { signal: leaving.signal }).catch(() => {});
    }
    onTestFinished(() => leaving.abort());
    await expect.poll(() => model.seen.filter(({ method }) => method === "POST").length).toBe(2);
    return { cloud, relay };
  }

  test("takes what would be turned away, with its own model and key and nothing of Access, and is counted", async () => {
    const { cloud, relay } = await start(["acme"]);
    const response = await post(relay, "/v1/chat/completions?a=1", ask);
    expect([response.status, await response.text()]).toEqual([200, '{"cloud":1}']);
    expect(response.headers.get("x-slm-served-by")).toBe("fallback");
    const { url, headers, body } = cloud.seen[0]!;
    expect([url, headers.authorization]).toEqual(["/base/v1/chat/completions?a=1", "Bearer sk-secret"]);
    expect(JSON.parse(body.toString())).toEqual({ model: "gpt-x", messages: [] });
    expect(Object.keys(headers).filter((name) => name.startsWith("cf-"))).toEqual([]);
    expect(await metricsOf(relay)).toContain('slm_fallback_requests_total{caller="backend",reason="queue_full"} 1');
    expect(JSON.stringify(relay.lines)).not.toContain("sk-secret");
  });

  test("never takes embeddings", async () => {
    const { cloud, relay } = await start(["*"]);
    expect((await post(relay, "/v1/embeddings", ask)).status).toBe(429);
    expect(cloud.seen).toEqual([]);
  });

  test.each([
    ["not configured", undefined, ["acme"], {}, 429],
    ["another company's only", ["other"], ["acme"], {}, 429],
    ["one of the caller's two, and the request names none", ["acme"], ["acme", "other"], {}, 429],
    ["one of two, and the request names it", ["acme"], ["acme", "other"], { "X-Slm-Company": "acme" }, 200],
    ["one of two, and the request names the other", ["acme"], ["acme", "other"], { "X-Slm-Company": "other" }, 429],
    ["a name in Korean", ["가나"], ["*"], { "X-Slm-Company": encodeURIComponent("가나") }, 200],
  ])("agreed by company: %s", async (_name, companies, ofCaller, headers, status) => {
    const { relay } = await start(companies, ofCaller);
    expect((await post(relay, "/v1/chat/completions", ask, { headers: { ...asServer, ...headers } })).status).toBe(
      status,
    );
  });

  test("takes over while the model server is down", async () => {
    const cloud = await startModel();
    const model = await startModel();
    await model.close();
    const relay = await startTestRelay(model.url, { fallback: { url: cloud.url, companies: ["*"] } });
    for (let n = 0; n < 5; n += 1) expect((await post(relay, "/v1/chat/completions", ask)).status).toBe(200);
    expect(cloud.seen.map(({ body }) => JSON.parse(body.toString()))).toEqual(Array.from({ length: 5 }, () => ask));
    const metrics = await metricsOf(relay);
    expect(metrics).toContain('slm_fallback_requests_total{caller="backend",reason="model_unreachable"} 3');
    expect(metrics).toContain('slm_fallback_requests_total{caller="backend",reason="model_down"} 2');
  });

  test.each([
    ["refuses the request", 400],
    ["refuses the key", 401],
    ["is busy itself", 429],
    ["is broken", 500],
  ])("that %s: the honest answer of this Mac stands", async (_what, status) => {
    const cloud = await startModel((_seen, res) => {
      res
        .writeHead(status, { "Content-Type": "application/json", "retry-after": "9999" })
        .end('{"error":{"message":"cloud"}}');
    });
    const model = await startModel();
    await model.close();
    const relay = await startTestRelay(model.url, { fallback: { url: cloud.url, companies: ["*"] } });
    const response = await post(relay, "/v1/chat/completions", ask);
    expect([response.status, response.headers.get("x-slm-served-by"), response.headers.get("retry-after")]).toEqual([
      502,
      null,
      "5",
    ]);
    expect(await response.json()).toMatchObject({ error: { code: "model_unreachable" } });
    expect(relay.lines.find(({ fallback }) => fallback !== undefined)?.fallback).toBe(
      `model_unreachable, refused with ${status}`,
    );
  });

  test("that cannot be reached either: the same", async () => {
    const [cloud, model] = [await startModel(), await startModel()];
    await Promise.all([cloud.close(), model.close()]);
    const relay = await startTestRelay(model.url, { fallback: { url: cloud.url, companies: ["*"] } });
    const response = await post(relay, "/v1/chat/completions", ask);
    expect([response.status, await response.json()]).toMatchObject([502, { error: { code: "model_unreachable" } }]);
  });

  test.each([
    ["gpt-5-mini", { max_tokens: 5 }, { max_completion_tokens: 5 }],
    ["openai/o4-mini", { a: 1, max_tokens: 5, b: 2 }, { a: 1, max_completion_tokens: 5, b: 2 }],
    ["gpt-5", { max_tokens: 5, max_completion_tokens: 7 }, { max_completion_tokens: 7 }],
    ["gpt-5", { max_completion_tokens: 7 }, { max_completion_tokens: 7 }],
    ["qwen3-8b", { max_tokens: 5 }, { max_tokens: 5 }],
  ])("%s gets max_tokens as it takes it: %j", async (name, limit, expected) => {
    const [cloud, model] = [await startModel(), await startModel()];
    await model.close();
    const fallback = { url: cloud.url, model: name, companies: ["*"] };
    const relay = await startTestRelay(model.url, { fallback });
    for (const path of ["/v1/chat/completions", "/v1/completions"]) {
      expect((await post(relay, path, { model: "m", ...limit })).status).toBe(200);
    }
    const [chat, completion] = cloud.seen.map(({ body }) => JSON.parse(body.toString()) as unknown);
    expect(chat).toEqual({ model: name, ...expected });
    expect(completion).toEqual({ model: name, ...limit });
  });

  test("a caller for all companies needs all to have agreed, or a name", () => {
    expect(agreed(["*"], undefined, ["acme"])).toBe(false);
    expect(agreed(["*"], undefined, ["*"])).toBe(true);
    expect(agreed([" 가나 "], "가나".normalize("NFC"), ["가나".normalize("NFD")])).toBe(true);
    expect(agreed(["acme"], "other", ["*"])).toBe(false);
  });
});

test("a server that is not the model server's kind is told apart by its list", async () => {
  const model = await startModel((_seen, res) => res.end('{"data":[{"id":"qwen"}]}'));
  const relay = await startTestRelay(model.url, { model: { kind: "openai", url: model.url, embeddingModel: "e" } });
  const details = (await (await fetch(`${relay.admin}/details`)).json()) as { model: object };
  expect(details.model).toMatchObject({ reachable: true, models: ["qwen"], circuit: "closed" });
});
