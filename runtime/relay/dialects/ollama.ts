/** Ollama's API under `/api/`. Source: https://docs.ollama.com/api */
import { errorBody } from "../errors.ts";
import type { Dialect, Framing, ModelRoute } from "./dialect.ts";
import { jsonLines, oneJson } from "./framings.ts";
import { keepAliveCheck } from "./keep-alive-check.ts";
import { optionsCheck } from "./load-options-check.ts";

const lines: Framing = jsonLines({
  // Its clients take `error` for the message itself.
  error: ({ message, code }) => `${JSON.stringify({ error: message, code })}\n`,
});

const json = oneJson(errorBody);

const chat = (name: string): ModelRoute => ({
  kind: "model",
  name,
  method: "POST",
  queue: "chat",
  streams: { when: "unless_declined", framing: lines },
});
const embeddings = (name: string): ModelRoute => ({ kind: "model", name, method: "POST", queue: "embeddings" });
const read = (name: string): ModelRoute => ({ kind: "model", name, method: "GET" });

export const OLLAMA: Dialect = {
  name: "ollama",
  title: "Ollama",
  servedBy: { ollama: true, openai: false },
  routes: [
    chat("/api/chat"),
    chat("/api/generate"),
    embeddings("/api/embed"),
    embeddings("/api/embeddings"),
    // It takes `name` where `model` is empty.
    { kind: "model", name: "/api/show", method: "POST", modelKeys: ["model", "name"] },
    read("/"), // its health check, "Ollama is running"
    read("/api/tags"),
    read("/api/ps"),
    read("/api/version"),
  ],
  json,
  framings: [lines, json],
  errorBody,
  headers: { toModel: [], fromModel: [], fromModelPrefixes: [] },
  usage: { prompt: ["prompt_eval_count"], output: ["eval_count"], cached: [], at: "end" },
  answerLimits: ["num_predict"],
  bodyChecks: [keepAliveCheck, optionsCheck],
};
