/** The model server's embedding API: list of models, embedding calls, and the meaning of its refusals. */
import { z } from "zod";
import type { ModelConfig } from "../../model-config.ts";
import { basePath, type ListedModel, type ModelServer, modelServer } from "../../model-servers.ts";
import { RelayError } from "../errors.ts";
import type { Breaker } from "../model/breaker.ts";
import { keyHeader, keyRefused } from "../model/key-refusal.ts";
import { failure, openPool } from "../model/upstream.ts";
import type { ModelIdentity } from "./fingerprint.ts";
import type { ModelIdentities } from "./model-identities.ts";
import { notAvailable, RERANK_PATH } from "./rerank-availability.ts";

/** Most bytes read of an answer with vectors, of a list of models, and of a refusal. */
const MAX_ANSWER = 64 * 1024 * 1024;
const MAX_LIST = 1024 * 1024;
const MAX_REFUSAL = 64 * 1024;
const LIST_TIMEOUT_MS = 3_000;
/** How long a digest counts as current for look-ups, in ms. */
const TRUST_MS = 1_000;
/** Bounded, since names come from callers. */
const MAX_KNOWN = 100;

const refusalSchema = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });

export interface EmbeddingServer {
  /**
   * Sends an embedding request. @param trace headers with the context of a trace @returns the answer's body @throws as
   * `Embedder.embed`, and `model_busy`
   */
  embed(path: string, body: Uint8Array, signal: AbortSignal, trace?: Record<string, string>): Promise<Buffer>;
  /** The body of an answer to a rerank call. Throws as `embed` does, and `rerank_not_available`. */
  rerank(body: Uint8Array, signal: AbortSignal): Promise<Buffer>;
  /** See `Embedder.identity`. */
  identity(model: string, fresh?: boolean): Promise<ModelIdentity>;
  /** Drops all connections. */
  close(): Promise<void>;
}

/** Answers of servers without a reranker: llama-server without --reranking has 501, others do not know the path. */
const NO_SUCH_PATH: ReadonlySet<number> = new Set([404, 405, 501]);

/** A model: the latest look-up, when it began, and the last one that succeeded. */
interface Known {
  readonly identity: Promise<ModelIdentity>;
  readonly at: number;
}

/**
 * Opens no connection yet. @param revision replaces the digest if the server has none
 * @param breaker of all calls to the model server. Only embedding calls and refused connections count as its failures: a slow
 * list of models does not mean that the server cannot answer chats
 */
