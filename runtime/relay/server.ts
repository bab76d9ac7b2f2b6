/** Puts the relay together, starts it and stops it. */
import { mkdir } from "node:fs/promises";
import type { JWTVerifyGetKey } from "jose";
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { createAccess } from "./access/access.ts";
import { openAccessKeys } from "./access/keys.ts";
import { adminHandler, onlyLocal } from "./admin.ts";
import { createAdmission } from "./admission/admission.ts";
import { createQueueMetrics } from "./admission/metrics.ts";
import { createDocuments } from "./documents/documents.ts";
import { type Parts, publicHandler } from "./handler.ts";
import { PACE, type Pace } from "./http/body.ts";
import { CoarseTimers } from "./http/coarse-timers.ts";
import { Running } from "./http/exchange.ts";
import { KEEP_ALIVE_TIMES, type KeepAliveTimes } from "./http/keep-alive-writer.ts";
import { type Handler, type Listener, listen, listenWhenFree, sendText } from "./http/listener.ts";
import { bootId } from "./jobs/boot-id.ts";
import { openJobs } from "./jobs/jobs.ts";
import { createSubmit } from "./jobs/submit.ts";
import { cacheBytes } from "./memory/budget.ts";
import { Holdings, MAX_ADMIN_CONNECTIONS, MAX_PUBLIC_CONNECTIONS } from "./memory/holdings.ts";
import { createHoldingMetrics } from "./memory/metrics.ts";
import { createFallback } from "./model/fallback.ts";
import { createUpstream } from "./model/upstream.ts";
import { createOutageMetrics, openOutages } from "./status/outages.ts";
import { createStatus } from "./status/status.ts";
import type { Log } from "./telemetry/log.ts";
import { createMetrics } from "./telemetry/metrics.ts";

export interface Relay {
  /** The ports that were bound. */
  readonly port: number;
  readonly adminPort: number;
  /**
   * Stops: from now on new requests get 503 and /readyz says so; what runs may end within `graceSeconds`; then the rest is
   * cut and the listeners are closed. Resolves when nothing is left. A second call gives the first one's promise.
   */
  close(): Promise<void>;
  /**
   * Stops for another relay that waits to take over: lets go of the ports and the stores at once (jobs that run are given
   * back), finishes the requests that run as `close` does, and resolves when nothing is left.
   */
  relinquish(): Promise<void>;
  /**
   * Takes over callers and limits at once; requests of callers that are gone or switched off are cut. Anything else in
   * `config` is left as it was at the start.
   */
  reload(config: Pick<RelayConfig, "callers" | "limits">): void;
}

export interface RelayOptions {
  readonly log: Log;
  /** Where the keys of Access come from; by default the team's address. For tests. */
  readonly keys?: JWTVerifyGetKey;
  /** Shorter times, for tests. */
  readonly keepAlive?: KeepAliveTimes;
  readonly pace?: Pace;
  /** Waits for another relay to let go of the public port, instead of failing while it is taken. @default false */
  readonly takeOver?: boolean;
  /** Requests of all callers that may be open at once. @default OPEN_REQUESTS */
  readonly openRequests?: number;
  /** Milliseconds since 1970, for the lives of documents. For tests. */
  readonly now?: () => number;
}

/** Handlers that are there before the relay is: its clients wait, who asks the admin listener is told. */
class WhenOpen {
  #handlers: { public: Handler; admin: Handler } | undefined;
  readonly #opened = Promise.withResolvers<{ public: Handler; admin: Handler }>();

