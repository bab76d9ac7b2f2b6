/** `PUT /v1/documents`: stores a document, embedding only what is new. */
import { assemble, checkSize, newMeta, sizeOf } from "./assemble.ts";
import { exclusively, type IngestionParts, sharingOf, storedDocument, storeFull } from "./ingestion-parts.ts";
import type { PutRequest, PutResult } from "./ingestion-types.ts";
import { type Pieces, piecesOf } from "./pieces.ts";
import type { Put } from "./repository.ts";
import { type DocumentContent, documentBytes } from "./store.ts";

/** See `Documents.put`. */
export async function ingestDocument(request: PutRequest, parts: IngestionParts): Promise<PutResult> {
  const { source } = request;
  const cut = "pieces" in source ? source : piecesOf(source, parts.settings.chunk);
  const unchanged = () => unchangedDocument(request, cut, parts);
  return (
    (await unchanged()) ??
    exclusively(
      request,
      parts,
      // Another request may have stored it while this one waited.
      async ({ signal, writing }) =>
        (await unchanged()) ?? writing((put) => embedAndStore(request, cut, signal, put, parts)),
    )
  );
}

/** The stored document if it has this text already. Reads no contents: most PUTs change nothing. */
async function unchangedDocument(
  { key, version }: PutRequest,
  { textHash }: Pieces,
  { repository, embedder, fingerprints, metrics, embeddingModel }: IngestionParts,
): Promise<PutResult | undefined> {
  const found = await repository.find(key);
  if (typeof found === "string" || found.textHash !== textHash) return undefined;
  if (found.fingerprint !== fingerprints(await embedder.identity(embeddingModel)).relay) return undefined;
  metrics.lookedUp("hit");
  const named = version === undefined ? found : await repository.setVersion(found, version);
  return { meta: await repository.use(named), created: false, embedded: 0, reused: found.chunkCount, stored: true };
}

async function embedAndStore(
  { key, version, caller, client, reserve, onProgress = () => {} }: PutRequest,
  { pieces, textHash }: Pieces,
  signal: AbortSignal,
  put: Put,
  parts: IngestionParts,
): Promise<PutResult> {
  const { repository, embedder, metrics, settings, embeddingModel, fingerprints, callers, now } = parts;
  const before = await repository.find(key);
  metrics.lookedUp(typeof before === "string" ? before : "model");
  // By the texts alone, since the vectors' size is unknown yet: avoids most embeddings that could not be stored.
  if (!(await repository.hasRoom(documentBytes(pieces, 0), sharingOf(caller, callers)))) throw storeFull();
  const identity = await embedder.identity(embeddingModel, true);
  const { vectors, dimensions, ...made } = await assemble(
    {
      company: key.company,
      model: embeddingModel,
      dimensions: settings.dimensions,
      normalize: settings.normalize,
      pieces,
      prefix: settings.documentPrefix,
      have: await storedDocument(key, [fingerprints(identity).relay], repository, reserve),
      identity,
      caller,
      client,
      signal,
      onProgress,
    },
    embedder,
  );
  checkSize(sizeOf(pieces), dimensions);
  signal.throwIfAborted();
  const fingerprint = fingerprints(made.identity).relay;
  const model = made.identity.name;
  const of = { ...key, version: version ?? null, fingerprint, model, dimensions, textHash };
  const meta = newMeta(of, pieces, now());
  const content: DocumentContent = { chunks: pieces, vectors };
  const stored = await put(meta, content);
  if (stored === "full") throw storeFull();
  metrics.embedded(made.embedded, made.reused, made.tokens);
  return { meta, content, created: typeof before === "string", ...made, stored };
}
