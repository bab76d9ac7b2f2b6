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
import { askModelServer, isRefused, wantsKey } from "../model-request.ts";

/** A model server that answered. */
export interface ModelServer {
  readonly kind: ModelServerKind;
  /** On the Mac. */
  readonly url: string;
  /** As shown: `Ollama 0.9.0`. */
  readonly shown: string;
  readonly models: readonly Model[];
  /** The key that it was asked with. */
  readonly key?: string | undefined;
}
/** A model server that asks for a key, or refuses the one it got. */
export interface LockedServer {
  readonly url: string;
  readonly isLocked: true;
}
export interface Model {
  readonly name: string;
  /** undefined: neither the server nor the name tells. */
  readonly embeds: boolean | undefined;
}

/** Where each of the usual servers listens unless told otherwise. */
export const usualUrls: readonly string[] = MODEL_SERVER_KINDS.flatMap((kind) => modelServer(kind).usualUrls);

/** The first call may have to load the model from disk. */
const embedMs = 180_000;

const versionSchema = z.object({ version: z.string() });
const showSchema = z.object({ capabilities: z.array(z.string()).optional() });
const embeddingSchema = z.object({ data: z.array(z.object({ embedding: z.array(z.number()) })).min(1) });

/**
 * @param key of the model server, where it wants one
 * @returns the server at `url`; undefined when nothing there implements Ollama's or OpenAI's API
 */
export async function modelServerAt(
  session: MacSession,
  url: string,
  key?: string,
): Promise<ModelServer | LockedServer | undefined> {
  const at: Address = { session, url, key };
  const version = await ask(at, "/api/version", versionSchema);
  if (version.value) {
    const listed = await listedBy(at, "ollama");
    const models = await Promise.all((listed.value ?? []).map(({ name }) => ollamaModel(at, name)));
    return { kind: "ollama", url, shown: `${MODEL_SERVERS.ollama.title} ${version.value.version}`, models, key };
  }
  const listed = await listedBy(at, "openai");
  if (listed.isRefused) return { url, isLocked: true };
  if (!listed.value) return undefined;
  if (await wantsKey(session, { kind: "openai", url, key })) return { url, isLocked: true };
  const models = listed.value.map(({ name }) => ({ name, embeds: looksLikeEmbedding(name) || undefined }));
  return { kind: "openai", url, shown: MODEL_SERVERS.openai.title, models, key };
}

interface Address {
  readonly session: MacSession;
  readonly url: string;
  readonly key: string | undefined;
}
interface Asked<T> {
  /** Undefined when nothing listens, or the response is something else. */
  readonly value?: T | undefined;
  readonly isRefused: boolean;
}

/** @returns the models that a server of the kind lists; undefined when it is not one */
async function listedBy(at: Address, kind: ModelServerKind): Promise<Asked<ListedModel[]>> {
  const list = await ask(at, modelListUrl({ kind, url: "" }), z.unknown());
  try {
    return { ...list, value: modelServer(kind).readModels(list.value) };
  } catch {
    return { isRefused: list.isRefused };
  }
}

async function ollamaModel(at: Address, name: string): Promise<Model> {
  const { value: shown } = await ask(at, "/api/show", showSchema, { model: name });
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
  const { value } = await ask(
    { session, url: server.url, key: server.key },
    MODEL_SERVERS.openai.embeddings.path,
    embeddingSchema,
    { model, input: "안녕하세요" },
    embedMs,
  );
  return value?.data[0]?.embedding.length;
}

async function ask<T>(
  { session, url, key }: Address,
  path: string,
  schema: z.ZodType<T>,
  body?: unknown,
  timeoutMs?: number,
): Promise<Asked<T>> {
  const reply = await askModelServer(session, url + path, { key, body, ...(timeoutMs !== undefined && { timeoutMs }) });
  if (isRefused(reply)) return { isRefused: true };
  if (reply.status !== 200) return { isRefused: false };
  try {
    return { value: schema.safeParse(JSON.parse(reply.body)).data, isRefused: false };
  } catch {
    return { isRefused: false }; // no JSON: not the server that is looked for
  }
}
