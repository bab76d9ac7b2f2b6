/** Has vectors made, once: for a document that is PUT, and for inputs of embedding calls. */
import type { Caller } from "../../config.ts";
import type { DocumentKey } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { Reserve } from "../memory/budget.ts";
import { assemble, checkSize, mergeContents, newMeta, sizeOf, type Whole } from "./assemble.ts";
import type { DocumentLock } from "./document-lock.ts";
import type { Client, Embedder } from "./embedder.ts";
import type { EmbeddingSettings, ModelIdentity } from "./fingerprint.ts";
import type { DocumentMetrics } from "./metrics.ts";
import { type Pieces, piecesOf, type Source } from "./pieces.ts";
import type { DocumentRepository, Put } from "./repository.ts";
import { type Chunk, type DocumentContent, type DocumentMeta, documentBytes, type Sharing } from "./store.ts";
import type { TokenBudget } from "./token-budget.ts";

/** A document to be stored. */
export interface PutRequest {
  readonly key: DocumentKey;
  readonly version: string | undefined;
  /** To be cut, or cut already. */
  readonly source: Source | Pieces;
  readonly caller: Caller;
  /** Absent: somebody waits for it to the end. */
  readonly client?: Client | undefined;
  readonly onProgress?: (done: number, total: number) => void;
  /** Asked before a stored document is loaded. */
  readonly reserve?: Reserve;
}

/** Inputs of an embedding call that belong to a document. */
export interface InputsRequest {
  readonly key: DocumentKey;
  readonly model: string;
  /** Each with its hash. */
  readonly inputs: readonly Chunk[];
  readonly dimensions: number | undefined;
  readonly caller: Caller;
  /** Absent: somebody waits for it to the end. */
  readonly client?: Client | undefined;
  /** Asked before a stored document is loaded. */
  readonly reserve?: Reserve;
}

/** How a document came to be as it now is. */
export interface PutResult {
  readonly meta: DocumentMeta;
  /** Only when it was just made. */
  readonly content?: DocumentContent;
  readonly created: boolean;
  /** Chunks that the model embedded, and those whose vectors were there. */
  readonly embedded: number;
  readonly reused: number;
  /** False while the store is away, or when it was removed meanwhile: the vectors are right, but nobody will find them. */
  readonly stored: boolean;
}

/** Vectors for inputs, row after row. */
export interface InputsResult extends Pick<PutResult, "embedded" | "reused" | "stored"> {
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly tokens: number;
}

/** See `Documents`, which offers both. */
export interface Ingestion {
  put(request: PutRequest): Promise<PutResult>;
  embedInputs(request: InputsRequest): Promise<InputsResult>;
}

/** Runs the work that makes the document, giving it the means to store it. */
type Making = <T>(make: (put: Put) => Promise<T>) => Promise<T>;

export interface IngestionParts {
  readonly repository: DocumentRepository;
  readonly single: DocumentLock;
  readonly embedder: Embedder;
  readonly budget: TokenBudget;
  readonly metrics: DocumentMetrics;
  readonly settings: EmbeddingSettings;
  readonly embeddingModel: string;
  readonly fingerprints: (identity: ModelIdentity, dimensions?: number) => { relay: string; caller: string };
  /** The configured callers' names: each has a part of the store. */
  readonly callers: () => readonly string[];
  readonly now: () => number;
  /** Fires when the relay stops. */
  readonly stop: AbortSignal;
}

