/** Ollama's own endpoints, the dangerous ones too. Source: Ollama docs, api.md. */
import { z } from "zod";
import { embed, tokenize } from "./answers.ts";
import { type Exchange, type Generated, NoRoute } from "./exchange.ts";
import { type Model, modelDetails } from "./models.ts";

const options = z.looseObject({ num_predict: z.int().optional() }).optional();
const keepAlive = z.union([z.string(), z.number()]).optional();
const chatSchema = z.looseObject({
  model: z.string().default(""),
  messages: z.array(z.looseObject({ role: z.string(), content: z.string().optional() })).optional(),
  stream: z.boolean().optional(),
  keep_alive: keepAlive,
  options,
});
const generateSchema = z.looseObject({
  model: z.string().default(""),
  prompt: z.string().optional(),
  stream: z.boolean().optional(),
  keep_alive: keepAlive,
  options,
});
const embedSchema = z.looseObject({
  model: z.string().default(""),
  input: z.union([z.string(), z.array(z.string())]).default([]),
  dimensions: z.int().min(1).nullish(),
});
const embeddingsSchema = z.looseObject({ model: z.string().default(""), prompt: z.string() });
const nameSchema = z
  .looseObject({ model: z.string().optional(), name: z.string().optional(), stream: z.boolean().optional() })
  .refine(({ model, name }) => model || name, "model is required");

const NDJSON = "application/x-ndjson";
const SIZE_BYTES = 815_319_791;
const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
const now = (): string => new Date().toISOString();

function statistics({ totalNs, promptNs, evalNs, promptTokens, tokens, reason }: Generated): object {
  return {
    done: true,
    done_reason: reason,
    total_duration: totalNs,
    load_duration: 0,
    prompt_eval_count: promptTokens,
    prompt_eval_duration: promptNs,
    eval_count: tokens,
    eval_duration: evalNs,
  };
}

const isZero = (value: string | number | undefined): boolean =>
  value !== undefined && /^0+(?:\.0+)?[a-z]*$/u.test(String(value));

/** A request without words only loads the model, or takes it out of memory with `keep_alive: 0`. */
function loadOnly(
  exchange: Exchange,
  model: Model,
  asked: string,
  keep: string | number | undefined,
  field: object,
): void {
  if (isZero(keep)) exchange.models.unload(model);
  else exchange.models.load(model);
  exchange.json(200, {
    model: asked,
    created_at: now(),
    ...field,
    done: true,
    done_reason: isZero(keep) ? "unload" : "load",
  });
}

interface Talk {
  asked: string;
  prompt: string;
  limit: number | undefined;
  stream: boolean;
  keep: string | number | undefined;
  /** The field that carries the text. */
  field(text: string): object;
  /** Further fields at the end. */
  last?: object;
}

async function talk(exchange: Exchange, { asked, prompt, limit, stream, keep, field, last }: Talk): Promise<void> {
  const model = exchange.model(asked, "talk");
  const piece = (text: string): object => ({ model: asked, created_at: now(), ...field(text) });
  const onToken = (token: string): Promise<void> => exchange.write(NDJSON, line({ ...piece(token), done: false }));
  const done = await exchange.generate(prompt, limit, stream ? onToken : undefined);
  if (isZero(keep)) exchange.models.unload(model);
  if (!stream) return exchange.json(200, { ...piece(done.text), ...statistics(done), ...last });
  await exchange.write(NDJSON, line({ ...piece(""), ...statistics(done), ...last }));
  exchange.end();
}

async function chat(exchange: Exchange): Promise<void> {
  const body = await exchange.body(chatSchema);
  const field = (content: string): object => ({ message: { role: "assistant", content } });
  const { messages = [] } = body;
  if (messages.length === 0)
    return loadOnly(exchange, exchange.known(body.model), body.model, body.keep_alive, field(""));
  const prompt = messages.findLast(({ role }) => role === "user")?.content ?? "";
  await talk(exchange, {
    asked: body.model,
    prompt,
    limit: body.options?.num_predict,
    stream: body.stream ?? true,
    keep: body.keep_alive,
    field,
  });
}

async function generate(exchange: Exchange): Promise<void> {
  const body = await exchange.body(generateSchema);
  const field = (response: string): object => ({ response });
  const { prompt = "" } = body;
  if (prompt === "") return loadOnly(exchange, exchange.known(body.model), body.model, body.keep_alive, field(""));
  await talk(exchange, {
    asked: body.model,
    prompt,
    limit: body.options?.num_predict,
    stream: body.stream ?? true,
    keep: body.keep_alive,
    field,
    last: { context: tokenize(prompt).map((_, i) => i) },
  });
}

