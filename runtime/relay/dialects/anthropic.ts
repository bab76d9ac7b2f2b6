/**
 * Anthropic's Messages API, as model servers serve it: passed through, never translated.
 * Sources: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/api/messages-streaming,
 * https://docs.anthropic.com/en/api/errors, https://docs.ollama.com/api/anthropic-compatibility,
 * https://github.com/ggml-org/llama.cpp/pull/17570
 */
import { type ErrorObject, statusOfCode } from "../errors.ts";
import { messageEvents } from "./anthropic-events.ts";
import type { Dialect, Framing } from "./dialect.ts";
import { eventStream, oneJson } from "./framings.ts";
import { ttlCheck } from "./load-options-check.ts";

/** Types of Anthropic's errors by status. Source: https://docs.anthropic.com/en/api/errors */
const TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

/** Anthropic's envelope; `code` is the relay's addition, which Anthropic's clients ignore. */
function errorBody({ message, code, type }: ErrorObject): string {
  const known = TYPES[statusOfCode(code) ?? 0];
  const anthropicType = known ?? (type === "server_error" ? "api_error" : type);
  return JSON.stringify({ type: "error", error: { type: anthropicType, message, code } });
}

/** `ping` is an event that its clients skip, at the stream's beginning too; a comment would break simpler SSE parsers. */
const events: Framing = eventStream({
  heartbeat: 'event: ping\ndata: {"type": "ping"}\n\n',
  error: (error) => `event: error\ndata: ${errorBody(error)}\n\n`,
  wrap: messageEvents,
});

const json = oneJson(errorBody);

export const ANTHROPIC: Dialect = {
  name: "anthropic",
  title: "Anthropic",
  prefix: "/v1/messages/",
  servedBy: { ollama: true, openai: true },
  routes: [
    {
      kind: "model",
      name: "/v1/messages",
      method: "POST",
      queue: "chat",
      listsModels: false,
      streams: { when: "asked", framing: events },
      servers: "Ollama 0.14 or later, LM Studio 0.4 or later, llama-server",
    },
    // No slot: the server only tokenizes, and clients ask before each message.
    { kind: "model", name: "/v1/messages/count_tokens", method: "POST", listsModels: false, servers: "llama-server" },
  ],
  json,
  framings: [events, json],
  errorBody,
  headers: {
    toModel: ["anthropic-version", "anthropic-beta"],
    fromModel: ["request-id", "retry-after-ms", "x-should-retry"],
    fromModelPrefixes: ["anthropic-"],
  },
  usage: {
    prompt: ["input_tokens"],
    output: ["output_tokens"],
    cached: ["cache_read_input_tokens"],
    // `input_tokens` leaves out what came from a cache or went into it.
    besidePrompt: ["cache_read_input_tokens", "cache_creation_input_tokens"],
    at: "start_and_end",
  },
  answerLimits: ["max_tokens"],
  bodyChecks: [ttlCheck],
};
