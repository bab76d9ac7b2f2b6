/** OpenAI's endpoints, as Ollama serves them. Source: OpenAI API reference; Ollama docs, "OpenAI compatibility". */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { embed, tokenize } from "./answers.ts";
import { messages } from "./anthropic.ts";
import { contentSchema, textOf } from "./content.ts";
import { type Exchange, type Generated, type ModelError, NoRoute } from "./exchange.ts";
import { respond } from "./responses.ts";

const chatSchema = z.looseObject({
  model: z.string().default(""),
  messages: z.array(z.looseObject({ role: z.string(), content: contentSchema })).min(1),
  stream: z.boolean().optional(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  max_tokens: z.int().nullish(),
  max_completion_tokens: z.int().nullish(),
});
const completionSchema = z.looseObject({
  model: z.string().default(""),
  prompt: z.union([z.string(), z.array(z.string())]),
  stream: z.boolean().optional(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  max_tokens: z.int().nullish(),
});
const embeddingsSchema = z.looseObject({
  model: z.string().default(""),
  input: z.union([z.string(), z.array(z.string()).min(1)]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).nullish(),
});

const seconds = (): number => Math.floor(Date.now() / 1000);
const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const SSE = "text/event-stream";
/** What Ollama's OpenAI paths answer with, other than its own paths. */
const JSON_TYPE = "application/json";

function usage({ promptTokens, tokens }: Pick<Generated, "promptTokens" | "tokens">): Record<string, number> {
  return { prompt_tokens: promptTokens, completion_tokens: tokens, total_tokens: promptTokens + tokens };
}

async function chat(exchange: Exchange): Promise<void> {
  const body = await exchange.body(chatSchema);
  exchange.model(body.model, "talk");
  const prompt = textOf(body.messages.findLast(({ role }) => role === "user")?.content);
  const limit = body.max_completion_tokens ?? body.max_tokens ?? undefined;
  const base = {
    id: `chatcmpl-${randomUUID()}`,
    created: seconds(),
    model: body.model,
    system_fingerprint: "fp_ollama",
  };
  if (body.stream !== true) {
    const done = await exchange.generate(prompt, limit);
    const message = { role: "assistant", content: done.text };
    const choices = [{ index: 0, message, finish_reason: done.reason }];
    return exchange.json(200, { ...base, object: "chat.completion", choices, usage: usage(done) }, JSON_TYPE);
  }
  const chunk = (delta: object, finish: string | null): string =>
    event({ ...base, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] });
  const done = await exchange.generate(prompt, limit, (token) =>
    exchange.write(SSE, chunk({ role: "assistant", content: token }, null)),
  );
  await exchange.write(SSE, chunk({ role: "assistant", content: "" }, done.reason));
  if (body.stream_options?.include_usage === true) {
    await exchange.write(SSE, event({ ...base, object: "chat.completion.chunk", choices: [], usage: usage(done) }));
  }
  await exchange.write(SSE, "data: [DONE]\n\n");
  exchange.end();
}

async function complete(exchange: Exchange): Promise<void> {
  const body = await exchange.body(completionSchema);
  exchange.model(body.model, "talk");
  const prompt = Array.isArray(body.prompt) ? body.prompt.join("\n") : body.prompt;
  const limit = body.max_tokens ?? undefined;
  const base = {
    id: `cmpl-${randomUUID()}`,
    object: "text_completion",
    created: seconds(),
    model: body.model,
    system_fingerprint: "fp_ollama",
  };
  const choice = (text: string, finish: string | null): object => ({
    text,
    index: 0,
    finish_reason: finish,
  });
  if (body.stream !== true) {
    const done = await exchange.generate(prompt, limit);
    return exchange.json(200, { ...base, choices: [choice(done.text, done.reason)], usage: usage(done) }, JSON_TYPE);
  }
  // With usage asked for, Ollama puts it into every piece of a completion.
  const withUsage = body.stream_options?.include_usage === true;
  let tokens = 0;
  const soFar = () => (withUsage ? { usage: usage({ promptTokens: tokenize(prompt).length, tokens }) } : {});
  const done = await exchange.generate(prompt, limit, (token) => {
    tokens += 1;
    return exchange.write(SSE, event({ ...base, choices: [choice(token, null)], ...soFar() }));
  });
  await exchange.write(SSE, event({ ...base, choices: [choice("", done.reason)], ...soFar() }));
  if (body.stream_options?.include_usage === true)
    await exchange.write(SSE, event({ ...base, choices: [], usage: usage(done) }));
  await exchange.write(SSE, "data: [DONE]\n\n");
  exchange.end();
}

async function embeddings(exchange: Exchange): Promise<void> {
  const body = await exchange.body(embeddingsSchema);
  exchange.model(body.model, "embed");
  const inputs = typeof body.input === "string" ? [body.input] : body.input;
  await exchange.embedding(inputs.length);
  const data = inputs.map((input, index) => {
    const vector = embed(input, exchange.embeddingDimensions, body.dimensions ?? undefined);
    const bytes = Buffer.from(new Float32Array(vector).buffer);
    return {
      object: "embedding",
      index,
      embedding: body.encoding_format === "base64" ? bytes.toString("base64") : vector,
    };
  });
  const count = inputs.reduce((sum, input) => sum + tokenize(input).length, 0);
  exchange.json(
    200,
    { object: "list", data, model: body.model, usage: { prompt_tokens: count, total_tokens: count } },
    JSON_TYPE,
  );
}

function describeModel(name: string, modifiedAt: string): object {
  return { id: name, object: "model", created: Math.floor(Date.parse(modifiedAt) / 1000), owned_by: "library" };
}

function listModels(exchange: Exchange): void {
  const data = exchange.models.list().map(({ name, modifiedAt }) => describeModel(name, modifiedAt));
  exchange.json(200, { object: "list", data }, JSON_TYPE);
}

function showModel(exchange: Exchange): void {
  const { name, modifiedAt } = exchange.known(decodeURIComponent(exchange.path.slice("/v1/models/".length)));
  exchange.json(200, describeModel(name, modifiedAt), JSON_TYPE);
}

/** Source: openai.NewError in Ollama; what is found behind its middleware is an `api_error` whatever the status. */
function errorType({ status, isLate }: ModelError): string {
  if (isLate || status >= 500) return "api_error";
  return status === 404 ? "not_found_error" : "invalid_request_error";
}

/** An error in OpenAI's form. */
export function openaiError(error: ModelError): object {
  return { error: { message: error.message, type: errorType(error), param: null, code: null } };
}

const routes: Record<string, Record<string, (exchange: Exchange) => Promise<void> | void>> = {
  "/v1/chat/completions": { POST: chat },
  "/v1/completions": { POST: complete },
  "/v1/responses": { POST: respond },
  "/v1/messages": { POST: messages },
  "/v1/embeddings": { POST: embeddings },
  "/v1/models": { GET: listModels },
};

/** Answers a request under `/v1/`. @throws ModelError, NoRoute */
export async function serveOpenai(exchange: Exchange): Promise<void> {
  const isModel = /^\/v1\/models\/./.test(exchange.path);
  const route = isModel ? { GET: showModel } : routes[exchange.path];
  const serve = (route as Record<string, (exchange: Exchange) => Promise<void> | void> | undefined)?.[exchange.method];
  if (serve === undefined) throw new NoRoute(route && Object.keys(route).join(", "));
  await serve(exchange);
}