async function embedMany(exchange: Exchange): Promise<void> {
  const body = await exchange.body(embedSchema);
  exchange.model(body.model, "embed");
  const start = process.hrtime.bigint();
  const inputs = typeof body.input === "string" ? [body.input] : body.input;
  if (inputs.length === 0) return exchange.json(200, { model: body.model, embeddings: [] });
  await exchange.embedding(inputs.length);
  exchange.json(200, {
    model: body.model,
    embeddings: inputs.map((input) => embed(input, exchange.embeddingDimensions, body.dimensions ?? undefined)),
    total_duration: Number(process.hrtime.bigint() - start),
    load_duration: 0,
    prompt_eval_count: inputs.reduce((sum, input) => sum + tokenize(input).length, 0),
  });
}

async function embedOne(exchange: Exchange): Promise<void> {
  const body = await exchange.body(embeddingsSchema);
  exchange.model(body.model, "embed");
  await exchange.embedding(1);
  exchange.json(200, { embedding: embed(body.prompt, exchange.embeddingDimensions) });
}

function describe(model: Model): object {
  return { name: model.name, model: model.name, size: SIZE_BYTES, digest: model.digest, details: modelDetails(model) };
}

function tags(exchange: Exchange): void {
  exchange.json(200, {
    models: exchange.models.list().map((model) => ({ ...describe(model), modified_at: model.modifiedAt })),
  });
}

function running(exchange: Exchange): void {
  const expires_at = new Date(Date.now() + 300_000).toISOString();
  const models = exchange.models
    .loaded()
    .map((model) => ({ ...describe(model), expires_at, size_vram: SIZE_BYTES, context_length: 8192 }));
  exchange.json(200, { models });
}

async function show(exchange: Exchange): Promise<void> {
  const { model: asked, name } = await exchange.body(nameSchema);
  const model = exchange.known(asked ?? name ?? "");
  const architecture = model.kind === "chat" ? "gemma3" : "bert";
  exchange.json(200, {
    modelfile: `FROM ${model.name}\n`,
    parameters: "",
    template: "{{ .Prompt }}",
    details: modelDetails(model),
    model_info: {
      "general.architecture": architecture,
      [`${architecture}.context_length`]: 8192,
      [`${architecture}.embedding_length`]: exchange.embeddingDimensions,
    },
    tensors: Array.from({ length: 48 }, (_, i) => ({
      name: `blk.${i}.attn_q.weight`,
      type: "Q4_K",
      shape: [1024, 1024],
    })),
    capabilities: [model.kind === "chat" ? "completion" : "embedding"],
    modified_at: model.modifiedAt,
  });
}

async function remove(exchange: Exchange): Promise<void> {
  const { model, name } = await exchange.body(nameSchema);
  exchange.models.remove(exchange.known(model ?? name ?? ""));
  exchange.end();
}

async function pull(exchange: Exchange): Promise<void> {
  const { model, name, stream } = await exchange.body(nameSchema);
  const { digest } = exchange.models.install(model ?? name ?? "");
  if (stream === false) return exchange.json(200, { status: "success" });
  const blob = `sha256:${digest}`;
  const steps = [
    { status: "pulling manifest" },
    { status: `pulling ${digest.slice(0, 12)}`, digest: blob, total: SIZE_BYTES, completed: SIZE_BYTES },
    { status: "verifying sha256 digest" },
    { status: "writing manifest" },
    { status: "success" },
  ];
  for (const step of steps) await exchange.write(NDJSON, line(step));
  exchange.end();
}

/** The version it says it is. */
export const OLLAMA_VERSION = "0.17.4";

type Serve = (exchange: Exchange) => Promise<void> | void;

/** Of a path that HEAD may ask for as well; node:http leaves the body out. */
const read = (serve: Serve): Record<string, Serve> => ({ GET: serve, HEAD: serve });

const routes: Record<string, Record<string, Serve>> = {
  "/api/chat": { POST: chat },
  "/api/generate": { POST: generate },
  "/api/embed": { POST: embedMany },
  "/api/embeddings": { POST: embedOne },
  "/api/tags": read(tags),
  "/api/ps": { GET: running },
  "/api/show": { POST: show },
  "/api/version": read(({ json }) => json(200, { version: OLLAMA_VERSION })),
  "/api/delete": { DELETE: remove },
  "/api/pull": { POST: pull },
};

/** Answers a request under `/api/`. @throws ModelError, NoRoute */
export async function serveOllama(exchange: Exchange): Promise<void> {
  const route = routes[exchange.path];
  const serve = route?.[exchange.method];
  if (serve === undefined) throw new NoRoute(route && Object.keys(route).join(", "));
  await serve(exchange);
}