export function createIngestion(parts: IngestionParts): Ingestion {
  const { repository, single, embedder, budget, metrics, settings, embeddingModel, fingerprints, callers, now, stop } =
    parts;
  const whole = async (
    key: DocumentKey,
    fitting: readonly string[],
    reserve: Reserve | undefined,
  ): Promise<Whole | undefined> => {
    const meta = await repository.find(key);
    if (typeof meta === "string" || !fitting.includes(meta.fingerprint)) return undefined;
    reserve?.(2 * meta.bytes); // as it is, and as it becomes
    const content = await repository.content(meta);
    return content === undefined ? undefined : { meta, content };
  };
  const sharingOf = ({ name }: Caller): Sharing => ({ caller: name, callers: callers() });
  /** Runs alone on the document; once more from the start when the lease was lost on the way. */
  const alone = async <T>(
    key: DocumentKey,
    caller: Caller,
    work: (held: AbortSignal, making: Making) => Promise<T>,
  ): Promise<T> => {
    const present = repository.enter(key);
    const making: Making = (make) => repository.making(key, present, sharingOf(caller), make);
    try {
      for (let again = 0; ; again++) {
        let held: AbortSignal | undefined;
        try {
          return await single.run(key, stop, (signal) => {
            held = signal;
            return work(signal, making);
          });
        } catch (cause) {
          stop.throwIfAborted();
          if (held?.aborted !== true) throw cause;
          if (again === 2) throw held.reason;
        }
      }
    } finally {
      present.leave();
    }
  };

  const put = async ({
    key,
    version,
    source,
    caller,
    client,
    reserve,
    onProgress = () => {},
  }: PutRequest): Promise<PutResult> => {
    const { pieces, textHash } = "pieces" in source ? source : piecesOf(source, settings.chunk);
    // Reads no contents: most PUTs bring what is there.
    const unchanged = async (): Promise<PutResult | undefined> => {
      const found = await repository.find(key);
      if (typeof found === "string" || found.textHash !== textHash) return undefined;
      if (found.fingerprint !== fingerprints(await embedder.identity(embeddingModel)).relay) return undefined;
      metrics.lookedUp("hit");
      const named = version === undefined ? found : await repository.setVersion(found, version);
      return { meta: await repository.use(named), created: false, embedded: 0, reused: found.chunkCount, stored: true };
    };
    const make = async (held: AbortSignal, store: Put): Promise<PutResult> => {
      const before = await repository.find(key);
      metrics.lookedUp(typeof before === "string" ? before : "model");
      // Of the texts alone, since the vectors' size is not known yet: spares most embeddings that would be for nothing.
      if (!(await repository.hasRoom(documentBytes(pieces, 0), sharingOf(caller)))) throw full();
      const identity = await embedder.identity(embeddingModel, true);
      const { vectors, dimensions, ...made } = await assemble(
        {
          company: key.company,
          model: embeddingModel,
          dimensions: settings.dimensions,
          normalize: settings.normalize,
          pieces,
          prefix: settings.documentPrefix,
          have: await whole(key, [fingerprints(identity).relay], reserve),
          identity,
          caller,
          client,
          signal: held,
          onProgress,
        },
        embedder,
        budget,
      );
      checkSize(sizeOf(pieces), dimensions);
      held.throwIfAborted();
      const fingerprint = fingerprints(made.identity).relay;
      const model = made.identity.name;
      const of = { ...key, version: version ?? null, fingerprint, model, dimensions, textHash };
      const meta = newMeta(of, pieces, now());
      const content: DocumentContent = { chunks: pieces, vectors };
      const stored = await store(meta, content);
      if (stored === "full") throw full();
      metrics.embedded(made.embedded, made.reused, made.tokens);
      return { meta, content, created: typeof before === "string", ...made, stored };
    };
    const at = await unchanged();
    if (at !== undefined) return at;
    return alone(key, caller, async (held, making) => (await unchanged()) ?? making((store) => make(held, store)));
  };

  const embedInputs = async ({
    key,
    model,
    inputs: pieces,
    dimensions,
    caller,
    client,
    reserve,
  }: InputsRequest): Promise<InputsResult> => {
    const attempt = async (held?: AbortSignal, store?: Put): Promise<InputsResult | undefined> => {
      const identity = await embedder.identity(model, held !== undefined);
      const prints = fingerprints(identity, dimensions);
      // What the relay cut and embedded without a prefix is what it would embed now.
      const fitting = settings.documentPrefix === "" ? [prints.caller, prints.relay] : [prints.caller];
      const have = await whole(key, fitting, reserve);
      const there = new Set(have?.content.chunks.map(({ hash }) => hash));
      const complete = have !== undefined && pieces.every(({ hash }) => there.has(hash));
      if (!complete && store === undefined) return undefined;
      const made = await assemble(
        {
          company: key.company,
          model,
          dimensions,
          normalize: settings.normalize,
          pieces,
          prefix: "",
          have,
          identity,
          caller,
          client,
          signal: held ?? stop,
          onProgress: () => {},
        },
        embedder,
        budget,
      );
      metrics.lookedUp(complete ? "hit" : "absent");
      metrics.embedded(made.embedded, made.reused, made.tokens);
      if (complete) await repository.use(have.meta);
      if (complete || store === undefined) return { ...made, stored: true };
      held?.throwIfAborted();
      const stored = await store(...inputsRecord(key, pieces, made, have, dimensions));
      return { ...made, stored: stored === true };
    };
    return (
      (await attempt()) ?? alone(key, caller, (held, making) => making(async (store) => (await attempt(held, store))!))
    );
  };

  const inputsRecord = (
    key: DocumentKey,
    pieces: readonly Chunk[],
    made: { vectors: Float32Array; dimensions: number; identity: ModelIdentity },
    have: Whole | undefined,
    dimensions: number | undefined,
  ): Parameters<Put> => {
    const prints = fingerprints(made.identity, dimensions);
    const kept = have !== undefined && [prints.caller, prints.relay].includes(have.meta.fingerprint) ? have : undefined;
    const content = mergeContents(kept, pieces, made.vectors, made.dimensions);
    // Its text is no longer all there is, so it is no longer the caller's version of it.
    const allThere = kept !== undefined && content.chunks.length >= kept.meta.chunkCount;
    const meta = newMeta(
      {
        ...key,
        version: null,
        fingerprint: kept?.meta.fingerprint ?? prints.caller,
        model: made.identity.name,
        dimensions: made.dimensions,
        textHash: allThere ? kept.meta.textHash : null,
      },
      content.chunks,
      now(),
    );
    return [meta, content];
  };

  return { put, embedInputs };
}

function full(): RelayError {
  return new RelayError(
    "documents_full",
    "The document store on the Mac has no room for this document (documents.maxDiskMiB, of which each caller has a part). Remove documents that are not needed, or wait until some have expired.",
  );
}
