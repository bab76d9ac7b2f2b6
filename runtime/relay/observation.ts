/** Opens what watches the relay itself: metrics, traces, and the record of its outages. */
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { bootId } from "./jobs/boot-id.ts";
import type { RelayOptions } from "./relay-options.ts";
import { createOutageMetrics, type Outages, openOutages } from "./status/outages.ts";
import type { Log } from "./telemetry/log.ts";
import { createMetrics, type Metrics } from "./telemetry/metrics.ts";
import type { Tracing } from "./telemetry/trace.ts";
import type { Observers } from "./tracing/observe.ts";
import { openTracing } from "./tracing/open.ts";

export interface Observation {
  /** With the trace's id, if traces are on. */
  readonly log: Log;
  readonly metrics: Metrics;
  /** Undefined: traces are off. */
  readonly tracing: Tracing | undefined;
  /** Wraps parts so that their calls become spans; undefined: traces are off. */
  readonly observe: Observers | undefined;
  readonly outages: Outages;
  /** Id of this boot of the machine. */
  readonly boot: string;
  /** Sends what is left of the traces, and ends the metrics. */
  close(): Promise<void>;
}

/** @param openPages status pages that are open: they do not count as running requests, since nothing is lost with them */
export async function openObservation(
  config: Pick<RelayConfig, "dataDir" | "telemetry">,
  secrets: RelaySecrets,
  { log: untraced, traceEveryMs, traceMaxSpans }: Pick<RelayOptions, "log" | "traceEveryMs" | "traceMaxSpans">,
  openPages: () => number,
): Promise<Observation> {
  const metrics = createMetrics();
  const traces = await openTracing(config, secrets, {
    log: untraced,
    registry: metrics.registry,
    everyMs: traceEveryMs,
    maxSpans: traceMaxSpans,
  });
  const log = traces?.log ?? untraced;
  const boot = bootId();
  const running = () => metrics.tally.inFlight - openPages();
  const outages = await openOutages({ dataDir: config.dataDir, boot, log, running });
  createOutageMetrics(metrics.registry, outages);
  return {
    log,
    metrics,
    tracing: traces?.tracing,
    observe: traces?.observe,
    outages,
    boot,
    async close() {
      await traces?.close();
      metrics.close();
    },
  };
}
