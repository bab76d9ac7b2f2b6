/** Assembles the relay, starts it and stops it. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { JWTVerifyGetKey } from "jose";
import type { RelayConfig, RelaySecrets, ReloadableConfig } from "../config.ts";
import { withDocumentBudget } from "../usage-config.ts";
import { createAccess } from "./access/access.ts";
import { openAccessKeys } from "./access/keys.ts";
import { adminHandler, onlyLocal } from "./admin.ts";
import type { AdaptiveTimes } from "./admission/adaptive.ts";
import { openAdaptiveSlots } from "./admission/adaptive-slots.ts";
import { type Admission, createAdmission } from "./admission/admission.ts";
import { createQueueMetrics } from "./admission/metrics.ts";
import { type AlertsParts, openAlerts } from "./alerts/open.ts";
import type { Dialect } from "./dialects/dialect.ts";
import { DIALECTS } from "./dialects/dialects.ts";
import { bindLines, createDirectLines } from "./direct-lines.ts";
import { createDocuments } from "./documents/documents.ts";
import { createDocumentJobs } from "./documents/job-work.ts";
import type { RelayError } from "./errors.ts";
import { type Parts, publicHandler } from "./handler.ts";
import { PACE, type Pace } from "./http/body.ts";
import { CoarseTimers } from "./http/coarse-timers.ts";
import { KEEP_ALIVE_TIMES, type KeepAliveTimes } from "./http/keep-alive-writer.ts";
import { type Handler, type Listener, listen, listenWhenFree, sendText } from "./http/listener.ts";
import { createRouter } from "./http/router.ts";
import { RunningExchanges } from "./http/running-exchanges.ts";
import { bootId } from "./jobs/boot-id.ts";
import { openJobs } from "./jobs/jobs.ts";
import { createSubmission } from "./jobs/submission.ts";
import { createSubmit } from "./jobs/submit.ts";
import { cacheBytes } from "./memory/budget.ts";
import { Holdings, MAX_ADMIN_CONNECTIONS, MAX_PUBLIC_CONNECTIONS } from "./memory/holdings.ts";
import { createHoldingMetrics } from "./memory/metrics.ts";
import { createFallback } from "./model/fallback.ts";
import { createModelMetrics } from "./model/metrics.ts";
import { openResponseOwners } from "./model/response-owners.ts";
import { createUpstream } from "./model/upstream.ts";
import { openApi } from "./openapi/openapi.ts";
import { createLiveSpeed } from "./status/live-speed.ts";
import { openStatusPage } from "./status/open-page.ts";
import { createOutageMetrics, openOutages } from "./status/outages.ts";
import { createStatus } from "./status/status.ts";
import { createHealthMetrics } from "./telemetry/health-metrics.ts";
import type { Log } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import { openTracing } from "./tracing/open.ts";
import { Usages } from "./usage/entry.ts";
import { createUsageMetrics } from "./usage/metrics.ts";
import { openUsage } from "./usage/open.ts";
import type { QuotaWarnings } from "./usage/quota-warnings.ts";

export interface Relay {
  /** The bound ports. */
  readonly port: number;
  readonly adminPort: number;
  /** Ports of the direct lines that are bound, by server. */
  readonly linePorts: ReadonlyMap<string, number>;
  /**
   * Stops: new requests get 503 and /readyz reports it; running requests may end within `graceSeconds`; then the rest are
   * cut and the listeners closed. Resolves when nothing is left. A second call returns the promise of the first.
   */
  close(): Promise<void>;
  /**
   * Stops for another relay that waits to take over: releases the ports and the stores at once (running jobs are returned
   * to the queue), finishes the running requests as `close` does, and resolves when nothing is left.
   */
  relinquish(): Promise<void>;
  /**
   * Applies callers, limits and the limits of jobs at once; requests of callers that were removed or switched off are cut. The rest of
   * `config` stays as it was at the start.
   */
  reload(config: ReloadableConfig): void;
}

