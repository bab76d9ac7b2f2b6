/** What is measured: where it is, which API it speaks, as whom and with which model. */

import { request } from "undici";
import { z } from "zod";
import { UsageError } from "../errors.ts";

/** A model server, or the relay before one. */
export interface Target {
  /** Without a slash at its end and without `/v1`. */
  readonly url: string;
  readonly api: "openai" | "ollama";
  readonly model: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests that the server itself says it computes at once: llama-server's `/props`. Undefined when it does not say. */
  readonly slots: number | undefined;
  /** What the server says it is, for the report. */
  readonly server: string;
}

const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })) });
const tagsSchema = z.object({ models: z.array(z.object({ name: z.string() })) });
const versionSchema = z.object({ version: z.string() });
const propsSchema = z.object({ total_slots: z.int().min(1) });

/** Names of models that only embed. */
const EMBEDS = /embed|bge|e5-|minilm|gte-/iu;

/**
 * Asks the address what it is. The model is the one named, else the first that can talk.
 * @throws UsageError when nothing there speaks either API, or it lacks the model
 */
export async function findTarget(
  address: URL,
  headers: Readonly<Record<string, string>>,
  wanted: { readonly api?: Target["api"] | undefined; readonly model?: string | undefined },
  timeoutMs = 15_000,
): Promise<Target> {
  const url = address.href.replace(/\/+$/u, "").replace(/\/v1$/u, "");
  const get = async <T>(path: string, schema: z.ZodType<T>): Promise<{ value?: T; why: string }> => {
    try {
      const answer = await request(url + path, { headers, signal: AbortSignal.timeout(timeoutMs) });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) return { why: `${path} answers ${answer.statusCode}` };
      return { value: schema.parse(JSON.parse(text)), why: "" };
    } catch (error) {
      return { why: `${path}: ${error instanceof z.ZodError ? "another answer than this API's" : reason(error)}` };
    }
  };
  const openai = wanted.api === "ollama" ? { why: "" } : await get("/v1/models", modelsSchema);
  const tags = openai.value || wanted.api === "openai" ? { why: "" } : await get("/api/tags", tagsSchema);
  const names = openai.value?.data.map(({ id }) => id) ?? tags.value?.models.map(({ name }) => name);
  if (names === undefined) {
    const why = [openai.why, tags.why].filter(Boolean).join("; ");
    throw new UsageError(
      `nothing at ${url} speaks OpenAI's or Ollama's API (${why}): give the address of the relay or of a model server`,
    );
  }
  const model = wanted.model ?? names.find((name) => !EMBEDS.test(name)) ?? names[0];
  if (model === undefined || !(names.includes(model) || names.includes(`${model}:latest`))) {
    throw new UsageError(
      `the model ${JSON.stringify(model ?? "")} is not at ${url}: it has ${names.join(", ") || "none"}; give one by --model`,
    );
  }
  const [version, props] = [await get("/api/version", versionSchema), await get("/props", propsSchema)];
  const server = version.value
    ? `Ollama ${version.value.version}`
    : props.value
      ? "llama-server"
      : "a server that speaks OpenAI's API";
  return { url, api: openai.value ? "openai" : "ollama", model, headers, slots: props.value?.total_slots, server };
}

/** What an error says, the connection's included. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  return error.message || code || error.name;
}
