/**
 * Reranking: the model server says how well texts answer a query. Source: llama.cpp, tools/server/README.md, "POST
 * /reranking" (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md), which follows Jina's API.
 */
import { z } from "zod";
import type { Caller } from "../../config.ts";
import type { ModelConfig } from "../../model-config.ts";
import type { Admission } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { BodyWorker } from "./body-worker.ts";
import type { EmbeddingServer } from "./embedding-server.ts";
import { type Client, estimateTextTokens } from "./embedding-work.ts";
import { notAvailable } from "./rerank-availability.ts";

export interface RerankTask {
  readonly query: string;
  readonly texts: readonly string[];
  readonly caller: Caller;
  readonly company: string;
  /** Absent: somebody waits for it to the end. */
  readonly client?: Client | undefined;
  readonly signal: AbortSignal;
}

export interface Reranked {
  /** Of each text, in their order; higher is better. Their range is the model's. */
  readonly scores: readonly number[];
  /** As the model server counts them; estimated when it does not. */
  readonly tokens: number;
}

/**
 * Reranks in one call, in a slot of the embeddings' queue. @throws RelayError `rerank_not_available` when the model server
 * has no reranker, `embedding_refused` for a refusal, `model_*`, what admission throws
 */
export type Rerank = (task: RerankTask) => Promise<Reranked>;

const answerSchema = z.object({
  results: z.array(z.object({ index: z.int().min(0), relevance_score: z.number() })),
  usage: z.object({ total_tokens: z.int().min(0) }).optional(),
});

/** Errors of calls that the model server has not worked on. */
const NOT_WORKED_ON: ReadonlySet<string> = new Set(["model_down", "model_unreachable", "rerank_not_available"]);

export interface RerankOptions {
  readonly server: Pick<EmbeddingServer, "rerank">;
  readonly admission: Admission;
  readonly bodyWorker: BodyWorker;
  readonly onUsage?: ((caller: string, tokens: number) => void) | undefined;
}

/** Opens no connection yet. @param model of the reranker; undefined: the model server has one only */
export function createRerank(
  { rerankModel: model }: Pick<ModelConfig, "rerankModel">,
  { server, admission, bodyWorker, onUsage = () => {} }: RerankOptions,
): Rerank {
  return async ({ query, texts, caller, company, client, signal }) => {
    const estimatedTokens = estimateTextTokens([...texts, ...texts.map(() => query)]);
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), Buffer.byteLength(query));
    const slot = await admission.acquire({
      queue: "embeddings",
      caller,
      company,
      estimatedTokens,
      bytes,
      signal,
      background: client?.hasLeft === true,
      evictable: () => client?.isAnswered !== true,
    });
    let used: number | undefined;
    let notSent = false;
    try {
      const asked = { ...(model === undefined ? {} : { model }), query, documents: texts };
      const body = await bodyWorker.run(caller.name, bytes, "request", asked);
      const { scores, tokens } = scoresIn(await server.rerank(body, signal), texts.length);
      used = tokens ?? estimatedTokens;
      onUsage(caller.name, used);
      client?.usage?.ranked(used);
      return { scores, tokens: used };
    } catch (cause) {
      notSent = cause instanceof RelayError && NOT_WORKED_ON.has(cause.code);
      throw cause;
    } finally {
      // A call without a usable answer costs the time it took.
      if (used !== undefined || notSent) slot.release(used ?? 0);
      else slot.abandon();
    }
  };
}

/** @throws RelayError `rerank_not_available` for an answer that does not score each text once */
function scoresIn(answer: Buffer, count: number): { scores: number[]; tokens: number | undefined } {
  const parsed = answerSchema.safeParse(jsonIn(answer));
  const scores = new Map(parsed.data?.results.map(({ index, relevance_score }) => [index, relevance_score]));
  const inOrder = Array.from({ length: count }, (_, index) => scores.get(index));
  const found = inOrder.filter((score) => score !== undefined);
  if (found.length !== count || scores.size !== count) {
    // LM Studio answers paths that it does not have with 200 and an error.
    throw notAvailable(`it answered ${answer.toString("utf8", 0, 300)}`);
  }
  return { scores: found, tokens: parsed.data?.usage?.total_tokens };
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}
