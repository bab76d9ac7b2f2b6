/** Opens all parts of the relay, in the order in which they need each other. */
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { createAccess } from "./access/access.ts";
import { type AccessKeys, openAccessKeys } from "./access/keys.ts";
import { type OpenAlerts, openAlerts } from "./alerts/open.ts";
import { type Capacity, openCapacity } from "./capacity.ts";
import { DIALECTS } from "./dialects/dialects.ts";
import { createDirectLines, type DirectLines } from "./direct-lines.ts";
import type { Parts } from "./handler-parts.ts";
import { CoarseTimers } from "./http/coarse-timers.ts";
import { createRouter } from "./http/router.ts";
import { RunningExchanges } from "./http/running-exchanges.ts";
import { createSubmission } from "./jobs/submission.ts";
import { createSubmit } from "./jobs/submit.ts";
import { type Observation, openObservation } from "./observation.ts";
import { openApi } from "./openapi/openapi.ts";
import type { RelayOptions, RelayTimes } from "./relay-options.ts";
import { type OpenStatusPage, openStatusPage } from "./status/open-page.ts";
import { createStatus } from "./status/status.ts";
import { openStores, type Stores } from "./stores.ts";
import { createHealthMetrics } from "./telemetry/health-metrics.ts";

/** Everything that is open, and must be stopped in order: see `shutdown.ts`. */
export interface Assembly {
  /** What the handlers work with. */
  readonly parts: Parts;
  readonly observation: Observation;
  readonly capacity: Capacity;
  readonly stores: Stores;
  readonly statusPage: OpenStatusPage;
  readonly direct: DirectLines;
  /** Undefined: the relay sends no alerts. */
  readonly alerts: OpenAlerts | undefined;
  /** Undefined: the keys of Access are given. */
  readonly accessKeys: AccessKeys | undefined;
}

/** @param config read again each time callers and limits are needed: a reload changes it */
export async function assemble(
  config: RelayConfig,
  secrets: RelaySecrets,
  options: RelayOptions,
  { keepAlive, pace }: RelayTimes,
): Promise<Assembly> {
  const { keys, now, alertOptions, statusAssets, dialects = DIALECTS } = options;
  const { dataDir } = config;
  let openPages = () => 0;
  const observation = await openObservation(config, secrets, options, () => openPages());
  const { log, metrics, tracing, observe, outages } = observation;
  const { registry } = metrics;
  const router = createRouter(dialects, config.model.kind, config.access.audiences.metrics !== undefined);
  const capacity = await openCapacity(config, secrets, options, observation);
  const { upstream, fallback, admission, adaptive, holdings, speed, queueMetrics, modelMetrics } = capacity;
  const accessKeys = keys === undefined ? await openAccessKeys(config.access.teamDomain, dataDir, log) : undefined;
  const alerts = await openAlerts(config, secrets, { ...alertOptions, log, registry });
  const warnings = options.quotaWarnings ?? alerts?.quotaWarnings;
  const stores = await openStores(config, secrets, { router, capacity, observation, now, warnings });
  const { ledger, usages, responses, documents, jobs } = stores;
  await outages.noteRecoveredJobs(jobs.recovered);
  const direct = createDirectLines(config, registry);
  createHealthMetrics(registry, { dataDir, jobsAvailable: () => jobs.available, tokens: () => config.tokens ?? {} });
  const status = createStatus(config, metrics, upstream, admission, {
    jobsAvailable: () => jobs.available,
    documents: () => documents.state(),
    outages: () => outages.list,
    adaptive: () => adaptive.view(),
    direct: direct.status,
    alerts: () => alerts?.status(),
  });
  alerts?.watch({
    modelKind: config.model.kind,
    async modelAnswers() {
      const found = await upstream.look();
      return found.reachable || found.keyRefused === true;
    },
    waits: () => admission.snapshot(),
    stores: () => ({ jobs: jobs.available, documents: documents.state().available }),
    lines: direct.status,
    tokens: () => config.tokens ?? {},
    dataDir,
  });
  const statusPage = await openStatusPage({
    config,
    log,
    status,
    upstream,
    ledger,
    speed,
    admission,
    jobs,
    documents,
    outages: () => outages.list,
    adaptive: () => adaptive.view(),
    lines: direct.status,
    assets: statusAssets,
  });
  openPages = () => statusPage.feed.size;
  const running = new RunningExchanges();
  const checkAccess = createAccess(config, keys ?? accessKeys!.get);
  const access = observe?.access(checkAccess) ?? checkAccess;
  // Late by a second at most: outside of tests no time is shorter than 15 s.
  const timers = new CoarseTimers(
    Math.min(1000, keepAlive.sseMs / 8, keepAlive.jsonMs / 8, keepAlive.everyMs / 8, pace.ms / 8),
  );
  const submission = createSubmission(jobs, tracing);
  const parts: Parts = {
    model: config.model,
    responses,
    upstream,
    fallback,
    admission,
    queueMetrics,
    modelMetrics,
    keepAlive,
    timers,
    config,
    log,
    metrics,
    tracing,
    running,
    router,
    access,
    pace,
    documents,
    status,
    statusPage,
    jobs,
    submission,
    submit: createSubmit(submission),
    holdings,
    usages,
    openApi: memoized(() => JSON.stringify(openApi({ hostname: config.hostname, kind: config.model.kind, dialects }))),
  };
  return { parts, observation, capacity, stores, statusPage, direct, alerts, accessKeys };
}

/** Makes the text at its first use: the schemas take some milliseconds, and most relays are never asked. */
function memoized(make: () => string): () => string {
  let text: string | undefined;
  return () => {
    text ??= make();
    return text;
  };
}
