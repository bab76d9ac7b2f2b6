/** Finds the model server on the Mac and its models. Over SSH, because it listens on the Mac's loopback. */
import { z } from "zod";
import {
  type ListedModel,
  MODEL_SERVER_KINDS,
  MODEL_SERVERS,
  type ModelServerKind,
  modelListUrl,
  modelServer,
} from "../../runtime/model-servers.ts";
import type { MacSession } from "../../ssh/session.ts";

/** A model server that answered. */
export interface ModelServer {
  readonly kind: ModelServerKind;
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

/** Where each of the usual servers listens unless told otherwise. */
export const usualUrls: readonly string[] = MODEL_SERVER_KINDS.flatMap((kind) => modelServer(kind).usualUrls);

const askMs = 15_000;
/** The first call may have to load the model from disk. */
const embedMs = 180_000;

const versionSchema = z.object({ version: z.string() });
const showSchema = z.object({ capabilities: z.array(z.string()).optional() });
const embeddingSchema = z.object({ data: z.array(z.object({ embedding: z.array(z.number()) })).min(1) });

/** @returns the server at `url`, or undefined when nothing there implements Ollama's or OpenAI's API */
export async function modelServerAt(session: MacSession, url: string): Promise<ModelServer | undefined> {
  const version = await ask(session, `${url}/api/version`, versionSchema);
  if (version) {
    const listed = await listedBy(session, "ollama", url);
    const models = await Promise.all((listed ?? []).map(({ name }) => ollamaModel(session, url, name)));
    return { kind: "ollama", url, shown: `${MODEL_SERVERS.ollama.title} ${version.version}`, models };
  }
  const listed = await listedBy(session, "openai", url);
  if (!listed) return undefined;
  const models = listed.map(({ name }) => ({ name, embeds: looksLikeEmbedding(name) || undefined }));
  return { kind: "openai", url, shown: MODEL_SERVERS.openai.title, models };
}

/** @returns the models that a server of the kind lists at `url`; undefined when it is not one */
async function listedBy(session: MacSession, kind: ModelServerKind, url: string): Promise<ListedModel[] | undefined> {
  const list = await ask(session, modelListUrl({ kind, url }), z.unknown());
  try {
    return modelServer(kind).readModels(list);
  } catch {
    return undefined;
  }
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
    `${server.url}${MODEL_SERVERS.openai.embeddings.path}`,
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
    return undefined; // no JSON: not the server that is looked for
  }
}
