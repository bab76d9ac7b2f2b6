/** Everything a vector depends on beside its text. Only vectors with equal fingerprints are comparable. Pure. */
import { createHash } from "node:crypto";
import type { DocumentsConfig } from "../../documents-config.ts";
import { CHUNKER_VERSION, type ChunkSize } from "./chunker.ts";

/** The config with defaults applied. */
export interface EmbeddingSettings {
  readonly revision: string | undefined;
  readonly dimensions: number | undefined;
  readonly queryPrefix: string;
  readonly documentPrefix: string;
  readonly normalize: boolean;
  readonly chunk: ChunkSize;
}

/** Applies the defaults. */
export function embeddingSettings({ embedding, chunk }: DocumentsConfig): EmbeddingSettings {
  return {
    revision: embedding?.revision,
    dimensions: embedding?.dimensions,
    queryPrefix: embedding?.queryPrefix ?? "",
    documentPrefix: embedding?.documentPrefix ?? "",
    normalize: embedding?.normalize ?? true,
    chunk: chunk ?? { characters: 1000, overlap: 120 },
  };
}

/** A model as the model server has it. */
export interface ModelIdentity {
  readonly name: string;
  /** Ollama's digest (a tag moves, a digest does not), or the configured revision. */
  readonly digest: string;
}

/**
 * The fingerprint of vectors. `shapedBy`: "relay" for documents that were PUT (the relay cuts and prefixes), "caller" for
 * inputs of embedding calls, which are embedded unchanged.
 */
export function fingerprintOf(
  { name, digest }: ModelIdentity,
  dimensions: number | undefined,
  shapedBy: "relay" | "caller",
  { queryPrefix, documentPrefix, normalize, chunk }: EmbeddingSettings,
): string {
  const shape =
    shapedBy === "relay"
      ? { queryPrefix, documentPrefix, chunker: [CHUNKER_VERSION, chunk.characters, chunk.overlap] }
      : "as the caller sent it";
  const all = { model: name, digest, dimensions: dimensions ?? "the model's own", normalize, shape };
  return createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 32);
}

/** Hash that identifies a text. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}