export interface RelayOptions {
  readonly log: Log;
  /** Signing keys of Access. For tests. @default fetched from the team's domain */
  readonly keys?: JWTVerifyGetKey;
  /** Shorter times, for tests. */
  readonly keepAlive?: KeepAliveTimes;
  readonly pace?: Pace;
  /** Waits for another relay to release the public port instead of failing while it is taken. @default false */
  readonly takeOver?: boolean;
  /** The APIs that callers may speak. For tests. @default DIALECTS */
  readonly dialects?: readonly Dialect[];
  /** Requests of all callers that may be open at once. @default OPEN_REQUESTS */
  readonly openRequests?: number;
  /** Milliseconds since 1970, for the expiry of documents. For tests. */
  readonly now?: () => number;
  /** Pause between two batches of traces, in ms. For tests. */
  readonly traceEveryMs?: number;
  /** Shorter times of alerts, for tests. */
  readonly alertOptions?: Partial<AlertsParts>;
  /** Spans in memory, at most. For tests. */
  readonly traceMaxSpans?: number;
  /** Folder with the status page's own program, for tests. @default beside the bundled relay */
  readonly statusAssets?: URL;
  /** Shorter times of `limits.chat: auto`, for tests. */
  readonly adaptiveTimes?: AdaptiveTimes;
  /** Told when a quota by day or month is nearly used up. @default the log */
  readonly quotaWarnings?: QuotaWarnings;
}

interface Handlers {
  readonly public: Handler;
  readonly admin: Handler;
  /** The handler of a server's direct line. */
  readonly line: (server: string) => Handler;
}

/** Handlers for the time before the relay is assembled: public requests wait, the admin listener reports "not ready". */
class DeferredHandlers {
  #handlers: Handlers | undefined;
  readonly #opened = Promise.withResolvers<Handlers>();

