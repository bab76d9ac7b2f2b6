/** `POST /v1/embeddings` with a document: embeds the inputs that are not stored under it, and stores them. */
import { type Assembled, assemble, mergeContents, newMeta, type StoredDocument } from "./assemble.ts";
import type { ModelIdentity } from "./fingerprint.ts";
import { endOf, exclusively, type IngestionParts, storedDocument } from "./ingestion-parts.ts";
import type { InputsRequest, InputsResult } from "./ingestion-types.ts";
import type { Put } from "./repository.ts";

/** See `Documents.embedInputs`. */
export async function ingestInputs(request: InputsRequest, parts: IngestionParts): Promise<InputsResult> {
  const { embedder, repository, metrics } = parts;
  const { model } = request;
  const fromStore = async (): Promise<InputsResult | undefined> => {
    const identity = await embedder.identity(model);
    const have = await reusable(request, identity, parts);
    if (have === undefined || !holdsAll(have, request)) return undefined;
    const made = await embedMissing(request, have, identity, endOf(request, parts), parts);
    metrics.lookedUp("hit");
    await repository.use(have.meta);
    return { ...made, stored: true };
  };
  const embedAndStore = async (signal: AbortSignal, put: Put): Promise<InputsResult> => {
    const identity = await embedder.identity(model, true);
    const have = await reusable(request, identity, parts);
    const made = await embedMissing(request, have, identity, signal, parts);
    const complete = have !== undefined && holdsAll(have, request);
    metrics.lookedUp(complete ? "hit" : "absent");
    if (complete) {
      await repository.use(have.meta);
      return { ...made, stored: true };
    }
    signal.throwIfAborted();
    const stored = await put(...mergedRecord(request, made, have, parts));
    return { ...made, stored: stored === true };
  };
  return (
    (await fromStore()) ??
    exclusively(request, parts, ({ signal, writing }) => writing((put) => embedAndStore(signal, put)))
  );
}

/** The stored document if its vectors are valid for these inputs. */
function reusable(
  { key, dimensions, reserve }: InputsRequest,
  identity: ModelIdentity,
  { fingerprints, settings, repository }: IngestionParts,
): Promise<StoredDocument | undefined> {
  const { caller, relay } = fingerprints(identity, dimensions);
  // Without a prefix, the relay's own chunks are embedded as a caller's inputs would be.
  const fitting = settings.documentPrefix === "" ? [caller, relay] : [caller];
  return storedDocument(key, fitting, repository, reserve);
}

function holdsAll({ content }: StoredDocument, { inputs }: InputsRequest): boolean {
  const hashes = new Set(content.chunks.map(({ hash }) => hash));
  return inputs.every(({ hash }) => hashes.has(hash));
}

async function embedMissing(
  { key, model, inputs, dimensions, caller, client }: InputsRequest,
  have: StoredDocument | undefined,
  identity: ModelIdentity,
  signal: AbortSignal,
  { embedder, metrics, settings }: IngestionParts,
): Promise<Assembled> {
  const made = await assemble(
    {
      company: key.company,
      model,
      dimensions,
      normalize: settings.normalize,
      pieces: inputs,
      prefix: "",
      have,
      identity,
      caller,
      client,
      signal,
      onProgress: () => {},
    },
    embedder,
  );
  metrics.embedded(made.embedded, made.reused, made.tokens);
  return made;
}

/** The document with these inputs added. */
function mergedRecord(
  { key, inputs, dimensions }: InputsRequest,
  made: Assembled,
  have: StoredDocument | undefined,
  { fingerprints, now }: IngestionParts,
): Parameters<Put> {
  const prints = fingerprints(made.identity, dimensions);
  const kept = have !== undefined && [prints.caller, prints.relay].includes(have.meta.fingerprint) ? have : undefined;
  const content = mergeContents(kept, inputs, made.vectors, made.dimensions);
  // With texts beyond its own, it is no longer the version that the caller named.
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
}
