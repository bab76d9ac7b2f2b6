/**
 * Ollama's `/api/chat` and `/api/generate`, with images, tools, thinking and answers in a format. Sources: Ollama docs, api.md;
 * api/types.go and server/routes.go of https://github.com/ollama/ollama
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { tokenize } from "./answers.ts";
import { type Exchange, type Generated, ModelError } from "./exchange.ts";
import { instanceOf } from "./json-schema.ts";
import type { Model } from "./models.ts";

const tool = z.looseObject({ function: z.looseObject({ name: z.string(), parameters: z.unknown() }) });
const common = {
  model: z.string().default(""),
  stream: z.boolean().nullish(),
  keep_alive: z.union([z.string(), z.number()]).nullish(),
  options: z.looseObject({ num_predict: z.int().nullish() }).nullish(),
  /** "json", a schema, or nothing. */
  format: z.union([z.literal(""), z.literal("json"), z.record(z.string(), z.unknown())]).nullish(),
  think: z.union([z.boolean(), z.enum(["low", "medium", "high"])]).nullish(),
};
const message = z.looseObject({
  role: z.string(),
  content: z.string().nullish(),
  images: z.array(z.string()).nullish(),
});
const chatSchema = z.looseObject({
  ...common,
  messages: z.array(message).nullish(),
  tools: z.array(tool).nullish(),
});
const generateSchema = z.looseObject({
  ...common,
  prompt: z.string().nullish(),
  images: z.array(z.string()).nullish(),
});

const NDJSON = "application/x-ndjson";
const THOUGHT = "음…";
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

const isZero = (value: string | number | null | undefined): boolean => /^0+(?:\.0+)?[a-z]*$/u.test(String(value));

/** A request without words only loads the model, or takes it out of memory with `keep_alive: 0`. */
function loadOnly(exchange: Exchange, model: Model, { model: asked, keep_alive: keep }: Common, field: object): void {
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

type Common = Pick<z.infer<typeof chatSchema>, keyof typeof common>;

/** Images only count as seen. @throws ModelError as Go's decoder does for what is no base64 */
function withImages(text: string, images: readonly string[] | null | undefined): string {
  const seen = (images ?? []).map((image) => {
    const bad = image.search(/[^A-Za-z0-9+/=]/);
    if (bad >= 0) throw new ModelError(400, `illegal base64 data at input byte ${bad}`);
    return `[그림 ${Buffer.from(image, "base64").length} B]`;
  });
  return seen.join("") + text;
}

interface Talk {
  prompt: string;
  /** The fields that carry a text, and a thought. */
  field(text: string, thought?: string): object;
  /** The field that carries calls of tools, in place of a text. */
  calls?: object;
  /** Further fields at the end. */
  last?: object;
}

async function talk(exchange: Exchange, body: Common, { prompt, field, calls, last }: Talk): Promise<void> {
  const { model: asked, stream, keep_alive: keep, options, format, think } = body;
  const model = exchange.model(asked, "talk");
  const thought = think !== undefined && think !== null && think !== false ? THOUGHT : undefined;
  const formatted = typeof format === "object" || format === "json" ? instanceOf(format, prompt) : undefined;
  const isWhole = calls !== undefined || formatted !== undefined;
  const text = (generated: string): string => formatted ?? (calls === undefined ? generated : "");
  const piece = (fields: object): object => ({ model: asked, created_at: now(), ...fields });
  const send = (fields: object): Promise<void> => exchange.write(NDJSON, line({ ...piece(fields), done: false }));
  let isBegun = false;
  const onToken = async (token: string): Promise<void> => {
    if (!isBegun && thought !== undefined) await send(field("", thought));
    isBegun = true;
    if (!isWhole) await send(field(token));
  };
  const done = await exchange.generate(
    prompt,
    options?.num_predict ?? undefined,
    stream === false ? undefined : onToken,
  );
  if (isZero(keep)) exchange.models.unload(model);
  if (stream === false)
    return exchange.json(200, {
      ...piece(calls ?? field(text(done.text), thought)),
      ...statistics(done),
      ...last,
    });
  if (isWhole) await send(calls ?? field(text("")));
  await exchange.write(NDJSON, line({ ...piece(field("")), ...statistics(done), ...last }));
  exchange.end();
}

/** Calls of the tools that the last message names, when it is a person's: arguments made from the tool's schema. */
function toolCalls(tools: readonly z.infer<typeof tool>[], role: string | undefined, prompt: string): object[] {
  if (role !== "user") return [];
  return tools
    .filter(({ function: { name } }) => prompt.includes(name))
    .map(({ function: { name, parameters } }, index) => ({
      id: `call_${randomBytes(4).toString("hex")}`,
      function: { index, name, arguments: JSON.parse(instanceOf(parameters, prompt)) as unknown },
    }));
}

/** Answers `POST /api/chat`. @throws ModelError */
export async function chat(exchange: Exchange): Promise<void> {
  const body = await exchange.body(chatSchema);
  const field = (content: string, thinking?: string): object => ({
    message: { role: "assistant", content, ...(thinking === undefined ? {} : { thinking }) },
  });
  const messages = body.messages ?? [];
  if (messages.length === 0) return loadOnly(exchange, exchange.known(body.model), body, field(""));
  const saidLast = messages.findLast(({ role }) => role === "user" || role === "tool");
  const prompt = withImages(saidLast?.content ?? "", saidLast?.images);
  const called = toolCalls(body.tools ?? [], saidLast?.role, prompt);
  const calls = { message: { role: "assistant", content: "", tool_calls: called } };
  await talk(exchange, body, { prompt, field, ...(called.length === 0 ? {} : { calls }) });
}

/** Answers `POST /api/generate`. @throws ModelError */
export async function generate(exchange: Exchange): Promise<void> {
  const body = await exchange.body(generateSchema);
  const field = (response: string, thinking?: string): object => ({
    response,
    ...(thinking === undefined ? {} : { thinking }),
  });
  const prompt = withImages(body.prompt ?? "", body.images);
  if (prompt === "") return loadOnly(exchange, exchange.known(body.model), body, field(""));
  await talk(exchange, body, { prompt, field, last: { context: tokenize(prompt).map((_, i) => i) } });
}
