/**
 * llama-server's endpoints, as recorded (test/sandbox/model/parity): what differs from Ollama's is that it has one model and
 * answers to any name, tells what it cached and how long it took, and errors carry their status as a number.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { embed, tokenize } from "./answers.ts";
import { contentSchema, textOf } from "./content.ts";
import { type Exchange, type Generated, ModelError } from "./exchange.ts";
import { CHAT_MODEL } from "./models.ts";

const streaming = {
  stream: z.boolean().optional(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
};
const limit = z.int().nullish();
const chatSchema = z.looseObject({
  messages: z.array(z.looseObject({ role: z.string(), content: contentSchema })),
  max_tokens: limit,
  max_completion_tokens: limit,
  ...streaming,
});
const completionSchema = z.looseObject({
  prompt: z.union([z.string(), z.array(z.string())]),
  max_tokens: limit,
  ...streaming,
});
const responseSchema = z.looseObject({
  input: z.union([z.string(), z.array(z.looseObject({ role: z.string().optional(), content: contentSchema }))]),
  max_output_tokens: limit,
  stream: z.boolean().nullish(),
});
const embeddingsSchema = z.looseObject({
  input: z.union([z.string().min(1), z.array(z.string()).min(1)]),
  encoding_format: z.enum(["float", "base64"]).optional(),
});

const SSE = "text/event-stream";
const FINGERPRINT = "b11434-unknown";
const seconds = (): number => Math.floor(Date.now() / 1000);
const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

function usage({ promptTokens, tokens, cachedTokens }: Generated): object {
  return {
    completion_tokens: tokens,
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + tokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

function timings({ promptTokens, cachedTokens, tokens, promptNs, evalNs }: Generated): object {
  const [promptMs, evalMs, computed] = [promptNs / 1e6, evalNs / 1e6, promptTokens - cachedTokens];
  return {
    cache_n: cachedTokens,
    prompt_n: computed,
    prompt_ms: promptMs,
    prompt_per_token_ms: promptMs / Math.max(1, computed),
    prompt_per_second: (computed * 1000) / Math.max(1e-3, promptMs),
    predicted_n: tokens,
    predicted_ms: evalMs,
    predicted_per_token_ms: evalMs / Math.max(1, tokens),
    predicted_per_second: (tokens * 1000) / Math.max(1e-3, evalMs),
  };
}

async function chat(exchange: Exchange): Promise<void> {
  const body = await exchange.body(chatSchema);
  const prompt = textOf(body.messages.findLast(({ role }) => role === "user")?.content);
  const most = body.max_completion_tokens ?? body.max_tokens ?? undefined;
  const base = {
    created: seconds(),
    id: `chatcmpl-${randomUUID()}`,
    model: CHAT_MODEL,
    system_fingerprint: FINGERPRINT,
  };
  if (body.stream !== true) {
    const done = await exchange.generate(prompt, most);
    const choices = [{ finish_reason: done.reason, index: 0, message: { role: "assistant", content: done.text } }];
    return exchange.json(200, {
      choices,
      ...base,
      object: "chat.completion",
      usage: usage(done),
      timings: timings(done),
    });
  }
  const chunk = (choices: object[], more: object = {}): Promise<void> =>
    exchange.write(SSE, event({ choices, ...base, object: "chat.completion.chunk", ...more }));
  const piece = (delta: object, finish_reason: string | null): object => ({ finish_reason, index: 0, delta });
  let first = true;
  const done = await exchange.generate(prompt, most, async (token) => {
    if (first) await chunk([piece({ role: "assistant", content: null }, null)]);
    first = false;
    await chunk([piece({ content: token }, null)]);
  });
  const asked = body.stream_options?.include_usage === true;
  await chunk([piece({}, done.reason)], asked ? {} : { timings: timings(done) });
  if (asked) await chunk([], { usage: usage(done), timings: timings(done) });
  await exchange.write(SSE, "data: [DONE]\n\n");
  exchange.end();
}

async function complete(exchange: Exchange): Promise<void> {
  const body = await exchange.body(completionSchema);
  const prompt = typeof body.prompt === "string" ? body.prompt : body.prompt.join("\n");
  const most = body.max_tokens ?? undefined;
  const base = {
    created: seconds(),
    model: CHAT_MODEL,
    system_fingerprint: FINGERPRINT,
    object: "text_completion",
    id: `chatcmpl-${randomUUID()}`,
  };
  const choice = (text: string, finish_reason: string | null): object => ({
    text,
    index: 0,
    logprobs: null,
    finish_reason,
  });
  if (body.stream !== true) {
    const done = await exchange.generate(prompt, most);
    const choices = [choice(done.text, done.reason)];
    return exchange.json(200, { choices, ...base, usage: usage(done), timings: timings(done) });
  }
  const done = await exchange.generate(prompt, most, (token) =>
    exchange.write(SSE, event({ choices: [choice(token, null)], ...base })),
  );
  const last = { choices: [choice("", done.reason)], ...base, usage: usage(done), timings: timings(done) };
  await exchange.write(SSE, event(last));
  await exchange.write(SSE, "data: [DONE]\n\n");
  exchange.end();
}

async function respond(exchange: Exchange): Promise<void> {
  const { input, max_output_tokens, stream } = await exchange.body(responseSchema);
  const prompt = typeof input === "string" ? input : textOf(input.findLast(({ role }) => role === "user")?.content);
  const [id, item_id] = [`resp_${randomUUID()}`, `msg_${randomUUID()}`];
  const part = (text: string): object => ({ type: "output_text", annotations: [], logprobs: [], text });
  const item = (status: string, content: object[]): object => ({
    type: "message",
    status,
    id: item_id,
    content,
    role: "assistant",
  });
  const whole = (done: Generated): Record<string, unknown> => ({
    created_at: seconds(),
    id,
    model: CHAT_MODEL,
    object: "response",
    output: [item("completed", [part(done.text)])],
    status: "completed",
    usage: {
      input_tokens: done.promptTokens,
      input_tokens_details: { cached_tokens: done.cachedTokens },
      output_tokens: done.tokens,
      total_tokens: done.promptTokens + done.tokens,
    },
  });
  const most = max_output_tokens ?? undefined;
  if (stream !== true)
    return exchange.json(200, { completed_at: seconds(), ...whole(await exchange.generate(prompt, most)) });
  const send = (type: string, fields: object): Promise<void> =>
    exchange.write(SSE, `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  let first = true;
  const begin = async (): Promise<void> => {
    if (!first) return;
    first = false;
    const response = { id, object: "response", status: "in_progress" };
    await send("response.created", { response });
    await send("response.in_progress", { response });
    await send("response.output_item.added", { item: item("in_progress", []) });
    await send("response.content_part.added", { item_id, part: { type: "output_text", text: "" } });
  };
  const done = await exchange.generate(prompt, most, async (delta) => {
    await begin();
    await send("response.output_text.delta", { item_id, delta });
  });
  await begin();
  await send("response.output_text.done", { item_id, text: done.text });
  await send("response.content_part.done", { item_id, part: part(done.text) });
  await send("response.output_item.done", { item: item("completed", [part(done.text)]) });
  await send("response.completed", { response: whole(done), timings: timings(done) });
  exchange.end();
}

async function embeddings(exchange: Exchange): Promise<void> {
  const { input, encoding_format } = await exchange.body(embeddingsSchema);
  const inputs = typeof input === "string" ? [input] : input;
  await exchange.embedding(inputs.length);
  const data = inputs.map((text, index) => {
    const vector = embed(text, exchange.embeddingDimensions);
    if (encoding_format !== "base64") return { embedding: vector, index, object: "embedding" };
    const bytes = Buffer.from(new Float32Array(vector).buffer);
    return { embedding: bytes.toString("base64"), index, object: "embedding", encoding_format };
  });
  const count = inputs.reduce((sum, text) => sum + tokenize(text).length, 0);
  exchange.json(200, { data, model: CHAT_MODEL, object: "list", usage: { prompt_tokens: count, total_tokens: count } });
}

function listModels(exchange: Exchange): void {
  const modalities = { input_modalities: ["text"], output_modalities: ["text"] };
  const entry = {
    name: CHAT_MODEL,
    model: CHAT_MODEL,
    modified_at: "",
    size: "",
    digest: "",
    type: "model",
    description: "",
    tags: [""],
    capabilities: ["completion"],
    parameters: "",
    details: {
      parent_model: "",
      format: "gguf",
      family: "",
      families: [""],
      parameter_size: "",
      quantization_level: "",
    },
  };
  const described = {
    id: CHAT_MODEL,
    aliases: [CHAT_MODEL],
    tags: [],
    object: "model",
    created: seconds(),
    owned_by: "llamacpp",
    meta: { n_ctx_train: 8192, n_embd: exchange.embeddingDimensions },
    architecture: modalities,
  };
  exchange.json(200, { models: [entry], object: "list", data: [described] });
}

/** Answers a request as llama-server does. @throws ModelError */
export async function serveLlama(exchange: Exchange): Promise<void> {
  const routes: Record<string, (exchange: Exchange) => Promise<void> | void> = {
    "POST /v1/chat/completions": chat,
    "POST /v1/completions": complete,
    "POST /v1/responses": respond,
    "POST /v1/embeddings": embeddings,
    "GET /v1/models": listModels,
    "GET /health": ({ json }) => json(200, { status: "ok" }),
    "GET /props": ({ json, slots }) =>
      json(200, { total_slots: slots.size, model_alias: CHAT_MODEL, build_info: FINGERPRINT }),
    "GET /slots": ({ json, slots }) =>
      json(
        200,
        Array.from({ length: slots.size }, (_, id) => ({ id, is_processing: id < slots.active, n_ctx: 8192 })),
      ),
  };
  const method = exchange.method === "HEAD" ? "GET" : exchange.method;
  const route = routes[`${method} ${exchange.path}`];
  if (route === undefined) throw new ModelError(404, "File Not Found");
  await route(exchange);
}

const ERROR_TYPES: Readonly<Record<number, string>> = { 401: "authentication_error", 404: "not_found_error" };

/** An error in llama-server's form. */
export function llamaError({ status, message }: ModelError): object {
  const type = ERROR_TYPES[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  return { error: { code: status, message, type } };
}