  readonly public: Handler = (...call) => {
    if (this.#handlers) this.#handlers.public(...call);
    else {
      const [, res] = call;
      // A client that has disconnected by then gets no exchange: its "close" was emitted before anybody listened.
      void this.#opened.promise.then((handlers) => {
        if (!res.closed && !res.destroyed) handlers.public(...call);
      });
    }
  };
  readonly admin: Handler = (req, res, expectsContinue) => {
    if (this.#handlers) this.#handlers.admin(req, res, expectsContinue);
    else if (req.url === "/healthz") sendText(res, 200, "text/plain", "ok\n");
    else sendText(res, 503, "text/plain", "not ready\n");
  };

  line(server: string): Handler {
    return (...call) => {
      if (this.#handlers) this.#handlers.line(server)(...call);
      else void this.#opened.promise.then((handlers) => handlers.line(server)(...call));
    };
  }

  open(handlers: Handlers): void {
    this.#handlers = handlers;
    this.#opened.resolve(handlers);
  }
}

/**
 * Starts the relay: creates `dataDir` if needed, binds both listeners (port 0 takes a free one), then opens the stores;
 * requests that come meanwhile wait. With `takeOver` it can take long until the public port is free; until then the admin
 * listener reports that the relay is alive and not ready. Waits neither for the model server nor for the keys of Access.
 * Rejects with a message for an operator when the folder or a port is not available.
 */
export async function startRelay(
  startConfig: RelayConfig,
  secrets: RelaySecrets,
  {
    log: untraced,
    keys,
    now,
    traceEveryMs,
    traceMaxSpans,
    alertOptions,
    openRequests,
    adaptiveTimes: times,
    quotaWarnings,
    takeOver = false,
    dialects = DIALECTS,
    keepAlive = KEEP_ALIVE_TIMES,
    pace = PACE,
    statusAssets,
  }: RelayOptions,
): Promise<Relay> {
  let log = untraced;
  // A copy, since `reload` changes it. Callers and limits are read from it each time they are needed.
  const config: RelayConfig = { ...startConfig };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  // Both ports come first: the process that has the public one owns the files in `dataDir`.
  const listeners: Listener[] = [];
  const deferred = new DeferredHandlers();
  const lines = bindLines(config, log);
  const unbind = () => Promise.all([lines, ...listeners].map((listener) => listener.close()));
  try {
    const { stallMs } = keepAlive;
    const ofAdmin = { stallMs, connections: MAX_ADMIN_CONNECTIONS };
    listeners.push(await listen("admin", config.adminPort, onlyLocal(deferred.admin), ofAdmin));
    const bind = takeOver ? listenWhenFree : listen;
    const onMalformed = (id: string, { status, code }: RelayError) => log.info({ id, status, code }, "request");
    const ofPublic = { stallMs, connections: MAX_PUBLIC_CONNECTIONS, headersMs: pace.ms, onMalformed };
    listeners.unshift(await bind("public", config.port, deferred.public, ofPublic, log));
    await lines.bind((server) => deferred.line(server), { stallMs, headersMs: pace.ms }, takeOver);
  } catch (cause) {
    await unbind();
    throw cause;
  }
  const [{ port }, { port: adminPort }] = listeners as [Listener, Listener];

  const metrics = createMetrics();
  const traces = await openTracing(config, secrets, {
    log,
    registry: metrics.registry,
    everyMs: traceEveryMs,
    maxSpans: traceMaxSpans,
  });
  if (traces !== undefined) log = traces.log;
  const tracing = traces?.tracing;
  const observe = traces?.observe;
  const modelName = { provider: config.model.kind, url: config.model.url };
  const boot = bootId();
  const { dataDir } = config;
  let openPages = () => 0;
  // Open pages do not count: nothing is lost with them.
  const requestsRunning = () => metrics.tally.inFlight - openPages();
  const outages = await openOutages({ dataDir, boot, log, running: requestsRunning });
  createOutageMetrics(metrics.registry, outages);
  const router = createRouter(dialects, config.model.kind, config.access.audiences.metrics !== undefined);
  const { fallbackKey, modelKey } = secrets;
  const plainUpstream = createUpstream(config.model, modelKey);
  const upstream = observe?.upstream(plainUpstream, modelName) ?? plainUpstream;
  const plainFallback = config.fallback && createFallback(config.fallback, fallbackKey, config.model.timeouts);
  const fallback =
    plainFallback &&
    (observe?.fallback(plainFallback, { provider: "fallback", url: config.fallback!.url }) ?? plainFallback);
  const { registry } = metrics;
  const adaptive = await openAdaptiveSlots({ dataDir, limits: config.limits, log, registry, times }, () => admission);
  const plainAdmission = createAdmission(adaptive.applied(config.limits), { backgroundSlots: config.jobs.slots });
  const admission: Admission = observe?.admission(plainAdmission) ?? plainAdmission;
  const names = () => config.callers.flatMap(({ enabled, name }) => (enabled ? [name] : []));
  const holdings = new Holdings(config.limits, names(), openRequests);
  createHoldingMetrics(metrics.registry, holdings, names);
  const speed = createLiveSpeed();
  const queueMetrics = speed.observed(adaptive.observed(createQueueMetrics(metrics.registry, admission)));
  const modelMetrics = createModelMetrics(metrics.registry, upstream.breaker);
  const fetched = keys === undefined ? await openAccessKeys(config.access.teamDomain, dataDir, log) : undefined;
  const check = outages.uncleanShutdown;
  const { memory } = holdings;
  const alerts = await openAlerts(config, secrets, { ...alertOptions, log, registry });
  const warnings = quotaWarnings ?? alerts?.quotaWarnings;
  const { ledger, quotas } = await openUsage(config, { log, boot, check, now, warnings });
  createUsageMetrics(registry, ledger);
  const usages = new Usages(ledger, quotas, now);
  const responses = await openResponseOwners(join(dataDir, "responses.jsonl"), log);
  const documents = createDocuments(config, secrets, {
    log,
    admission,
    breaker: upstream.breaker,
    registry,
    observe: observe && {
      documentStore: observe.documentStore,
      embeddingServer: (server) => observe.embeddingServer(server, modelName),
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
    memory,
    onUsage: (lane, owner, usage) => queueMetrics.usedTokens(lane, owner, "job", usage),
    onResponse: responses.add,
    ownWork: createDocumentJobs(documents),
    usages,
    boot,
    check,
  });
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
  const checkAccess = createAccess(config, keys ?? fetched!.get);
  const access = observe?.access(checkAccess) ?? checkAccess;
  // Late by a second at most: outside of tests no time is shorter than 15 s.
  const timers = new CoarseTimers(
    Math.min(1000, keepAlive.sseMs / 8, keepAlive.jsonMs / 8, keepAlive.everyMs / 8, pace.ms / 8),
  );
  const submission = createSubmission(jobs, tracing);
  const calls = {
    model: config.model,
    responses,
    upstream,
    fallback,
    admission,
    queueMetrics,
    modelMetrics,
    keepAlive,
    timers,
  };
  const parts: Parts = {
    ...calls,
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
  const lineHandlers = new Map(
    (config.direct?.lines ?? []).map(({ server }) => [
      server,
      publicHandler({
        ...parts,
        access: observe?.access(direct.access(server)) ?? direct.access(server),
        entry: "direct",
      }),
    ]),
  );
  deferred.open({
    public: publicHandler(parts),
    admin: adminHandler(parts),
    line: (server) => lineHandlers.get(server)!,
  });
  log.info({ port, adminPort, hostname: config.hostname, model: config.model.kind }, "listening");

  const release = async () => {
    await unbind();
    await outages.close();
    await alerts?.close();
    await jobs.close(); // before the model server's connections: running jobs are returned to the queue, not failed
    admission.close();
    const stores = [responses.close(), adaptive.close(), documents.close()];
    await Promise.all([...stores, upstream.close(), fallback?.close(), fetched?.close()]);
    await ledger.close(); // last: all of these may still end something that is recorded
    await traces?.close(); // last: the requests that were cut are part of it
    metrics.close();
  };
  const drain = async (alsoJobs: boolean) => {
    const ms = config.graceSeconds * 1000;
    const [left] = await Promise.all([running.idle(ms), alsoJobs ? jobs.idle(ms) : undefined]);
    if (left > 0) log.warn({ left }, "cutting the requests that still run");
    running.cut();
    await running.idle(1000); // each is logged when its connection has closed
    await release();
    log.info("stopped");
  };
  const stop = async () => {
    status.draining = true;
    log.info({ graceSeconds: config.graceSeconds, running: metrics.tally.inFlight }, "stopping");
    jobs.stop();
    statusPage.close();
    await outages.close(); // an intended stop is not an outage, even if the process is killed before it has finished
    await alerts?.close();
    await drain(true);
  };
  const relinquish = async () => {
    log.info({ running: metrics.tally.inFlight }, "relinquishing: another relay takes over");
    statusPage.close();
    // Before the port is free: the next relay reads the mark, and says what is left to say.
    await Promise.all([outages.close(), alerts?.close()]);
    for (const listener of [lines, ...listeners]) listener.stopListening();
    await jobs.close();
    await drain(false);
  };
  let stopping: Promise<void> | undefined;
  return {
    port,
    adminPort,
    linePorts: lines.ports,
    close() {
      stopping ??= stop();
      return stopping;
    },
    relinquish() {
      stopping ??= relinquish();
      return stopping;
    },
    reload({ callers, limits, directCredentials, tokens, jobs: jobLimits = config.jobs }) {
      Object.assign(config, { callers, limits, directCredentials, tokens, jobs: jobLimits });
      adaptive.update(limits);
      admission.update(adaptive.applied(limits), callers, jobLimits.slots);
      holdings.update(limits, names());
      quotas.update(withDocumentBudget(limits, config.documents));
      jobs.configChanged();
      documents.callersChanged();
      const welcome = new Set(callers.flatMap(({ enabled, clientId }) => (enabled ? [clientId] : [])));
      const cut = running.cutCallers(welcome);
      log.info({ callers: callers.length, enabled: welcome.size, cut }, "callers, limits and job limits reloaded");
    },
  };
}

/** Makes the text at its first use: the schemas take some milliseconds, and most relays are never asked. */
function memoized(make: () => string): () => string {
  let text: string | undefined;
  return () => {
    text ??= make();
    return text;
  };
}
