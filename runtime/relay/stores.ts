/** Opens what is kept on the disk: ledger and quotas, owners of responses, document vectors, jobs. */
import { join } from "node:path";
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { type Capacity, namedModelServer } from "./capacity.ts";
import { createDocuments, type Documents } from "./documents/documents.ts";
import { createDocumentJobs } from "./documents/job-work.ts";
import type { Router } from "./http/router.ts";
import { type Jobs, openJobs } from "./jobs/jobs.ts";
import { cacheBytes } from "./memory/budget.ts";
import { openResponseOwners, type ResponseOwners } from "./model/response-owners.ts";
import type { Observation } from "./observation.ts";
import { Usages } from "./usage/entry.ts";
import type { Ledger } from "./usage/ledger.ts";
import { createUsageMetrics } from "./usage/metrics.ts";
import { openUsage } from "./usage/open.ts";
import type { QuotaWarnings } from "./usage/quota-warnings.ts";
import type { Quotas } from "./usage/quotas.ts";

export interface Stores {
  readonly ledger: Ledger;
  readonly quotas: Quotas;
  readonly usages: Usages;
  readonly responses: ResponseOwners;
  readonly documents: Documents;
  readonly jobs: Jobs;
}

export interface StoreOptions {
  readonly router: Router;
  readonly capacity: Capacity;
  readonly observation: Observation;
  /** Milliseconds since 1970, for the expiry of documents. For tests. */
  readonly now?: (() => number) | undefined;
  readonly warnings?: QuotaWarnings | undefined;
}

/** The jobs begin to run. What cannot be opened now is retried, and reported as unavailable meanwhile. */
export async function openStores(
  config: RelayConfig,
  secrets: RelaySecrets,
  { router, capacity, observation, now, warnings }: StoreOptions,
): Promise<Stores> {
  const { log, metrics, tracing, observe, outages, boot } = observation;
  const { upstream, admission, queueMetrics, holdings } = capacity;
  const { registry } = metrics;
  const check = outages.uncleanShutdown;
  const { ledger, quotas } = await openUsage(config, { log, boot, check, now, warnings });
  createUsageMetrics(registry, ledger);
  const usages = new Usages(ledger, quotas, now);
  const responses = await openResponseOwners(join(config.dataDir, "responses.jsonl"), log);
  const documents = createDocuments(config, secrets, {
    log,
    admission,
    breaker: upstream.breaker,
    registry,
    observe: observe && {
      documentStore: observe.documentStore,
      embeddingServer: (server) => observe.embeddingServer(server, namedModelServer(config)),
    },
    onUsage: (caller, prompt) =>
      queueMetrics.usedTokens("embeddings", caller, "documents", { prompt, output: undefined }),
    now,
    cacheBytes: cacheBytes(config.limits),
  });
  const jobs = await openJobs({
    config,
    log,
    tracing,
    observeStore: observe?.jobStore,
    registry,
    upstream,
    router,
    admission,
    memory: holdings.memory,
    onUsage: (lane, owner, usage) => queueMetrics.usedTokens(lane, owner, "job", usage),
    onResponse: responses.add,
    ownWork: createDocumentJobs(documents),
    usages,
    boot,
    check,
  });
  return { ledger, quotas, usages, responses, documents, jobs };
}
