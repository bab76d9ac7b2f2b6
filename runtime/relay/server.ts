/** Starts the relay, reloads its config, and stops it. */
import { mkdir } from "node:fs/promises";
import type { RelayConfig, RelaySecrets, ReloadableConfig } from "../config.ts";
import { withDocumentBudget } from "../usage-config.ts";
import { adminHandler } from "./admin.ts";
import { type Assembly, assemble } from "./assembly.ts";
import { enabledCallers } from "./capacity.ts";
import { publicHandler } from "./handler.ts";
import { PACE } from "./http/body.ts";
import { KEEP_ALIVE_TIMES } from "./http/keep-alive-writer.ts";
import { bindListeners, type Handlers } from "./listeners.ts";
import type { RelayOptions } from "./relay-options.ts";
import { createShutdown } from "./shutdown.ts";

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

/**
 * Starts the relay: creates `dataDir` if needed, binds both listeners (port 0 takes a free one), then opens the stores;
 * requests that come meanwhile wait. With `takeOver` it can take long until the public port is free; until then the admin
 * listener reports that the relay is alive and not ready. Waits neither for the model server nor for the keys of Access.
 * Rejects with a message for an operator when the folder or a port is not available.
 */
export async function startRelay(
  startConfig: RelayConfig,
  secrets: RelaySecrets,
  options: RelayOptions,
): Promise<Relay> {
  const { keepAlive = KEEP_ALIVE_TIMES, pace = PACE, takeOver = false } = options;
  // A copy, since `reload` changes it. Callers and limits are read from it each time they are needed.
  const config: RelayConfig = { ...startConfig };
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  // All ports come first: the process that has the public one owns the files in `dataDir`.
  const times = { stallMs: keepAlive.stallMs, headersMs: pace.ms };
  const listeners = await bindListeners(config, times, takeOver, options.log);
  const assembly = await assemble(config, secrets, options, { keepAlive, pace });
  listeners.open(handlersOf(config, assembly));
  const { port, adminPort, linePorts } = listeners;
  const { log } = assembly.observation;
  log.info({ port, adminPort, hostname: config.hostname, model: config.model.kind }, "listening");
  return {
    port,
    adminPort,
    linePorts,
    ...createShutdown(config, listeners, assembly),
    reload: (changed) => reload(config, changed, assembly),
  };
}

function handlersOf({ direct: lines }: RelayConfig, { parts, observation, direct }: Assembly): Handlers {
  const { observe } = observation;
  const lineHandlers = new Map(
    (lines?.lines ?? []).map(({ server }) => {
      const check = direct.access(server);
      return [server, publicHandler({ ...parts, access: observe?.access(check) ?? check, entry: "direct" })];
    }),
  );
  return {
    public: publicHandler(parts),
    admin: adminHandler(parts),
    line: (server) => lineHandlers.get(server)!,
  };
}

/** Changes `config`, which all parts read, and tells those that keep something of it. */
function reload(
  config: RelayConfig,
  { callers, limits, directCredentials, tokens, jobs: jobLimits = config.jobs }: ReloadableConfig,
  { parts, observation, capacity, stores }: Assembly,
): void {
  const { admission, adaptive, holdings } = capacity;
  Object.assign(config, { callers, limits, directCredentials, tokens, jobs: jobLimits });
  adaptive.update(limits);
  admission.update(adaptive.applied(limits), callers, jobLimits.slots);
  holdings.update(limits, enabledCallers(config));
  stores.quotas.update(withDocumentBudget(limits, config.documents));
  stores.jobs.configChanged();
  stores.documents.callersChanged();
  const welcome = new Set(callers.flatMap(({ enabled, clientId }) => (enabled ? [clientId] : [])));
  const cut = parts.running.cutCallers(welcome);
  observation.log.info(
    { callers: callers.length, enabled: welcome.size, cut },
    "callers, limits and job limits reloaded",
  );
}
