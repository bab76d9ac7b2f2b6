/** Where a model server reranks, and the error for one that does not. Pure. */
import { RelayError } from "../errors.ts";

export const RERANK_PATH = "/v1/rerank";

/** The error for a model server without a reranker. @param detail for the log */
export function notAvailable(detail: string): RelayError {
  return new RelayError(
    "rerank_not_available",
    'rerank: true needs a reranker, and the model server behind this address answers no POST /v1/rerank (llama-server does, started with --reranking and a rerank model; Ollama and LM Studio have none). Leave "rerank" out.',
    { detail },
  );
}
