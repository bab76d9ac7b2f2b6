/** The models the sandbox's model server has; `/api/delete` and `/api/pull` really change the list. */
import { createHash } from "node:crypto";

/** Name of the model that talks. */
export const CHAT_MODEL = "slm-ko:latest";
/** Name of the model that embeds. */
export const EMBEDDING_MODEL = "bge-m3:latest";

/** One model. */
export interface Model {
  name: string;
  kind: "chat" | "embedding";
  digest: string;
  modifiedAt: string;
}

const INSTALLED_AT = "2026-11-01T00:00:00Z";
const withTag = (name: string): string => (name.includes(":") ? name : `${name}:latest`);

function describe(name: string, kind: Model["kind"], modifiedAt: string): Model {
  return { name, kind, digest: createHash("sha256").update(name).digest("hex"), modifiedAt };
}

/** The installed models, and which of them are in memory. */
export class Models {
  readonly #installed = new Map<string, Model>();
  readonly #loaded = new Set<string>();

  constructor() {
    this.#installed.set(CHAT_MODEL, describe(CHAT_MODEL, "chat", INSTALLED_AT));
    this.#installed.set(EMBEDDING_MODEL, describe(EMBEDDING_MODEL, "embedding", INSTALLED_AT));
  }

  /** The model of that name, with or without `:latest`. */
  find(name: string): Model | undefined {
    return this.#installed.get(withTag(name));
  }

  list(): Model[] {
    return [...this.#installed.values()];
  }

  loaded(): Model[] {
    return this.list().filter((model) => this.#loaded.has(model.name));
  }

  load(model: Model): void {
    this.#loaded.add(model.name);
  }

  unload(model: Model): void {
    this.#loaded.delete(model.name);
  }

  install(name: string): Model {
    const model = describe(withTag(name), /embed|bge|e5/u.test(name) ? "embedding" : "chat", new Date().toISOString());
    this.#installed.set(model.name, model);
    return model;
  }

  remove(model: Model): void {
    this.#installed.delete(model.name);
    this.#loaded.delete(model.name);
  }
}

/** The part of Ollama's answers that describes a model. */
export function modelDetails(model: Model): Record<string, unknown> {
  const family = model.kind === "chat" ? "gemma3" : "bert";
  return {
    parent_model: "",
    format: "gguf",
    family,
    families: [family],
    parameter_size: "1B",
    quantization_level: "Q4_K_M",
  };
}
