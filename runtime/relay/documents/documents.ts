/** The document cache: finds a document's vectors without its text, and has them made once. */
import { join } from "node:path";
import type { Registry } from "prom-client";
import type { RelayConfig, RelaySecrets } from "../../config.ts";
import type { DocumentKey } from "../access/names.ts";
import type { Admission } from "../admission/admission.ts";
import { RelayError } from "../errors.ts";
import type { Breaker } from "../model/breaker.ts";
import type { Log } from "../telemetry/log.ts";
import { BodyWorker } from "./body-worker.ts";
import { DocumentLock } from "./document-lock.ts";
import { createEmbedder } from "./embedder.ts";
import { embeddingSettings, fingerprintOf, type ModelIdentity } from "./fingerprint.ts";
import { createIngestion, type Ingestion } from "./ingestion.ts";
import { LastAccessWriter } from "./last-access.ts";
import { documentMetrics } from "./metrics.ts";
import { createReader, type Reader } from "./reader.ts";
import { DocumentRepository, type Miss } from "./repository.ts";
import { createSearch, type Search } from "./search.ts";
import { openSqliteStore } from "./sqlite-store.ts";
import { DOCUMENTS_MIB, type DocumentMeta, type DocumentStore } from "./store.ts";
import { StoreGuard, type StoreState } from "./store-guard.ts";
import { createTokenBudget } from "./token-budget.ts";

const DAY_MS = 86_400_000;
const SWEEP_MS = 3_600_000;
const MIB = 1024 * 1024;

export interface Documents {
  readonly repository: DocumentRepository;
  /** Reads bodies. */
  readonly reader: Reader;
  /** The document, if it is there, of that version (when one is asked for) and of the model as it is now. Counts as a use. */
  lookUp(key: DocumentKey, version: string | undefined): Promise<DocumentMeta | Miss>;
  /**
   * Sees to it that the document is stored. The same text as before costs nothing. Any number of requests for one document
   * make one set of embedding calls; another text then takes its place, whole. Goes on when the caller has left, since the
   * next call then finds it. @throws RelayError `document_*`, `embedding_refused`, `company_budget_spent`, `model_*`
   */
  put: Ingestion["put"];
  /** Vectors for all inputs; only those not stored under the document are embedded, and stored. Throws as `put` does. */
  embedInputs: Ingestion["embedInputs"];
  search: Search;
  /** How the store is. */
  state(): { readonly store: "atlas" | "embedded" } & StoreState;
  /** Stops what is being embedded, writes what is noted, closes the store. */
  close(): Promise<void>;
}

export interface DocumentsOptions {
  readonly log: Log;
  readonly admission: Admission;
  /** The one of all calls to the model server. */
  readonly breaker: Breaker;
  readonly registry: Registry;
  /** Told of the tokens of each embedding call, by the caller's name. */
  readonly onUsage?: (caller: string, tokens: number) => void;
  /** Bytes for contents that are kept for the next search. @default 128 MiB */
  readonly cacheBytes?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Opens the store in the background: the relay does not wait for it, and never fails because of it. */
export function createDocuments(
  config: Pick<RelayConfig, "callers" | "documents" | "jobs" | "model" | "dataDir">,
  secrets: RelaySecrets,
  { log, admission, breaker, registry, onUsage, cacheBytes, now = Date.now }: DocumentsOptions,
): Documents {
  const settings = embeddingSettings(config.documents);
  const ttlMs = config.documents.ttlDays * DAY_MS;
  const guard = new StoreGuard(() => openStore(config, secrets), log);
  const lastAccess = new LastAccessWriter(guard, ttlMs);
  const repository = new DocumentRepository(guard, lastAccess, ttlMs, now, cacheBytes);
  const metrics = documentMetrics(registry, guard);
  const heavy = new BodyWorker();
  const embedder = createEmbedder(config.model, settings.revision, admission, breaker, heavy, onUsage);
  const budget = createTokenBudget(config.documents.tokensPerCompanyPerDay, guard, now);
  const single = new DocumentLock(guard, now);
  const stop = new AbortController();
  const { embeddingModel } = config.model;

  const sweep = () => void guard.use((store) => store.sweep(now() - ttlMs)).catch(() => {});
  const sweeping = setInterval(sweep, SWEEP_MS).unref();
  const opened = guard.try().then(sweep);

  const fingerprints = (identity: ModelIdentity, dimensions = settings.dimensions) => ({
    relay: fingerprintOf(identity, dimensions, "relay", settings),
    caller: fingerprintOf(identity, dimensions, "caller", settings),
  });
  const isOfNow = async ({ fingerprint }: DocumentMeta): Promise<boolean> => {
    const { relay, caller } = fingerprints(await embedder.identity(embeddingModel));
    return fingerprint === relay || fingerprint === caller;
  };
  const maker = createIngestion({
    repository,
    single,
    embedder,
    budget,
    metrics,
    settings,
    embeddingModel,
    fingerprints,
    callers: () => config.callers.flatMap(({ enabled, name }) => (enabled ? [name] : [])),
    now,
    stop: stop.signal,
  });

  return {
    repository,
    reader: createReader(heavy, settings.chunk),
    put: maker.put,
    embedInputs: maker.embedInputs,
    search: createSearch({ repository, embedder, budget, metrics, settings, embeddingModel, fingerprints }),
    async lookUp(key, version) {
      const found = await repository.find(key);
      const result =
        typeof found === "string"
          ? found
          : version !== undefined && found.version !== version
            ? "version"
            : (await isOfNow(found))
              ? found
              : "model";
      metrics.lookedUp(typeof result === "string" ? result : "hit");
      return typeof result === "string" ? result : repository.use(result);
    },
    state: () => ({ store: config.documents.store, ...guard.state }),
    async close() {
      stop.abort(new RelayError("shutting_down", "The relay is shutting down."));
      clearInterval(sweeping);
      await opened;
      await lastAccess.flush().catch(() => {});
      await Promise.all([embedder.close(), guard.close(), heavy.close()]);
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
  // Loaded only where it is used: MongoDB's driver is a third of the program.
  const { openAtlasStore } = await import("./atlas-store.ts");
  const { database = "slm", collection = "documents" } = documents;
  return openAtlasStore({ uri: mongodbUri, database, collection });
}
