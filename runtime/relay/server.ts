/** Puts the relay together, starts it and stops it. */
import { mkdir } from "node:fs/promises";
import type { JWTVerifyGetKey } from "jose";
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { createAccess } from "./access.ts";
import { openAccessKeys } from "./access-keys.ts";
import { adminHandler } from "./admin.ts";
import { createAdmission } from "./admission/admission.ts";
import { createLaneMetrics } from "./admission/metrics.ts";
import { Alarms } from "./alarms.ts";
import { PACE, type Pace } from "./body.ts";
import { createDocuments } from "./documents/documents.ts";
import { Running } from "./exchange.ts";
import { createFallback } from "./fallback.ts";
import { type Parts, publicHandler } from "./handler.ts";
import { HOLDS, type Holds } from "./hold.ts";
import { type Listener, listen } from "./http.ts";
import { openJobs } from "./jobs/jobs.ts";
import { createSubmit } from "./jobs/submit.ts";
import type { Log } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { createStatus } from "./status.ts";
import { createUpstream } from "./upstream.ts";

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
  readonly holds?: Holds;
  readonly pace?: Pace;
  /** Milliseconds since 1970, for the lives of documents. For tests. */
  readonly now?: () => number;
}

/**
 * Starts the relay: makes `dataDir` if needed, binds both listeners (port 0 takes a free one). Does not wait for the model
 * server nor for the keys of Access. Rejects with a message for a person when the folder or a port can not be had.
 */
export async function startRelay(
  startConfig: RelayConfig,
  secrets: RelaySecrets,
  { log, keys, now, holds = HOLDS, pace = PACE }: RelayOptions,
): Promise<Relay> {
  // Of its own, since `reload` changes it: whoever reads callers or limits reads them when they are needed.
  const config: RelayConfig = { ...startConfig };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const metrics = createMetrics();
  const upstream = createUpstream(config.model);
  const { fallbackKey } = secrets;
  const fallback = config.fallback && createFallback(config.fallback, fallbackKey, config.model.timeouts);
  const admission = createAdmission(config.limits);
  const laneMetrics = createLaneMetrics(metrics.registry, admission, upstream.breaker);
  const fetched = keys === undefined ? await openAccessKeys(config.access.teamDomain, config.dataDir, log) : undefined;
  const jobs = await openJobs({ config, log, registry: metrics.registry, upstream, admission });
  const documents = createDocuments(config, secrets, {
    log,
    admission,
    breaker: upstream.breaker,
    registry: metrics.registry,
    now,
  });
  const status = createStatus(config, metrics, upstream, admission, {
    jobsAvailable: () => jobs.available,
    documents: () => documents.state(),
  });
  const running = new Running();
  const access = createAccess(config, keys ?? fetched!.get);
  // Late by a second at most: nothing here is shorter than 15 s, but in tests.
  const alarms = new Alarms(Math.min(1000, holds.sseMs / 8, holds.jsonMs / 8, holds.everyMs / 8, pace.ms / 8));
  const calls = { upstream, fallback, admission, laneMetrics, holds, alarms };
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
  };

  const listeners: Listener[] = [];
  const release = async () => {
    await Promise.all(listeners.map((listener) => listener.close()));
    await jobs.close(); // before the model server's connections go: what runs is given back, not broken off
    admission.close();
    await Promise.all([upstream.close(), documents.close(), fallback?.close(), fetched?.close()]);
    metrics.close();
  };
  try {
    listeners.push(await listen("public", config.port, publicHandler(parts)));
    listeners.push(await listen("admin", config.adminPort, adminHandler(parts)));
  } catch (cause) {
    await release();
    throw cause;
  }
  const [{ port }, { port: adminPort }] = listeners as [Listener, Listener];
  log.info({ port, adminPort, hostname: config.hostname, model: config.model.kind }, "listening");

  const stop = async () => {
    status.draining = true;
    log.info({ graceSeconds: config.graceSeconds, running: metrics.tally.inFlight }, "stopping");
    jobs.stop();
    const [left] = await Promise.all([running.idle(config.graceSeconds * 1000), jobs.idle(config.graceSeconds * 1000)]);
    if (left > 0) log.warn({ left }, "cutting what still runs");
    running.cut();
    await running.idle(1000); // each is logged when its connection is gone
    await release();
    log.info("stopped");
  };
  let stopping: Promise<void> | undefined;
  return {
    port,
    adminPort,
    close() {
      stopping ??= stop();
      return stopping;
    },
    reload({ callers, limits }) {
      Object.assign(config, { callers, limits });
      admission.update(limits);
      const welcome = new Set(callers.flatMap(({ enabled, clientId }) => (enabled ? [clientId] : [])));
      const cut = running.cutCallers(welcome);
      log.info({ callers: callers.length, enabled: welcome.size, cut }, "callers and limits taken over");
    },
  };
}
