/** The document cache: finds a document's vectors without its text, and embeds each document once. */
import { join } from "node:path";
import type { Registry } from "prom-client";
import type { RelayConfig, RelaySecrets } from "../../config.ts";
import type { DocumentKey } from "../access/names.ts";
import type { Admission } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { Breaker } from "../model/breaker.ts";
import type { Log } from "../telemetry/log.ts";
import { BodyWorker } from "./body-worker.ts";
import { createCallerSignals } from "./caller-signals.ts";
import { DocumentLock } from "./document-lock.ts";
import { createEmbedder } from "./embedder.ts";
import type { EmbeddingServer } from "./embedding-server.ts";
import { embeddingSettings, fingerprintOf, type ModelIdentity } from "./fingerprint.ts";
import { createIngestion, type Ingestion } from "./ingestion.ts";
import { LastAccessWriter } from "./last-access.ts";
import { DocumentLifetime } from "./lifetime.ts";
import { documentMetrics } from "./metrics.ts";
import { openModelIdentities } from "./model-identities.ts";
import { createReader, type Reader } from "./reader.ts";
import { DocumentRepository, type Miss } from "./repository.ts";
import { createSearch, type Search } from "./search.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import { DOCUMENTS_MIB, type DocumentCount, type DocumentMeta, type DocumentStore } from "./store.ts";
import { StoreGuard, type StoreState } from "./store-guard.ts";

const SWEEP_MS = 3_600_000;
/** Pause between two steps of a sweep, for other requests. */
const SWEEP_PAUSE_MS = 100;
const MIB = 1024 * 1024;

export interface Documents {
  readonly repository: DocumentRepository;
  /** Reads request bodies. */
  readonly reader: Reader;
  /** The document, if it is stored in that version (if given) and made by the current model. Counts as a use. */
  lookUp(key: DocumentKey, version: string | undefined): Promise<DocumentMeta | Miss>;
  /**
   * Ensures the document is stored. An unchanged text costs nothing. Concurrent requests for one document share one set of
   * embedding calls; a different text then replaces the whole document. Continues when the client has disconnected, since the
   * next call then finds it; ends when the caller is disabled. @throws RelayError `document_*`, `embedding_refused`,
   * `company_budget_spent`, `quota_*`, `caller_disabled`, `model_*`
   */
  put: Ingestion["put"];
  /** Vectors for all inputs; those not yet stored under the document are embedded and stored. Throws as `put` does. */
  embedInputs: Ingestion["embedInputs"];
  search: Search;
  /** State of the store. */
  state(): { readonly store: "atlas" | "embedded" } & StoreState;
  /** How many documents are stored. Rejects while the store is unavailable. */
  count(): Promise<DocumentCount>;
  /** The callers of the config have changed: ends the work of removed and disabled ones. */
  callersChanged(): void;
  /** Ends running embeddings, writes pending last-access times, closes the store. */
  close(): Promise<void>;
}

/** See them work. */
export interface DocumentObservers {
  documentStore(store: DocumentStore, kind: "embedded" | "atlas"): DocumentStore;
  embeddingServer(server: EmbeddingServer): EmbeddingServer;
}

