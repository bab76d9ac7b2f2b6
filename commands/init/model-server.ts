/** Finds the model server on the Mac and its models. Over SSH, because it listens on the Mac's loopback. */
import { z } from "zod";
import {
  type AskServer,
  looksLikeEmbedding,
  MODEL_SERVER_KINDS,
  type ModelServerKind,
  modelServer,
  recognizeServer,
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

/**
 * @param key of the model server, where it wants one
 * @returns the server at `url`; undefined when nothing there is of a known kind
 */
export async function modelServerAt(
  session: MacSession,
  url: string,
  key?: string,
): Promise<ModelServer | LockedServer | undefined> {
  const at: Address = { session, url, key };
  let isKeyRefused = false;
  const askServer: AskServer = async (path, body) => {
    const asked = await ask(at, path, z.unknown(), body);
    isKeyRefused ||= asked.isRefused;
    return asked.value;
  };
  const recognized = await recognizeServer(askServer);
  if (recognized === undefined) return isKeyRefused ? { url, isLocked: true } : undefined;
  if (await wantsKey(session, { kind: recognized.kind, url, key })) return { url, isLocked: true };
  const server = modelServer(recognized.kind);
  const models = await Promise.all(
    listed(server, await askServer(server.listPath)).map(async ({ name }) => ({
      name,
      embeds: (await server.embeds(askServer, name)) ?? (looksLikeEmbedding(name) || undefined),
    })),
  );
  return { ...recognized, url, models, key };
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

/** @returns the models of a list; none of another answer */
function listed(server: ReturnType<typeof modelServer>, list: unknown): ReturnType<typeof server.readModels> {
  try {
    return server.readModels(list);
  } catch {
    return [];
  }
}

/** Embeds one word. @returns the vector's dimensions; undefined when the model cannot embed */
export async function dimensionsOf(
  session: MacSession,
  server: ModelServer,
  model: string,
): Promise<number | undefined> {
  const { path, options, read } = modelServer(server.kind).embeddings;
  const body = { model, input: ["안녕하세요"], ...options };
  const { value } = await ask({ session, url: server.url, key: server.key }, path, z.unknown(), body, embedMs);
  return read(value)?.rows[0]?.length;
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
