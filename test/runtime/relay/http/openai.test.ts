import OpenAI from "openai";
import { expect, test } from "vitest";
import { asServer, startModel, startTestRelay, type TestRelay } from "../harness.ts";

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

test("the official client does not retry what can not succeed", async () => {
  const model = await startModel();
  await model.close();
  const relay = await startTestRelay(model.url);
  const openai = new OpenAI({ apiKey: "x", baseURL: `${relay.url}/v1`, defaultHeaders: asServer, maxRetries: 3 });
  await expect(openai.get("/files")).rejects.toMatchObject({ status: 403, code: "path_not_allowed" });
  expect(relay.lines.filter(({ msg }) => msg === "request")).toHaveLength(1);
});
