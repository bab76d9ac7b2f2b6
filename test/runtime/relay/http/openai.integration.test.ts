import OpenAI from "openai";
import { expect, test } from "vitest";
import { jobsSchema } from "../../../../runtime/limits-config.ts";
import { asServer, post, startModel, startTestRelay, type TestRelay, testConfig } from "../harness.ts";

const client = (relay: TestRelay) =>
  new OpenAI({ apiKey: "dummy", baseURL: `${relay.url}/v1`, defaultHeaders: asServer, maxRetries: 0 });

const chunk = (content: string) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content } }] })}\n\n`;

const startOpenAiModel = () =>
  startModel(({ url, body, headers }, res) => {
    expect(headers.authorization).toBeUndefined();
    const asked = body.length > 0 ? (JSON.parse(body.toString()) as { stream?: boolean; model: string }) : undefined;
    const json = (value: unknown, status = 200) =>
      res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
    if (url === "/v1/models") json({ object: "list", data: [{ id: "slm", object: "model" }] });
    else if (url === "/v1/embeddings")
      json({ data: [{ index: 0, embedding: [0.25, -1] }], model: "e", object: "list" });
    else if (asked?.model === "none") json({ error: { message: "no such model", code: "model_not_found" } }, 404);
    else if (asked?.stream) {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      for (const text of ["안녕", "하세요"]) res.write(chunk(text));
      res.end("data: [DONE]\n\n");
    } else json({ id: "c", choices: [{ index: 0, message: { role: "assistant", content: "안녕하세요" } }] });
  });

test("the official client works: models, chat, streamed chat, embeddings, the server's own errors", async () => {
  const model = await startOpenAiModel();
  const relay = await startTestRelay(model.url, { model: { kind: "openai", url: model.url, embeddingModel: "e" } });
  const openai = client(relay);
  expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(["slm"]);

  const messages = [{ role: "user" as const, content: "인사해 줘" }];
  const whole = await openai.chat.completions.create({ model: "slm", messages });
  expect(whole.choices[0]?.message.content).toBe("안녕하세요");

  let streamed = "";
  for await (const part of await openai.chat.completions.create({ model: "slm", messages, stream: true })) {
    streamed += part.choices[0]?.delta.content ?? "";
  }
  expect(streamed).toBe("안녕하세요");

  const vectors = await openai.embeddings.create({ model: "e", input: ["가"], encoding_format: "float" });
  expect(vectors.data[0]?.embedding).toEqual([0.25, -1]);

  await expect(openai.chat.completions.create({ model: "none", messages })).rejects.toMatchObject({
    status: 404,
    code: "model_not_found",
  });
});

test("the official client reads the relay's errors: code, type and message", async () => {
  const model = await startOpenAiModel();
  const relay = await startTestRelay(model.url, {
    model: { kind: "openai", url: model.url, embeddingModel: "e", allowed: ["slm"] },
  });
  const messages = [{ role: "user" as const, content: "hi" }];
  await expect(client(relay).chat.completions.create({ model: "gpt-5", messages })).rejects.toMatchObject({
    status: 403,
    code: "model_not_allowed",
    type: "permission_error",
    message: expect.stringContaining("Allowed: slm."),
  });
});

/** The statuses of the requests for inference that the relay has answered. */
const statuses = (relay: TestRelay) => relay.lines.filter(({ msg }) => msg === "request").map(({ status }) => status);

test("the official client retries a refusal that can succeed later, and no other of a status that it retries", async () => {
  const held = Promise.withResolvers<void>();
  const model = await startModel((_seen, res) => {
    void held.promise.then(() => res.writeHead(200, { "Content-Type": "application/json" }).end("{}"));
  });
  const relay = await startTestRelay(model.url, {
    limits: { ...testConfig("", "").limits, chat: 1, whenBusy: "reject" },
    jobs: jobsSchema.parse({ minFreeMiB: 1_048_576 }), // more than the disk has
  });
  const openai = new OpenAI({ apiKey: "x", baseURL: `${relay.url}/v1`, defaultHeaders: asServer, maxRetries: 2 });
  const call = { model: "m", messages: [] };

  // 507: the client retries every 5xx, unless `x-should-retry` says otherwise.
  const asJob = openai.chat.completions.create(call, { headers: { Prefer: "respond-async" } });
  await expect(asJob).rejects.toMatchObject({ status: 507, code: "disk_low" });
  await expect.poll(() => statuses(relay)).toEqual([507]);

  const running = post(relay, "/v1/chat/completions", call);
  await expect.poll(() => model.seen.length).toBe(1);
  await expect(openai.chat.completions.create(call)).rejects.toMatchObject({ status: 429, code: "queue_full" });
  await expect.poll(() => statuses(relay)).toEqual([507, 429, 429, 429]);
  held.resolve();
  expect((await running).status).toBe(200);
});
