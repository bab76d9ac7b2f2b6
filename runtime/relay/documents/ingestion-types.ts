/** Requests for ingestion and their results. */
import type { Caller } from "../../config.ts";
import type { DocumentKey } from "../access/names.ts";
import type { Reserve } from "../memory/budget.ts";
import type { Client } from "./embedding-work.ts";
import type { Pieces, Source } from "./pieces.ts";
import type { Chunk, DocumentContent, DocumentMeta } from "./store.ts";

/** A document to store. */
export interface PutRequest {
  readonly key: DocumentKey;
  readonly version: string | undefined;
  /** A text to cut, or chunks. */
  readonly source: Source | Pieces;
  readonly caller: Caller;
  /** Absent: the result is always awaited. */
  readonly client?: Client | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Called before a stored document is loaded; may throw. */
  readonly reserve?: Reserve;
  /** Ends the work. @default it ends only when the caller is disabled or the relay stops */
  readonly signal?: AbortSignal | undefined;
}

/** Inputs of an embedding call that belong to a document. */
export interface InputsRequest {
  readonly key: DocumentKey;
  readonly model: string;
  /** Each with its hash. */
  readonly inputs: readonly Chunk[];
  readonly dimensions: number | undefined;
  readonly caller: Caller;
  /** Absent: the result is always awaited. */
  readonly client?: Client | undefined;
  /** Called before a stored document is loaded; may throw. */
  readonly reserve?: Reserve;
  /** Ends the work. @default it ends only when the caller is disabled or the relay stops */
  readonly signal?: AbortSignal | undefined;
}

/** Result of a PUT. */
export interface PutResult {
  readonly meta: DocumentMeta;
  /** Only if this request made it. */
  readonly content?: DocumentContent;
  readonly created: boolean;
  /** Chunks that the model embedded, and those whose vectors were already stored. */
  readonly embedded: number;
  readonly reused: number;
  /** False if the store was unavailable or the document was removed meanwhile: the vectors are valid, but not stored. */
  readonly stored: boolean;
}

/** Vectors for inputs, row after row. */
export interface InputsResult extends Pick<PutResult, "embedded" | "reused" | "stored"> {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly tokens: number;
}
