/** Ollama's API under `/api/`. Source: https://docs.ollama.com/api */
import type { ErrorObject } from "../errors.ts";
import type { Dialect, Framing, ModelRoute } from "./dialect.ts";
import { jsonLines, oneJson } from "./framings.ts";
import { optionsCheck } from "./load-options-check.ts";

/** Ollama's envelope: its clients take `error` for the message itself. `type` and `code` are additions that they ignore. */
const errorBody = ({ message, type, code }: ErrorObject): string => JSON.stringify({ error: message, type, code });

const lines: Framing = jsonLines({
  error: ({ message, code }) => `${JSON.stringify({ error: message, code })}\n`,
});

const json = oneJson(errorBody);

const chat = (name: string): ModelRoute => ({
  kind: "model",
  name,
  method: "POST",
  queue: "chat",
  listsModels: false,
  streams: { when: "unless_declined", framing: lines },
});
const embeddings = (name: string): ModelRoute => ({
  kind: "model",
  name,
  method: "POST",
  queue: "embeddings",
  listsModels: false,
});
const read = (name: string, listsModels = false): ModelRoute => ({ kind: "model", name, method: "GET", listsModels });
const modelList = (name: string) => read(name, true);

export const OLLAMA: Dialect = {
  name: "ollama",
  title: "Ollama",
  prefix: "/api/",
  servedBy: { ollama: true, openai: false },
  routes: [
    chat("/api/chat"),
    chat("/api/generate"),
    embeddings("/api/embed"),
    embeddings("/api/embeddings"),
    // It takes `name` where `model` is empty.
    { kind: "model", name: "/api/show", method: "POST", listsModels: false, modelKeys: ["model", "name"] },
    read("/"), // its health check, "Ollama is running"
    modelList("/api/tags"),
    modelList("/api/ps"),
    read("/api/version"),
  ],
  json,
  framings: [lines, json],
  errorBody,
  headers: { toModel: [], fromModel: [], fromModelPrefixes: [] },
  usage: { prompt: ["prompt_eval_count"], output: ["eval_count"], cached: [], at: "end" },
  answerLimits: ["num_predict"],
  bodyChecks: [optionsCheck],
};
