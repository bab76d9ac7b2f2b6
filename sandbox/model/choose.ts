/** Chooses the model server behind the sandbox: one that was named, a local Ollama, or our own. */
import { z } from "zod";
import type { Log } from "../log.ts";
import { MissingTool } from "../tools/missing-tool.ts";
import { CHAT_MODEL, EMBEDDING_MODEL } from "./models.ts";
import { startModelServer } from "./server.ts";

/** A model server to use. */
export interface ChosenModel {
  url: string;
  kind: "ollama" | "openai";
  embeddingModel: string;
  chatModel: string;
  /** Ends our own server; leaves any other as it is. */
  close(): Promise<void>;
}

/** How it is chosen. */
export interface ChooseModelOptions {
  /** Port of our own server, on 127.0.0.1; 0 is any free one. */
  port: number;
  log: Log;
  /** SANDBOX_MODEL_URL, and the models' names in SANDBOX_CHAT_MODEL and SANDBOX_EMBEDDING_MODEL. @default process.env */
  env?: NodeJS.ProcessEnv;
  /** Where a local Ollama would be. @default "http://127.0.0.1:11434" */
  ollamaUrl?: string;
}

const versionSchema = z.object({ version: z.string() });
const tagsSchema = z.object({ models: z.array(z.object({ name: z.string() })) });
const modelsSchema = z.object({ data: z.array(z.object({ id: z.string() })) });
const EMBEDS = /embed|bge|e5-|minilm|gte-/iu;

async function get<T>(url: string, schema: z.ZodType<T>, timeoutMs: number): Promise<T | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    return response.ok ? schema.parse(await response.json()) : undefined;
  } catch {
    return undefined;
  }
}

async function look(
  url: string,
  timeoutMs: number,
): Promise<{ kind: ChosenModel["kind"]; names: string[] } | undefined> {
  if ((await get(`${url}/api/version`, versionSchema, timeoutMs)) !== undefined) {
    const tags = await get(`${url}/api/tags`, tagsSchema, timeoutMs);
    return { kind: "ollama", names: tags?.models.map(({ name }) => name) ?? [] };
  }
  const models = await get(`${url}/v1/models`, modelsSchema, timeoutMs);
  return models && { kind: "openai", names: models.data.map(({ id }) => id) };
}

/** Which of a server's models talks and which embeds: as the environment says, else by their names. */
function pick(names: readonly string[], env: NodeJS.ProcessEnv): { chatModel: string; embeddingModel: string } {
  const chatModel = env.SANDBOX_CHAT_MODEL ?? names.find((name) => !EMBEDS.test(name)) ?? names[0];
  const embeddingModel = env.SANDBOX_EMBEDDING_MODEL ?? names.find((name) => EMBEDS.test(name)) ?? names[0];
  if (chatModel === undefined || embeddingModel === undefined) {
    throw new Error("The model server has no model; load one, or set SANDBOX_CHAT_MODEL and SANDBOX_EMBEDDING_MODEL");
  }
  return { chatModel, embeddingModel };
}

/**
 * SANDBOX_MODEL_URL, else an Ollama on this machine that answers within 500 ms and has a model, else our own server.
 * Says which in one sentence. Rejects when SANDBOX_MODEL_URL is set and does not answer within 5 s.
 */
export async function chooseModel(options: ChooseModelOptions): Promise<ChosenModel> {
  const { port, log, env = process.env, ollamaUrl = "http://127.0.0.1:11434" } = options;
  const close = async (): Promise<void> => {};
  const named = env.SANDBOX_MODEL_URL?.replace(/\/+$/u, "");
  if (named !== undefined && named !== "") {
    const found = await look(named, 5000);
    if (found === undefined) {
      throw new MissingTool(
        `SANDBOX_MODEL_URL is ${named}, but neither /api/version nor /v1/models answers there. Start the model server, or unset the variable`,
      );
    }
    log(`Model server: ${named} (${found.kind}), named by SANDBOX_MODEL_URL.`);
    return { url: named, kind: found.kind, ...pick(found.names, env), close };
  }
  const local = await look(ollamaUrl, 500);
  if (local?.kind === "ollama" && local.names.length > 0) {
    log(`Model server: the Ollama on ${ollamaUrl}.`);
    return { url: ollamaUrl, kind: "ollama", ...pick(local.names, env), close };
  }
  const own = await startModelServer({ port, log });
  log("Model server: the sandbox's own, which repeats what it is told (no Ollama with a model on this machine).");
  return {
    url: own.url,
    kind: "ollama",
    chatModel: CHAT_MODEL,
    embeddingModel: EMBEDDING_MODEL,
    close: () => own.close(),
  };
}