export interface DocumentsOptions {
  readonly log: Log;
  readonly admission: Admission;
  /** The breaker of all calls to the model server. */
  readonly breaker: Breaker;
  readonly registry: Registry;
  /** Wraps the store and the model server's embedding API. @default not at all */
  readonly observe?: DocumentObservers | undefined;
  /** Called with the tokens of each embedding call, and the caller's name. */
  readonly onUsage?: (caller: string, tokens: number) => void;
  /** Size of the content cache, in bytes. @default 128 MiB */
  readonly cacheBytes?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Opens the store in the background: the relay does not wait for it, and never fails because of it. */
export function createDocuments(
  config: Pick<RelayConfig, "callers" | "documents" | "jobs" | "model" | "dataDir">,
  secrets: RelaySecrets,
  { log, admission, breaker, registry, observe, onUsage, cacheBytes, now = Date.now }: DocumentsOptions,
): Documents {
  const settings = embeddingSettings(config.documents);
  const lifetime = new DocumentLifetime(config.documents.ttlDays);
  const guard = new StoreGuard(async () => {
    const store = await openStore(config, secrets);
    return observe?.documentStore(store, config.documents.store) ?? store;
  }, log);
  const lastAccess = new LastAccessWriter(guard, lifetime);
  const repository = new DocumentRepository(guard, lastAccess, lifetime, now, cacheBytes);
  const metrics = documentMetrics(registry, guard);
  const bodyWorker = new BodyWorker();
  const embedder = createEmbedder(
    { ...config.model, key: secrets.modelKey },
    {
      revision: settings.revision,
      admission,
      breaker,
      bodyWorker,
      observe: observe?.embeddingServer,
      identities: openModelIdentities(join(config.dataDir, "model-identities.json"), log),
      onUsage,
    },
  );
  const lock = new DocumentLock(guard);
  const stop = new AbortController();
  const names = () => config.callers.flatMap(({ enabled, name }) => (enabled ? [name] : []));
  const signals = createCallerSignals(stop.signal, names);
  const { embeddingModel } = config.model;

  const sweepSteps = async () => {
    const livingSince = lifetime.livingSince(now());
    while (!stop.signal.aborted && (await guard.use((store) => store.sweep(livingSince)))) {
      await new Promise((resolve) => setTimeout(resolve, SWEEP_PAUSE_MS).unref());
    }
  };
  const sweep = () => void sweepSteps().catch(() => {});
  const sweeping = setInterval(sweep, SWEEP_MS).unref();
  const opened = guard.try().then(sweep);

  const fingerprints = (identity: ModelIdentity, dimensions = settings.dimensions) => ({
    relay: fingerprintOf(identity, dimensions, "relay", settings),
    caller: fingerprintOf(identity, dimensions, "caller", settings),
  });
  const isCurrent = async ({ fingerprint }: DocumentMeta): Promise<boolean> => {
    const { relay, caller } = fingerprints(await embedder.identity(embeddingModel));
    return fingerprint === relay || fingerprint === caller;
  };
  const missOf = async (found: DocumentMeta, version: string | undefined): Promise<Miss | undefined> => {
    if (version !== undefined && found.version !== version) return "version";
    return (await isCurrent(found)) ? undefined : "model";
  };
  const ingestion = createIngestion({
    repository,
    lock,
    embedder,
    metrics,
    settings,
    embeddingModel,
    fingerprints,
    callers: names,
    now,
    signalOf: signals.of,
  });

  return {
    repository,
    reader: createReader(bodyWorker, settings.chunk),
    put: ingestion.put,
    embedInputs: ingestion.embedInputs,
    search: createSearch({ repository, embedder, metrics, settings, embeddingModel, fingerprints }),
    async lookUp(key, version) {
      const found = await repository.find(key);
      const miss = typeof found === "string" ? found : await missOf(found, version);
      metrics.lookedUp(miss ?? "hit");
      return typeof found === "string" ? found : (miss ?? repository.use(found));
    },
    state: () => ({ store: config.documents.store, ...guard.state }),
    count: () => guard.use((store) => store.count(lifetime.livingSince(now()))),
    callersChanged: signals.callersChanged,
    async close() {
      stop.abort(new RelayError("shutting_down", "The relay is shutting down."));
      clearInterval(sweeping);
      await opened;
      await lastAccess.flush().catch(() => {});
      await Promise.all([embedder.close(), guard.close(), bodyWorker.close()]);
    },
  };
}

async function openStore(
  { documents, jobs, dataDir }: Pick<RelayConfig, "documents" | "jobs" | "dataDir">,
  { mongodbUri }: RelaySecrets,
): Promise<DocumentStore> {
  if (documents.store === "embedded") {
    const maxBytes = (documents.maxDiskMiB ?? DOCUMENTS_MIB) * MIB;
    return openSqliteStore(join(dataDir, "documents.sqlite"), { maxBytes, minFreeBytes: jobs.minFreeMiB * MIB });
  }
  if (mongodbUri === undefined) {
    throw new Error("secrets.json has no mongodbUri; run `pulumi up` again");
  }
  // Loaded only if used: the MongoDB driver is a third of the program.
  const { openAtlasStore } = await import("./atlas-store.ts");
  const { database = "slm", collection = "documents" } = documents;
  return openAtlasStore({ uri: mongodbUri, database, collection });
}
