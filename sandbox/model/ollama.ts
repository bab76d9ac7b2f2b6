/** Ollama's own endpoints, the dangerous ones too. Source: Ollama docs, api.md. */
import { z } from "zod";
import { embed, tokenize } from "./answers.ts";
import { type Exchange, NoRoute } from "./exchange.ts";
import { type Model, modelDetails } from "./models.ts";
import { chat, generate } from "./ollama-talk.ts";

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
    capabilities: model.kind === "chat" ? ["completion", "tools", "vision", "thinking"] : ["embedding"],
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
