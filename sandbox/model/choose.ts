/** Chooses the model server behind the sandbox: one that was named, a local Ollama, or our own. */
import { withoutSlash } from "../../runtime/base-url.ts";
import {
  type AskServer,
  looksLikeEmbedding,
  type ModelServerKind,
  modelServer,
  recognizeServer,
} from "../../runtime/model-servers.ts";
import type { Log } from "../log.ts";
import type { Reaper } from "../machine/reaper.ts";
import { MissingTool } from "../tools/missing-tool.ts";
import type { RealServer } from "../tools/real/ensure.ts";
import { CHAT_MODEL, EMBEDDING_MODEL } from "./models.ts";
import { startRealModel } from "./real.ts";
import { startModelServer } from "./server.ts";

/** A model server to use. */
export interface ChosenModel {
  url: string;
  kind: ModelServerKind;
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
  /** Ends a real server with the sandbox. */
  reaper?: Reaper;
}

/** What SANDBOX_MODEL can be. `real` is llama-server; `auto` is described at `chooseModel`. */
export const modelChoices = ["auto", "emulator", "real", "llama-server", "ollama"] as const;

/** The kinds of the real servers, as the stack's config names them. */
const realServers = { "llama-server": "openai", ollama: "ollama" } as const satisfies Record<
  RealServer,
  ModelServerKind
>;

/** How to have a real answer, for those who got the emulator's. */
const howToBeReal =
  "`npm run sandbox -- --model real` starts a real one (the first time it is built, which takes minutes)";

async function look(url: string, timeoutMs: number): Promise<{ kind: ModelServerKind; names: string[] } | undefined> {
  const ask: AskServer = async (path) => {
    try {
      const response = await fetch(url + path, { signal: AbortSignal.timeout(timeoutMs) });
      return response.ok ? await response.json() : undefined;
    } catch {
      return undefined;
    }
  };
  const found = await recognizeServer(ask);
  if (found === undefined) return undefined;
  const { listPath, readModels } = modelServer(found.kind);
  try {
    return { kind: found.kind, names: readModels(await ask(listPath)).map(({ name }) => name) };
  } catch {
    return { kind: found.kind, names: [] }; // has no list
  }
}

/** Which of a server's models talks and which embeds: as the environment says, else by their names. */
function pick(names: readonly string[], env: NodeJS.ProcessEnv): { chatModel: string; embeddingModel: string } {
  const chatModel = env.SANDBOX_CHAT_MODEL ?? names.find((name) => !looksLikeEmbedding(name)) ?? names[0];
  const embeddingModel = env.SANDBOX_EMBEDDING_MODEL ?? names.find((name) => looksLikeEmbedding(name)) ?? names[0];
  if (chatModel === undefined || embeddingModel === undefined) {
    throw new Error("The model server has no model; load one, or set SANDBOX_CHAT_MODEL and SANDBOX_EMBEDDING_MODEL");
  }
  return { chatModel, embeddingModel };
}

/**
 * The real server that SANDBOX_MODEL names; else SANDBOX_MODEL_URL, else an Ollama on this machine that answers within 500 ms
 * and has a model, else the emulator. Says which in one sentence.
 * @throws MissingTool when SANDBOX_MODEL_URL is set and does not answer within 5 s, or the real server is not available
 */
export async function chooseModel(options: ChooseModelOptions): Promise<ChosenModel> {
  const { port, log, env = process.env, ollamaUrl = "http://127.0.0.1:11434" } = options;
  const wanted = modelChoices.find((choice) => choice === (env.SANDBOX_MODEL || "auto"));
  if (wanted === undefined) {
    throw new MissingTool(
      `SANDBOX_MODEL is ${JSON.stringify(env.SANDBOX_MODEL)}: it must be one of ${modelChoices.join(", ")}`,
    );
  }
  if (wanted === "emulator") return emulator(port, log);
  if (wanted !== "auto") {
    const kind = wanted === "ollama" ? "ollama" : "llama-server";
    const { reaper } = options;
    const real = await startRealModel({ kind, log, ...(port > 0 && { port }), ...(reaper && { reaper }) });
    log(`Model server: a real ${kind} with the small model ${real.model}.`);
    const { url, model } = real;
    return { url, kind: realServers[kind], chatModel: model, embeddingModel: model, close: () => real.close() };
  }
  const close = async (): Promise<void> => {};
  const named = env.SANDBOX_MODEL_URL && withoutSlash(env.SANDBOX_MODEL_URL);
  if (named !== undefined && named !== "") {
    const found = await look(named, 5000);
    if (found === undefined) {
      throw new MissingTool(
        `SANDBOX_MODEL_URL is ${named}, but no model server of a known kind answers there. Start the model server, or unset the variable`,
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
  return emulator(port, log);
}

async function emulator(port: number, log: Log): Promise<ChosenModel> {
  const own = await startModelServer({ port, log });
  log(`Model server: an emulator, which computes nothing and repeats what it is told; ${howToBeReal}.`);
  return {
    url: own.url,
    kind: "ollama",
    chatModel: CHAT_MODEL,
    embeddingModel: EMBEDDING_MODEL,
    close: () => own.close(),
  };
}
