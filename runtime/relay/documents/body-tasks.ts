/** Tasks whose time grows with a body's length. Pure; runs here for short bodies, in a thread for long ones (`body-worker.ts`). */
import { type ModelServerKind, modelServer } from "../../model-servers.ts";
import { type EmbeddingsBody, type PutBody, readEmbeddings, readPut, readSearch, type SearchBody } from "./bodies.ts";
import type { ChunkSize } from "./chunker.ts";
import { hashOf } from "./fingerprint.ts";
import { checkTextSize, type Pieces, piecesOf } from "./pieces.ts";
import { type Chunk, textBytes } from "./store.ts";

/** Body of `PUT /v1/documents`, cut into chunks. */
export interface PutWork extends Pieces {
  readonly version: PutBody["version"];
}

/** Body of `POST /v1/embeddings` that belongs to a document, each input with its hash. */
export interface EmbeddingsWork extends Omit<EmbeddingsBody, "inputs"> {
  readonly inputs: readonly Chunk[];
}

/** Vectors of a model server's answer, row after row; `tokens` as counted by the server. */
export interface VectorsWork {
  readonly vectors: Float32Array;
  readonly rows: number;
  readonly dimensions: number;
  readonly tokens: number | undefined;
}

/** An embedding request. */
export interface EmbedRequest {
  readonly model: string;
  readonly input: readonly string[];
  readonly dimensions?: number;
  /** Further parameters of this kind of model server; see `ModelServer.embeddings`. */
  readonly [option: string]: unknown;
}

/** What the model server is asked to rerank. */
export interface RerankRequest {
  readonly model?: string;
  readonly query: string;
  readonly documents: readonly string[];
}

const buffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** By name. Bodies have been checked to be JSON objects in UTF-8. Throw RelayError. */
export const TASKS = {
  put(body: Uint8Array, size: ChunkSize): PutWork {
    const { version, source } = readPut(buffer(body));
    return { version, ...piecesOf(source, size) };
  },
  search(body: Uint8Array): SearchBody {
    return readSearch(buffer(body));
  },
  embeddings(body: Uint8Array): EmbeddingsWork {
    const { inputs, ...rest } = readEmbeddings(buffer(body));
    checkTextSize(textBytes(inputs));
    return { ...rest, inputs: inputs.map((text) => ({ hash: hashOf(text), text })) };
  },
  /** Undefined if the answer contains no usable vectors. */
  vectors(answer: Uint8Array, kind: ModelServerKind): VectorsWork | undefined {
    const found = modelServer(kind).embeddings.read(parsed(answer));
    return found && laid(found.rows, found.tokens);
  },
  request(request: EmbedRequest | RerankRequest): Uint8Array {
    return Buffer.from(JSON.stringify(request));
  },
} as const;

export type Tasks = typeof TASKS;

function laid(rows: readonly (readonly number[])[], tokens: number | undefined): VectorsWork | undefined {
  const dimensions = rows[0]?.length ?? 0;
  if (rows.some(({ length }) => length !== dimensions)) return undefined;
  const vectors = new Float32Array(rows.length * dimensions);
  for (const [i, row] of rows.entries()) vectors.set(row, i * dimensions);
  return { vectors, rows: rows.length, dimensions, tokens };
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(buffer(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}
