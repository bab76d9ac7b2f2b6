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

/** @returns the server at `url`, or undefined when nothing there is of a known kind */
export async function modelServerAt(session: MacSession, url: string): Promise<ModelServer | undefined> {
  const askServer: AskServer = (path, body) => ask(session, url + path, z.unknown(), body);
  const recognized = await recognizeServer(askServer);
  if (recognized === undefined) return undefined;
  const server = modelServer(recognized.kind);
  const models = await Promise.all(
    listed(server, await askServer(server.listPath)).map(async ({ name }) => ({
      name,
      embeds: (await server.embeds(askServer, name)) ?? (looksLikeEmbedding(name) || undefined),
    })),
  );
  return { ...recognized, url, models };
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
  const answer = await ask(session, server.url + path, z.unknown(), body, embedMs);
  return read(answer)?.rows[0]?.length;
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
