/** OpenAI's API under `/v1/`. Source: https://platform.openai.com/docs/api-reference */
import { errorBody } from "../errors.ts";
import type { Dialect, Framing, ModelRoute } from "./dialect.ts";
import { eventStream, oneJson } from "./framings.ts";
import { keepAliveCheck } from "./keep-alive-check.ts";
import { modelIdPath } from "./model-id.ts";

/** Request parameters that a Response object repeats, and the value there when the request does not state one. */
export const RESPONSE_PARAMETERS: Readonly<Record<string, unknown>> = {
  model: "",
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  reasoning: null,
  temperature: null,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_p: null,
  truncation: "disabled",
  user: null,
};

const chunks: Framing = eventStream({
  error: (error) => `data: ${errorBody(error)}\n\n`,
  wrap: (json) => `data: ${JSON.stringify(json)}\n\ndata: [DONE]\n\n`,
});

/** The Responses API has an error event of its own. */
const responseEvents: Framing = {
  ...chunks,
  error: ({ code, message }) =>
    `event: error\ndata: ${JSON.stringify({ type: "error", code, message, param: null, sequence_number: 0 })}\n\n`,
};

const json = oneJson(errorBody);

const rerank = (name: string): ModelRoute => ({
  kind: "model",
  name,
  method: "POST",
  queue: "embeddings",
  servers: "llama-server, started with --reranking",
});

const chat = (name: string, framing: Framing): ModelRoute => ({
  kind: "model",
  name,
  method: "POST",
  queue: "chat",
  streams: { when: "asked", framing },
  mayFallBack: true,
});

export const OPENAI: Dialect = {
  name: "openai",
  title: "OpenAI",
  servedBy: { ollama: true, openai: true },
  routes: [
    chat("/v1/chat/completions", chunks),
    chat("/v1/completions", chunks),
    {
      ...chat("/v1/responses", responseEvents),
      mayRunInBackground: true,
      reads: ["background", ...Object.keys(RESPONSE_PARAMETERS)],
    },
    {
      kind: "model",
      name: "/v1/embeddings",
      method: "POST",
      queue: "embeddings",
      streams: { when: "asked", framing: chunks },
      mayNameDocument: true,
    },
    rerank("/v1/rerank"),
    rerank("/rerank"),
    { kind: "model", name: "/v1/models", method: "GET" },
    { kind: "model", name: "/v1/models/{id}", pattern: modelIdPath("/v1/models/"), method: "GET" },
    { kind: "job", act: "response", name: "/v1/responses/{id}", methods: ["GET", "HEAD"] },
    { kind: "job", act: "cancel_response", name: "/v1/responses/{id}/cancel", methods: ["POST"] },
  ],
  json,
  framings: [chunks, json],
  errorBody,
  headers: {
    toModel: ["openai-beta"],
    fromModel: ["retry-after-ms", "x-should-retry"],
    fromModelPrefixes: ["openai-", "x-ratelimit-"],
  },
  usage: {
    prompt: ["prompt_tokens", "input_tokens"],
    // predicted_n: llama-server's, in the last event also when the caller did not ask for usage.
    output: ["completion_tokens", "output_tokens", "predicted_n"],
    cached: ["cached_tokens"],
    at: "end",
  },
  answerLimits: ["max_tokens", "max_completion_tokens", "max_output_tokens"],
  bodyChecks: [keepAliveCheck],
};