  readonly public: Handler = (...call) => {
    if (this.#handlers) this.#handlers.public(...call);
    else void this.#opened.promise.then((handlers) => handlers.public(...call));
  };
  readonly admin: Handler = (req, res, expectsContinue) => {
    if (this.#handlers) this.#handlers.admin(req, res, expectsContinue);
    else if (req.url === "/healthz") sendText(res, 200, "text/plain", "ok\n");
    else sendText(res, 503, "text/plain", "not ready\n");
  };

  open(publicHandler: Handler, admin: Handler): void {
    this.#handlers = { public: publicHandler, admin };
    this.#opened.resolve(this.#handlers);
  }
}

/**
 * Starts the relay: makes `dataDir` if needed, binds both listeners (port 0 takes a free one), then opens the stores: what
 * comes meanwhile waits. With `takeOver` it may take long until the public port is free; until then the admin listener says
 * that it is alive and not ready. Does not wait for the model server nor for the keys of Access. Rejects with a message for
 * a person when the folder or a port can not be had.
 */
export async function startRelay(
  startConfig: RelayConfig,
  secrets: RelaySecrets,
  { log, keys, now, openRequests, takeOver = false, keepAlive = KEEP_ALIVE_TIMES, pace = PACE }: RelayOptions,
): Promise<Relay> {
  // Of its own, since `reload` changes it: whoever reads callers or limits reads them when they are needed.
  const config: RelayConfig = { ...startConfig };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  // Both ports come first: who has the public one has the files in `dataDir`.
  const listeners: Listener[] = [];
  const whenOpen = new WhenOpen();
  const unbind = () => Promise.all(listeners.map((listener) => listener.close()));
  try {
    const { stallMs } = keepAlive;
    const ofAdmin = { stallMs, connections: MAX_ADMIN_CONNECTIONS };
    listeners.push(await listen("admin", config.adminPort, onlyLocal(whenOpen.admin), ofAdmin));
    const bind = takeOver ? listenWhenFree : listen;
    const ofPublic = { stallMs, connections: MAX_PUBLIC_CONNECTIONS, headersMs: pace.ms };
    listeners.unshift(await bind("public", config.port, whenOpen.public, ofPublic, log));
  } catch (cause) {
    await unbind();
    throw cause;
  }
  const [{ port }, { port: adminPort }] = listeners as [Listener, Listener];

  const metrics = createMetrics();
  const boot = bootId();
  const { dataDir } = config;
  const outages = await openOutages({ dataDir, boot, log, running: () => metrics.tally.inFlight });
  createOutageMetrics(metrics.registry, outages);
  const upstream = createUpstream(config.model);
  const { fallbackKey } = secrets;
  const fallback = config.fallback && createFallback(config.fallback, fallbackKey, config.model.timeouts);
  const admission = createAdmission(config.limits, { backgroundSlots: config.jobs.slots });
  const names = () => config.callers.flatMap(({ enabled, name }) => (enabled ? [name] : []));
  const holdings = new Holdings(config.limits, names(), openRequests);
  createHoldingMetrics(metrics.registry, holdings, names);
  const queueMetrics = createQueueMetrics(metrics.registry, admission, upstream.breaker);
  const fetched = keys === undefined ? await openAccessKeys(config.access.teamDomain, dataDir, log) : undefined;
  const check = outages.uncleanShutdown;
  const { registry } = metrics;
  const { memory } = holdings;
  const jobs = await openJobs({
    config,
    log,
    registry,
    upstream,
    admission,
    memory,
    onUsage: (lane, owner, usage) => queueMetrics.usedTokens(lane, owner, "job", usage),
    boot,
    check,
  });
  await outages.noteRecoveredJobs(jobs.recovered);
  const documents = createDocuments(config, secrets, {
    log,
    admission,
    breaker: upstream.breaker,
    registry,
    onUsage: (caller, prompt) =>
      queueMetrics.usedTokens("embeddings", caller, "documents", { prompt, output: undefined }),
    now,
    cacheBytes: cacheBytes(config.limits),
  });
  const status = createStatus(config, metrics, upstream, admission, {
    jobsAvailable: () => jobs.available,
    documents: () => documents.state(),
    outages: () => outages.list,
  });
  const running = new Running();
  const access = createAccess(config, keys ?? fetched!.get);
  // Late by a second at most: nothing here is shorter than 15 s, but in tests.
  const timers = new CoarseTimers(
    Math.min(1000, keepAlive.sseMs / 8, keepAlive.jsonMs / 8, keepAlive.everyMs / 8, pace.ms / 8),
  );
  const calls = { upstream, fallback, admission, queueMetrics, keepAlive, timers };
  const parts: Parts = {
    ...calls,
    config,
    log,
    metrics,
    running,
    access,
    pace,
    documents,
    status,
    jobs,
    submit: createSubmit(jobs),
    holdings,
  };
  whenOpen.open(publicHandler(parts), adminHandler(parts));
  log.info({ port, adminPort, hostname: config.hostname, model: config.model.kind }, "listening");

  const release = async () => {
    await unbind();
    await outages.close();
    await jobs.close(); // before the model server's connections go: what runs is given back, not broken off
    admission.close();
    await Promise.all([upstream.close(), documents.close(), fallback?.close(), fetched?.close()]);
    metrics.close();
  };
  const drain = async (alsoJobs: boolean) => {
    const ms = config.graceSeconds * 1000;
    const [left] = await Promise.all([running.idle(ms), alsoJobs ? jobs.idle(ms) : undefined]);
    if (left > 0) log.warn({ left }, "cutting what still runs");
    running.cut();
    await running.idle(1000); // each is logged when its connection is gone
    await release();
    log.info("stopped");
  };
  const stop = async () => {
    status.draining = true;
    log.info({ graceSeconds: config.graceSeconds, running: metrics.tally.inFlight }, "stopping");
    jobs.stop();
    await outages.close(); // wanted, so no outage, even if it is killed before it has finished
    await drain(true);
  };
  const handOver = async () => {
    log.info({ running: metrics.tally.inFlight }, "letting go: another relay takes over");
    await outages.close(); // before the port is free: who has it next reads the mark
    for (const listener of listeners) listener.leave();
    await jobs.close();
    await drain(false);
  };
  let stopping: Promise<void> | undefined;
  return {
    port,
    adminPort,
    close() {
      stopping ??= stop();
      return stopping;
    },
    relinquish() {
      stopping ??= handOver();
      return stopping;
    },
    reload({ callers, limits }) {
      Object.assign(config, { callers, limits });
      admission.update(limits, callers);
      holdings.update(limits, names());
      jobs.callersChanged();
      const welcome = new Set(callers.flatMap(({ enabled, clientId }) => (enabled ? [clientId] : [])));
      const cut = running.cutCallers(welcome);
      log.info({ callers: callers.length, enabled: welcome.size, cut }, "callers and limits taken over");
    },
  };
}
