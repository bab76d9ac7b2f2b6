/** Makes the vectors of a document's chunks, reusing stored ones where that is allowed. */
import { randomUUID } from "node:crypto";
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";
import type { Embedder } from "./embedder.ts";
import { type Client, estimateTextTokens } from "./embedding-work.ts";
import type { ModelIdentity } from "./fingerprint.ts";
import {
  type Chunk,
  type DocumentContent,
  type DocumentMeta,
  documentBytes,
  MAX_DOCUMENT_BYTES,
  textBytes,
} from "./store.ts";
import { rowOf } from "./vectors.ts";

/** A stored document with its contents. */
export interface StoredDocument {
  readonly meta: DocumentMeta;
  readonly content: DocumentContent;
}

/** Texts to make vectors for, and how. */
export interface Wanted {
  readonly company: string;
  readonly model: string;
  readonly dimensions: number | undefined;
  readonly normalize: boolean;
  /** Texts may repeat. */
  readonly pieces: readonly Chunk[];
  /** Put before each text for the model only. */
  readonly prefix: string;
  /** Stored document whose vectors are reused for equal texts; made by the model of `identity`. */
  readonly have: StoredDocument | undefined;
  readonly identity: ModelIdentity;
  readonly caller: Caller;
  /** Absent: the result is always awaited. */
  readonly client?: Client | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

/** A vector for every piece, in order. */
export interface Assembled {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly identity: ModelIdentity;
  /** Distinct texts that the model embedded, and those whose vectors were already stored. */
  readonly embedded: number;
  readonly reused: number;
  readonly tokens: number;
}

/** @throws RelayError `document_too_large` as soon as that is known, that of a quota, and as the embedder does */
export async function assemble(wanted: Wanted, embedder: Embedder): Promise<Assembled> {
  const { have } = wanted;
  const unique = uniqueChunks(wanted.pieces);
  // Computed once: it is checked after every call, and there may be thousands.
  const size = sizeOf(unique);
  const there = new Map<string, Float32Array>();
  if (have !== undefined) {
    checkSize(size, have.meta.dimensions);
    const wantedHashes = new Set(unique.map(({ hash }) => hash));
    for (const [row, { hash }] of have.content.chunks.entries()) {
      if (wantedHashes.has(hash)) there.set(hash, rowOf(have.content.vectors, have.meta.dimensions, row));
    }
  }
  const missing = unique.filter(({ hash }) => !there.has(hash));
  if (missing.length === 0 && have !== undefined) {
    const { dimensions } = have.meta;
    const vectors = lay(wanted.pieces, there, dimensions);
    return { vectors, dimensions, identity: wanted.identity, embedded: 0, reused: unique.length, tokens: 0 };
  }
  const inputs = missing.map(({ text }) => wanted.prefix + text);
  wanted.client?.usage?.reserve(estimateTextTokens(inputs));
  const { vectors, dimensions, identity, tokens } = await embedder.embed({
    model: wanted.model,
    inputs,
    dimensions: wanted.dimensions,
    normalize: wanted.normalize,
    caller: wanted.caller,
    company: wanted.company,
    client: wanted.client,
    signal: wanted.signal,
    onProgress: (done, total, dimensions) => {
      checkSize(size, dimensions);
      wanted.onProgress(done, total);
    },
  });
  if (have !== undefined && (identity.digest !== wanted.identity.digest || dimensions !== have.meta.dimensions)) {
    // The model has changed meanwhile: vectors of two models must not be mixed.
    return assemble({ ...wanted, have: undefined, identity }, embedder);
  }
  for (const [row, { hash }] of missing.entries()) there.set(hash, rowOf(vectors, dimensions, row));
  return {
    vectors: lay(wanted.pieces, there, dimensions),
    dimensions,
    identity,
    embedded: missing.length,
    reused: unique.length - missing.length,
    tokens,
  };
}

/** The distinct texts, in order. */
export function uniqueChunks(chunks: readonly Chunk[]): Chunk[] {
  return [...new Map(chunks.map((chunk) => [chunk.hash, chunk])).values()];
}

function lay(pieces: readonly Chunk[], vectors: ReadonlyMap<string, Float32Array>, dimensions: number): Float32Array {
  const all = new Float32Array(pieces.length * dimensions);
  for (const [row, { hash }] of pieces.entries()) all.set(vectors.get(hash) ?? [], row * dimensions);
  return all;
}

/** Size of a document's chunks without their vectors. */
export interface TextSize {
  readonly count: number;
  /** See `textBytes`. */
  readonly bytes: number;
}

/** @throws RelayError `document_too_large`, saying into how many parts to split */
export function checkSize({ count, bytes: ofTexts }: TextSize, dimensions: number): void {
  const bytes = ofTexts + count * dimensions * 4;
  if (bytes <= MAX_DOCUMENT_BYTES) return;
  const parts = Math.ceil(bytes / (MAX_DOCUMENT_BYTES * 0.9));
  throw new RelayError(
    "document_too_large",
    `The document's ${count} chunks of ${dimensions} dimensions take ${Math.ceil(bytes / 1e6)} MB; at most ${Math.floor(MAX_DOCUMENT_BYTES / 1e6)} MB can be stored as one. Split it into ${parts} titles, for example "… (1/${parts})", and search them together with "titles".`,
  );
}

/** See `TextSize`. */
export const sizeOf = (chunks: readonly Chunk[]): TextSize => ({
  count: chunks.length,
  bytes: textBytes(chunks.map(({ text }) => text)),
});

/** Metadata of a new revision of a document. */
export function newMeta(
  of: Pick<DocumentMeta, "company" | "title" | "version" | "fingerprint" | "model" | "dimensions" | "textHash">,
  chunks: readonly Chunk[],
  now: number,
): DocumentMeta {
  return {
    company: of.company,
    title: of.title,
    version: of.version,
    fingerprint: of.fingerprint,
    model: of.model,
    dimensions: of.dimensions,
    textHash: of.textHash,
    revision: randomUUID(),
    chunkCount: chunks.length,
    bytes: documentBytes(chunks, of.dimensions),
    createdAt: now,
    lastAccessedAt: now,
  };
}

/** Stored chunks and new ones, the new ones last. When that is too large, the oldest are dropped. */
export function mergeContents(
  have: StoredDocument | undefined,
  pieces: readonly Chunk[],
  vectors: Float32Array,
  dimensions: number,
): DocumentContent {
  const come = new Map(pieces.map((chunk, row) => [chunk.hash, { chunk, from: vectors, row }]));
  const newer = [...come.values()];
  checkSize(sizeOf(uniqueChunks(pieces)), dimensions);
  let room = MAX_DOCUMENT_BYTES - documentBytes(uniqueChunks(pieces), dimensions);
  const older = [...(have?.content.chunks.entries() ?? [])]
    .filter(([, { hash }]) => !come.has(hash))
    .reverse()
    .filter(([, chunk]) => {
      room -= documentBytes([chunk], dimensions);
      return room >= 0;
    })
    .reverse()
    .map(([row, chunk]) => ({ chunk, from: have!.content.vectors, row }));
  const all = [...older, ...newer];
  const rows = new Float32Array(all.length * dimensions);
  for (const [i, { from, row }] of all.entries()) {
    rows.set(from.subarray(row * dimensions, (row + 1) * dimensions), i * dimensions);
  }
  return { chunks: all.map(({ chunk }) => chunk), vectors: rows };
}