export function createEmbeddingServer(
  config: Pick<ModelConfig, "kind" | "url" | "timeouts"> & { readonly key?: string | undefined },
  revision: string | undefined,
  breaker: Breaker,
  identities: ModelIdentities,
): EmbeddingServer {
  const server = modelServer(config.kind);
  const base = basePath(config.url);
  const pool = openPool(new URL(config.url), config.timeouts);
  const known = new Map<string, Known>();

  /** @returns the body of an answer with status 200 */
  const request = async (
    method: "GET" | "POST",
    path: string,
    body: Uint8Array | null,
    signal: AbortSignal,
    trace?: Record<string, string>,
  ) => {
    breaker.check();
    let begun = false;
    const headers = {
      ...(body === null ? {} : { "content-type": "application/json" }),
      ...trace,
      ...keyHeader(config.key),
    };
    try {
      const answer = await pool.request({ method, path: base + path, headers, body, signal });
      begun = true;
      if (method === "POST") breaker.succeeded();
      const bytes = await wholeOf(answer.body);
      if (answer.statusCode === 200) return bytes;
      const text = bytes.toString("utf8", 0, MAX_REFUSAL);
      if (answer.statusCode === 401) throw keyRefused(config.key, text);
      if (path === RERANK_PATH && NO_SUCH_PATH.has(answer.statusCode)) {
        throw notAvailable(`status ${answer.statusCode}: ${text.slice(0, 500)}`);
      }
      throw refusal(answer.statusCode, answer.headers["retry-after"], text);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      if (cause instanceof RelayError) throw cause;
      const error = failure(cause instanceof Error ? cause : new Error(String(cause)), begun);
      if (!begun && (method === "POST" || error.code === "model_unreachable")) breaker.failed();
      throw error;
    }
  };

  const lookUp = async (model: string): Promise<ModelIdentity> => {
    if (!server.hasDigests) return { name: model, digest: revision ?? "" };
    const timeout = AbortSignal.timeout(LIST_TIMEOUT_MS);
    const bytes = await request("GET", server.listPath, null, timeout).catch((cause: unknown) => {
      throw cause instanceof RelayError ? cause : unreachable(cause);
    });
    const full = server.fullName(model);
    const found = modelsIn(server, bytes).find(({ name }) => name === model || name === full);
    if (found === undefined) {
      throw new RelayError("embedding_refused", `The model server has no model ${JSON.stringify(model)}.`);
    }
    if (found.digest === undefined) {
      throw unreachable(new Error(`${server.listPath} does not state the model's digest`));
    }
    const identity = { name: full, digest: found.digest };
    identities.note(model, identity);
    return identity;
  };

  return {
    embed: (path, body, signal, trace) => request("POST", path, body, signal, trace),
    rerank: (body, signal) => request("POST", RERANK_PATH, body, signal),
    async identity(model, fresh = false) {
      const before = known.get(model);
      if (!fresh && before !== undefined && performance.now() - before.at < TRUST_MS) return before.identity;
      const asked = lookUp(model);
      const orLast = asked.catch((cause: unknown) => {
        // A hit needs no running model: what is stored is valid for the model's last known digest.
        const last = isUnavailable(cause) ? identities.last(model) : undefined;
        if (last === undefined) throw cause;
        return last;
      });
      orLast.catch(() => {}); // with `fresh` it may not be awaited
      if (known.size >= MAX_KNOWN) known.clear();
      known.set(model, { identity: orLast, at: performance.now() });
      return fresh ? asked : orLast;
    },
    async close() {
      await pool.destroy();
      await identities.close();
    },
  };
}

/** @throws RelayError `model_unreachable` for an answer that is not a list of models */
function modelsIn(server: ModelServer, bytes: Buffer): ListedModel[] {
  try {
    return server.readModels(bytes.length > MAX_LIST ? undefined : parsed(bytes.toString("utf8")));
  } catch {
    throw unreachable(new Error(`${server.listPath} is not a list of models`));
  }
}

const UNAVAILABLE: ReadonlySet<string> = new Set([
  "model_down",
  "model_unreachable",
  "model_broke_off",
  "model_timeout",
  "model_busy",
  "model_server_denied",
]);
const isUnavailable = (cause: unknown): boolean => cause instanceof RelayError && UNAVAILABLE.has(cause.code);

function unreachable(cause: unknown): RelayError {
  return new RelayError("model_unreachable", "The model server on the Mac does not answer.", {
    headers: { "Retry-After": "5" },
    detail: cause instanceof Error ? cause.message : String(cause),
    cause,
  });
}

/** Maps an answer with another status than 200 to an error. */
function refusal(status: number, retryAfter: string | string[] | undefined, text: string): RelayError {
  const detail = `status ${status}: ${text.slice(0, 500)}`;
  if (status === 429 || status === 503) {
    const seconds = /^\d{1,4}$/.test(String(retryAfter)) ? String(retryAfter) : "5";
    return new RelayError("model_busy", "The model server on the Mac is busy. Try again later.", {
      headers: { "Retry-After": seconds },
      detail,
    });
  }
  if (status === 408 || status >= 500) {
    return new RelayError("model_broke_off", `The model server failed with ${status} on an embedding.`, { detail });
  }
  return new RelayError("embedding_refused", `The model server refused to embed: ${messageIn(text)}`);
}

/** The message of a refusal: `{"error": "…"}` of Ollama, `{"error": {"message": "…"}}` of the others. */
function messageIn(text: string): string {
  const found = refusalSchema.safeParse(parsed(text)).data?.error;
  return (typeof found === "string" ? found : (found?.message ?? text)).slice(0, 300);
}

/** @throws RelayError `model_broke_off` for an answer that is too long */
async function wholeOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_ANSWER) {
      throw new RelayError("model_broke_off", `The model server's answer is larger than ${MAX_ANSWER} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
