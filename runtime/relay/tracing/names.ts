/**
 * Every name of a span and of an attribute, and their sources:
 *
 * - Semantic conventions 1.45.0: https://github.com/open-telemetry/semantic-conventions/tree/v1.45.0/docs
 * - Semantic conventions for generative AI 0.1.0 (status: development), which have a repository of their own since 2026:
 *   https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md
 *
 * A test compares them with the constants of `@opentelemetry/semantic-conventions`. What the conventions have no name for
 * begins with `slm.`.
 */

/** Schema of the names, for the exported spans. */
export const SCHEMA_URL = "https://opentelemetry.io/schemas/1.45.0";

/** Attributes of the conventions. */
export const ATTRIBUTES = {
  SERVICE_NAME: "service.name",
  HTTP_REQUEST_METHOD: "http.request.method",
  HTTP_ROUTE: "http.route",
  HTTP_RESPONSE_STATUS_CODE: "http.response.status_code",
  ERROR_TYPE: "error.type",
  SERVER_ADDRESS: "server.address",
  SERVER_PORT: "server.port",
  DB_SYSTEM_NAME: "db.system.name",
  DB_OPERATION_NAME: "db.operation.name",
  GEN_AI_OPERATION_NAME: "gen_ai.operation.name",
  GEN_AI_PROVIDER_NAME: "gen_ai.provider.name",
  GEN_AI_REQUEST_MODEL: "gen_ai.request.model",
  GEN_AI_REQUEST_STREAM: "gen_ai.request.stream",
  GEN_AI_RESPONSE_ID: "gen_ai.response.id",
  GEN_AI_RESPONSE_MODEL: "gen_ai.response.model",
  GEN_AI_RESPONSE_FINISH_REASONS: "gen_ai.response.finish_reasons",
  GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: "gen_ai.response.time_to_first_chunk",
  GEN_AI_USAGE_INPUT_TOKENS: "gen_ai.usage.input_tokens",
  GEN_AI_USAGE_OUTPUT_TOKENS: "gen_ai.usage.output_tokens",
  GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "gen_ai.usage.cache_read.input_tokens",
} as const;

/** Attributes of our own. */
export const OWN = {
  /** Name of the calling server, "people", or "-". */
  CALLER: "slm.caller",
  /** Cloudflare location the request came in at, or "direct". */
  COLO: "slm.entry.colo",
  /** True: the client disconnected before the end of the response. */
  ABORTED: "slm.client.aborted",
  /** Code of the error for which the fallback server was asked. */
  FALLBACK: "slm.fallback.reason",
  /** Queue of the slot: chat or embeddings. */
  QUEUE: "slm.queue",
  /** True for jobs, and other work that no one waits for. */
  BACKGROUND: "slm.queue.background",
  /** Id of the job, as callers know it. */
  JOB: "slm.job.id",
  JOB_OUTCOME: "slm.job.outcome",
} as const;

/** Names of spans. The server span is `{method} {route}`, the model call `{operation} {model}`. */
export const SPANS = {
  ACCESS: "access check",
  QUEUE: "queue wait",
  JOB: "job run",
  /** With the operation's name after it. */
  DOCUMENTS: "documents",
  JOBS: "jobs",
} as const;

/** `db.system.name` of the stores. Source: docs/registry/attributes/db.md */
export const STORE_SYSTEMS = { embedded: "sqlite", atlas: "mongodb" } as const;

/** `error.type` of what has no code. Source: docs/registry/attributes/error.md */
export const OTHER_ERROR = "_OTHER";
export const CLIENT_DISCONNECTED = "client_disconnected";

/** Methods that a span may name; any other is `_OTHER`, since callers choose it. Source: docs/http/http-spans.md */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
export const methodName = (method: string): string => (METHODS.has(method) ? method : "_OTHER");

/** `gen_ai.operation.name` by the path of the model server. Paths that generate nothing are plain HTTP calls. */
const OPERATIONS: ReadonlyMap<string, string> = new Map([
  ["/v1/chat/completions", "chat"],
  ["/v1/responses", "chat"],
  ["/v1/messages", "chat"],
  ["/api/chat", "chat"],
  ["/v1/completions", "text_completion"],
  ["/api/generate", "text_completion"],
  ["/v1/embeddings", "embeddings"],
  ["/api/embed", "embeddings"],
  ["/api/embeddings", "embeddings"],
  // The conventions have none for a reranker.
  ["/v1/rerank", "rerank"],
  ["/rerank", "rerank"],
]);

/** @param target path and query @returns undefined for a call that generates nothing */
export function operationOf(target: string): string | undefined {
  const at = target.indexOf("?");
  return OPERATIONS.get(at < 0 ? target : target.slice(0, at));
}
