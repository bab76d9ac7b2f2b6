/** Finds the model server on the Mac and its models. Over SSH, because it listens on the Mac's loopback. */
import { z } from "zod";
import type { MacSession } from "../../ssh/session.ts";

/** A model server that answered. */
export interface ModelServer {
  readonly kind: "ollama" | "openai";
  /** On the Mac. */
  readonly url: string;
  /** As shown: `Ollama 0.9.0`. */
  readonly shown: string;
  readonly models: readonly Model[];
}
export interface Model {
  readonly name: string;
  /** undefined: neither the server nor the name tells. */
  readonly embeds: boolean | undefined;
}

/** Default addresses of common servers. */
export const usualUrls = [
  "http://127.0.0.1:11434", // Ollama
  "http://127.0.0.1:1234", // LM Studio
  "http://127.0.0.1:8080", // llama.cpp, mlx-lm
] as const;

const askMs = 15_000;
/** The first call may have to load the model from disk. */
const embedMs = 180_000;

const versionSchema = z.object({ version: z.string() });
const tagsSchema = z.object({ models: z.array(z.object({ name: z.string() })) });
const showSchema = z.object({ capabilities: z.array(z.string()).optional() });
const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })) });
const embeddingSchema = z.object({ data: z.array(z.object({ embedding: z.array(z.number()) })).min(1) });

/** @returns the server at `url`, or undefined when nothing there implements Ollama's or OpenAI's API */
export async function modelServerAt(session: MacSession, url: string): Promise<ModelServer | undefined> {
  const version = await ask(session, `${url}/api/version`, versionSchema);
  if (version) {
    const tags = await ask(session, `${url}/api/tags`, tagsSchema);
    const models = await Promise.all((tags?.models ?? []).map(({ name }) => ollamaModel(session, url, name)));
    return { kind: "ollama", url, shown: `Ollama ${version.version}`, models };
  }
  const list = await ask(session, `${url}/v1/models`, modelsSchema);
  if (!list) return undefined;
  const models = list.data.map(({ id }) => ({ name: id, embeds: looksLikeEmbedding(id) || undefined }));
  return { kind: "openai", url, shown: "an OpenAI-compatible server", models };
}

async function ollamaModel(session: MacSession, url: string, name: string): Promise<Model> {
  const shown = await ask(session, `${url}/api/show`, showSchema, { model: name });
  const embeds = shown?.capabilities?.includes("embedding") ?? (looksLikeEmbedding(name) || undefined);
  return { name, embeds };
}

/** Model families whose names show that they embed. */
export const looksLikeEmbedding = (name: string): boolean => /embed|bge|\be5\b|gte-|minilm/i.test(name);

/** Embeds one word. @returns the vector's dimensions; undefined when the model cannot embed */
export async function dimensionsOf(
  session: MacSession,
  server: ModelServer,
  model: string,
): Promise<number | undefined> {
  const answer = await ask(
    session,
    `${server.url}/v1/embeddings`,
    embeddingSchema,
    { model, input: "안녕하세요" },
    embedMs,
  );
  return answer?.data[0]?.embedding.length;
}

/** One request made on the Mac, by its own curl. @returns undefined when nothing listens, or the response is something else */
async function ask<T>(
  session: MacSession,
  url: string,
  schema: z.ZodType<T>,
  body?: unknown,
  timeoutMs = askMs,
): Promise<T | undefined> {
  const sent = body === undefined ? [] : ["--header", "content-type: application/json", "--data-binary", "@-"];
  const limits = ["--max-time", String(timeoutMs / 1000), "--noproxy", "*"];
  const ran = await session.run(["curl", "--silent", "--fail", ...limits, ...sent, url], {
    stdin: body === undefined ? "" : JSON.stringify(body),
    timeoutMs: timeoutMs + askMs,
  });
  if (ran.exitCode !== 0) return undefined;
  try {
    return schema.safeParse(JSON.parse(ran.stdout)).data;
  } catch {
    return undefined; // not JSON: another kind of server
  }
}
