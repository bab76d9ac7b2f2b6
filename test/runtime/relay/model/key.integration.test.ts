import { describe, expect, test } from "vitest";
import { asServer, codeOf, post, startModel, startTestRelay } from "../harness.ts";

const KEY = "sk-mac-0123";

/** A server that wants a key on every path, as LM Studio does. */
async function startKeyed(key: () => string | undefined) {
  return startModel(({ url, headers, body }, res) => {
    res.setHeader("Content-Type", "application/json");
    if (key() !== undefined && headers.authorization !== `Bearer ${key()}`) {
      return void res
        .writeHead(401)
        .end('{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}');
    }
    if (url === "/v1/models") return void res.end('{"data":[{"id":"m"},{"id":"embed"}]}');
    if (url === "/v1/embeddings") return void res.end('{"data":[{"index":0,"embedding":[0.6,0.8]}]}');
    return void res.end(body.length > 0 ? body : "{}");
  });
}

const options = (url: string) => ({ model: { kind: "openai" as const, url, embeddingModel: "embed" } });
const chat = { model: "m", messages: [{ role: "user", content: "안녕" }] };
const theirs = { Authorization: "Bearer the-callers-own" };

describe("the key of the model server", () => {
  test("is sent with every call by the relay alone, never what the caller sends", async () => {
    const model = await startKeyed(() => KEY);
    const relay = await startTestRelay(model.url, options(model.url), { secrets: { modelKey: KEY } });
    const statuses = [
      (await post(relay, "/v1/chat/completions", chat, { headers: theirs })).status,
      (await post(relay, "/v1/chat/completions", { ...chat, stream: true }, { headers: theirs })).status,
      (await fetch(`${relay.url}/v1/models`, { headers: { ...asServer, ...theirs } })).status,
      (
        await fetch(`${relay.url}/v1/documents?company=A&title=t`, {
          method: "PUT",
          body: '{"text":"가"}',
          headers: { ...asServer, ...theirs },
        })
      ).status,
    ];
    expect(statuses).toEqual([200, 200, 200, 201]);
    const job = await post(relay, "/v1/chat/completions", chat, {
      headers: { ...theirs, Prefer: "respond-async, wait=20" },
    });
    expect(job.status).toBe(200);
    expect(new Set(model.seen.map(({ headers }) => headers.authorization))).toEqual(new Set([`Bearer ${KEY}`]));
    expect(JSON.stringify(relay.lines)).not.toContain(KEY);
    const details = await (await fetch(`${relay.admin}/details`)).text();
    expect(details).toContain('"reachable":true');
    expect(details).not.toContain(KEY);
  }, 60_000);

  test("without one the caller's Authorization does not get through either", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const headers = { ...theirs, "x-api-key": "k", "api-key": "k" };
    expect((await post(relay, "/v1/chat/completions", chat, { headers })).status).toBe(200);
    expect(model.seen).toHaveLength(1);
    for (const name of ["authorization", "x-api-key", "api-key"]) expect(model.seen[0]?.headers[name]).toBeUndefined();
  });

  test.each([
    ["is missing", undefined, /wants a key, and none is configured/],
    ["is wrong", "sk-old", /refuses the key it gets/],
  ])(
    "that %s: callers get an error of the relay's that says what to set, not a 401",
    async (_what, modelKey, words) => {
      const model = await startKeyed(() => KEY);
      const relay = await startTestRelay(model.url, options(model.url), { secrets: { modelKey } });
      const answers = [
        await post(relay, "/v1/chat/completions", chat),
        await post(relay, "/v1/completions", { model: "m", prompt: "x" }),
        await fetch(`${relay.url}/v1/models`, { headers: asServer }),
        await fetch(`${relay.url}/v1/documents?company=A&title=t`, {
          method: "PUT",
          body: '{"text":"가"}',
          headers: asServer,
        }),
      ];
      for (const answer of answers) {
        const { error } = (await answer.json()) as { error: { code: string; message: string; type: string } };
        expect([answer.status, error.code, error.type]).toEqual([502, "model_server_denied", "server_error"]);
        expect(error.message).toMatch(words);
        expect(error.message).toContain("pulumi config set --secret modelKey");
        expect(answer.headers.get("x-should-retry")).toBe("false");
      }
      // The server is there: it is not taken for one that is down, however often it refuses.
      for (let n = 0; n < 5; n += 1)
        expect(await codeOf(await post(relay, "/v1/chat/completions", chat))).toBe("model_server_denied");
      expect((await fetch(`${relay.url}/v1/documents?company=A&title=t`, { headers: asServer })).status).toBe(404);
    },
    60_000,
  );

  test("that is missing uses up no attempt of a job: it waits", async () => {
    const model = await startKeyed(() => KEY);
    const relay = await startTestRelay(model.url, options(model.url));
    const made = await post(relay, "/v1/chat/completions", chat, { headers: { Prefer: "respond-async" } });
    const { id } = (await made.json()) as { id: string };
    const view = async () =>
      (await (await fetch(`${relay.url}/v1/jobs/${id}`, { headers: asServer })).json()) as Record<string, unknown>;
    await expect
      .poll(async () => ((await view()).attempts as unknown[]).length, { timeout: 20_000 })
      .toBeGreaterThanOrEqual(1);
    await expect.poll(async () => (await view()).state, { timeout: 20_000 }).toBe("queued");
    expect(await view()).toMatchObject({
      attempts_used: 0,
      attempts: [{ outcome: "model_unreachable", counted: false }],
    });
    expect(JSON.stringify(await view())).toContain("401");
  }, 60_000);
});
