/** What is measured: where it is, which API it speaks, as whom and with which model. */
import { request } from "undici";
import { z } from "zod";
import { withoutSlash } from "../../runtime/base-url.ts";
import {
  type AskServer,
  looksLikeEmbedding,
  type ModelServerApi,
  modelServer,
  recognizeServer,
  serverOfApi,
} from "../../runtime/model-servers.ts";
import { UsageError } from "../errors.ts";
import { APIS } from "./wire.ts";

/** A model server, or the relay before one. */
export interface Target {
  /** Without a slash at its end and without `/v1`. */
  readonly url: string;
  readonly api: ModelServerApi;
  readonly model: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests that the server itself says it computes at once: llama-server's `/props`. Undefined when it does not say. */
  readonly slots: number | undefined;
  /** What the server says it is, for the report. */
  readonly server: string;
}

const propsSchema = z.object({ total_slots: z.int().min(1) });

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
  const url = withoutSlash(address.href).replace(/\/v1$/u, "");
  const why: string[] = [];
  const ask: AskServer = async (path) => {
    try {
      const answer = await request(url + path, { headers, signal: AbortSignal.timeout(timeoutMs) });
      const text = await answer.body.text();
      if (answer.statusCode === 200) return JSON.parse(text) as unknown;
      why.push(`${path} answers ${answer.statusCode}`);
    } catch (error) {
      why.push(`${path}: ${error instanceof SyntaxError ? "no JSON" : reason(error)}`);
    }
    return undefined;
  };
  const found = await findApi(ask, wanted.api);
  if (found === undefined) {
    throw new UsageError(
      `nothing at ${url} speaks OpenAI's or Ollama's API (${why.join("; ") || "another answer than these APIs'"}): give the address of the relay or of a model server`,
    );
  }
  const { api, names } = found;
  const model = wanted.model ?? names.find((name) => !looksLikeEmbedding(name)) ?? names[0];
  if (model === undefined || !(names.includes(model) || names.includes(`${model}:latest`))) {
    throw new UsageError(
      `the model ${JSON.stringify(model ?? "")} is not at ${url}: it has ${names.join(", ") || "none"}; give one by --model`,
    );
  }
  const recognized = await recognizeServer(ask);
  const slotsPath = recognized && modelServer(recognized.kind).slotsPath;
  const slots = slotsPath && propsSchema.safeParse(await ask(slotsPath)).data?.total_slots;
  const server = slots ? "llama-server" : (recognized?.shown ?? "a server that speaks OpenAI's API");
  return { url, api, model, headers, slots: slots || undefined, server };
}

async function findApi(
  ask: AskServer,
  wanted: ModelServerApi | undefined,
): Promise<{ api: ModelServerApi; names: string[] } | undefined> {
  for (const api of wanted === undefined ? APIS : [wanted]) {
    const { listPath, readModels } = serverOfApi(api);
    const list = await ask(listPath);
    if (list === undefined) continue;
    try {
      return { api, names: readModels(list).map(({ name }) => name) };
    } catch {
      // another program's answer
    }
  }
  return undefined;
}

/** What an error says, the connection's included. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  return error.message || code || error.name;
}
