/**
 * The order in which a relay ends: by itself, or for another one that takes over. `graceSeconds`, how long running requests may
 * go on, is set in `config/install-input.ts`.
 */
import type { RelayConfig } from "../config.ts";
import type { Assembly } from "./assembly.ts";
import type { Listeners } from "./listeners.ts";

export interface Shutdown {
  /** See `Relay.close`. */
  close(): Promise<void>;
  /** See `Relay.relinquish`. */
  relinquish(): Promise<void>;
}

export function createShutdown(
  { graceSeconds }: Pick<RelayConfig, "graceSeconds">,
  listeners: Listeners,
  { parts, observation, capacity, stores, statusPage, alerts, accessKeys }: Assembly,
): Shutdown {
  const { running, status } = parts;
  const { log, metrics, outages } = observation;
  const { upstream, fallback, admission, adaptive } = capacity;
  const { jobs, responses, documents, ledger } = stores;
  const release = async () => {
    await listeners.close();
    await outages.close();
    await alerts?.close();
    await jobs.close(); // before the model server's connections: running jobs are returned to the queue, not failed
    admission.close();
    const stores = [responses.close(), adaptive.close(), documents.close()];
    await Promise.all([...stores, upstream.close(), fallback?.close(), accessKeys?.close()]);
    await ledger.close(); // last: all of these may still end something that is recorded
    await observation.close(); // last: the requests that were cut are part of the traces
  };
  const drain = async (alsoJobs: boolean) => {
    const ms = graceSeconds * 1000;
    const [left] = await Promise.all([running.idle(ms), alsoJobs ? jobs.idle(ms) : undefined]);
    if (left > 0) log.warn({ left }, "cutting the requests that still run");
    running.cut();
    await running.idle(1000); // each is logged when its connection has closed
    await release();
    log.info("stopped");
  };
  const stop = async () => {
    status.draining = true;
    log.info({ graceSeconds, running: metrics.tally.inFlight }, "stopping");
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
    listeners.stopListening();
    await jobs.close();
    await drain(false);
  };
  let stopping: Promise<void> | undefined;
  return {
    close() {
      stopping ??= stop();
      return stopping;
    },
    relinquish() {
      stopping ??= relinquish();
      return stopping;
    },
  };
}
