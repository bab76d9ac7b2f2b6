/** Where a model server lists its models: what the relay, doctor and preflight ask to see whether it is there. Pure. */
import type { ModelConfig } from "./config.ts";

/** Path of the list, by the kind of the model server. */
export const LIST_PATHS: Readonly<Record<ModelConfig["kind"], string>> = {
  ollama: "/api/tags",
  openai: "/v1/models",
};

/** @returns the list's address; a path in `url` (a model server behind a prefix) stays in front */
export function modelListUrl({ kind, url }: Pick<ModelConfig, "kind" | "url">): string {
  return url.replace(/\/+$/, "") + LIST_PATHS[kind];
}
