/** Shared by both kinds of ingestion: dependencies, and exclusive work on a document. */
import type { Caller } from "../../config.ts";
import type { DocumentKey } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { Reserve } from "../memory/budget.ts";
import type { StoredDocument } from "./assemble.ts";
import type { DocumentLock } from "./document-lock.ts";
import type { Embedder } from "./embedder.ts";
import type { EmbeddingSettings, ModelIdentity } from "./fingerprint.ts";
import type { PutRequest } from "./ingestion-types.ts";
import type { DocumentMetrics } from "./metrics.ts";
import type { DocumentRepository, Put } from "./repository.ts";
import type { Sharing } from "./store.ts";

export interface IngestionParts {
  readonly repository: DocumentRepository;
  readonly lock: DocumentLock;
  readonly embedder: Embedder;
  readonly metrics: DocumentMetrics;
  readonly settings: EmbeddingSettings;
  readonly embeddingModel: string;
  readonly fingerprints: (identity: ModelIdentity, dimensions?: number) => { relay: string; caller: string };
  /** Names of the enabled callers: each has a part of the store. */
  readonly callers: () => readonly string[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Aborts when the caller is disabled or the relay stops. */
  readonly signalOf: (caller: string) => AbortSignal;
}

/** Exclusive work on a document. `signal` aborts when nothing may be stored any more. */
export interface ExclusiveWork {
  readonly signal: AbortSignal;
  /** Declares the write, runs `make`, which may store by its argument, and withdraws the intent if it did not. */
  writing<T>(make: (put: Put) => Promise<T>): Promise<T>;
}

/** What every request for ingestion has. */
type IngestionRequest = Pick<PutRequest, "key" | "caller" | "signal">;

/** Aborts when the request's work must end. */
export function endOf(
  { caller, signal }: IngestionRequest,
  { signalOf }: Pick<IngestionParts, "signalOf">,
): AbortSignal {
  const ofCaller = signalOf(caller.name);
  return signal === undefined ? ofCaller : AbortSignal.any([ofCaller, signal]);
}

/** How often work is restarted because the lease was lost. */
const MAX_LEASES = 3;

/** Runs work exclusively for the document; restarts it if the lease was lost meanwhile. */
export async function exclusively<T>(
  request: IngestionRequest,
  parts: IngestionParts,
  work: (exclusive: ExclusiveWork) => Promise<T>,
): Promise<T> {
  const { key, caller } = request;
  const { repository, lock, callers } = parts;
  const ended = endOf(request, parts);
  const fence = repository.fence(key);
  const sharing = sharingOf(caller, callers);
  try {
    for (let leases = 1; ; leases++) {
      let held: AbortSignal | undefined;
      try {
        return await lock.run(key, ended, (signal) => {
          held = signal;
          return work({ signal, writing: (make) => repository.ingest(key, fence, sharing, make) });
        });
      } catch (cause) {
        ended.throwIfAborted();
        if (held?.aborted !== true) throw cause;
        if (leases === MAX_LEASES) throw held.reason;
      }
    }
  } finally {
    fence.leave();
  }
}

export function sharingOf({ name }: Caller, callers: () => readonly string[]): Sharing {
  return { caller: name, callers: callers() };
}

/** The stored document with its contents, if its fingerprint is one of these. */
export async function storedDocument(
  key: DocumentKey,
  fingerprints: readonly string[],
  repository: DocumentRepository,
  reserve: Reserve | undefined,
): Promise<StoredDocument | undefined> {
  const meta = await repository.find(key);
  if (typeof meta === "string" || !fingerprints.includes(meta.fingerprint)) return undefined;
  reserve?.(2 * meta.bytes); // the old document and the new one
  const content = await repository.content(meta);
  return content === undefined ? undefined : { meta, content };
}

export function storeFull(): RelayError {
  return new RelayError(
    "documents_full",
    "The document store on the Mac has no room for this document (documents.maxDiskMiB, of which each caller has a part). Remove documents that are not needed, or wait until some have expired.",
  );
}
