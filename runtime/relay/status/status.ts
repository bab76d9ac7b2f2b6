/** The current status of the relay, for the page, its JSON and the admin listener. */
import type { RelayConfig } from "../../config.ts";
import type { LineStatus } from "../../direct-log.ts";
import type { AdaptiveView } from "../admission/adaptive-slots.ts";
import type { Admission, AdmissionSnapshot } from "../admission/admission.ts";
import type { AlertsStatus } from "../alerts/open.ts";
import type { Documents } from "../documents/documents.ts";
import type { BreakerState } from "../model/breaker.ts";
import type { ModelState, Upstream } from "../model/upstream.ts";
import type { Metrics, Tally } from "../telemetry/metrics.ts";
import type { Outage } from "./outages.ts";

export interface StatusData {
  readonly hostname: string;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly draining: boolean;
  readonly model: ModelState & {
    readonly kind: string;
    readonly embeddingModel: string;
    readonly circuit: BreakerState;
  };
  readonly lanes: AdmissionSnapshot;
  /** Where documents are stored, and whether the store is available. */
  readonly documents?: ReturnType<Documents["state"]> | undefined;
  /** Of `limits.chat: auto`: the number of chat slots now, its bounds, and why it changed. */
  readonly adaptiveChat?: AdaptiveView | undefined;
  /** Newest first. */
  readonly outages?: readonly Outage[] | undefined;
  /** Direct lines, in the order of the config; absent without lines. */
  readonly direct?: readonly LineStatus[] | undefined;
  /** What the relay alerts about now, and its last messages; absent without webhooks. */
  readonly alerts?: AlertsStatus | undefined;
  /** Since the start. */
  readonly tally: Readonly<Omit<Tally, "byCaller">> & { readonly byCaller: ReturnType<typeof withTimes> };
}

export interface Status {
  /** True once the relay is shutting down: it is not ready and refuses new requests. */
  draining: boolean;
  /** False while the job store is unavailable; direct requests still work. */
  jobsAvailable(): boolean;
  /** Waits up to 2 s for the model server's list of models. Never rejects. */
  data(): Promise<StatusData>;
}

/** State of other parts of the relay. */
export interface StatusSources {
  /** False: the job store is unavailable, so the relay is not ready. */
  readonly jobsAvailable?: () => boolean;
  readonly documents?: Documents["state"];
  readonly outages?: () => readonly Outage[];
  readonly adaptive?: () => AdaptiveView | undefined;
  readonly direct?: () => Promise<readonly LineStatus[]>;
  readonly alerts?: () => AlertsStatus | undefined;
}

function withTimes(byCaller: Tally["byCaller"]) {
  return Object.fromEntries(
    Object.entries(byCaller).map(([name, seen]) => [name, { ...seen, lastAt: new Date(seen.lastAt).toISOString() }]),
  );
}

export function createStatus(
  config: RelayConfig,
  metrics: Metrics,
  upstream: Upstream,
  admission: Admission,
  { jobsAvailable = () => true, documents, outages, adaptive, direct, alerts }: StatusSources = {},
): Status {
  const startedAt = new Date();
  const started = performance.now();
  return {
    draining: false,
    jobsAvailable,
    async data() {
      const lines = (await direct?.()) ?? [];
      const found = await upstream.look();
      return {
        hostname: config.hostname,
        startedAt: startedAt.toISOString(),
        uptimeSeconds: Math.round((performance.now() - started) / 1000),
        draining: this.draining,
        model: {
          ...found,
          kind: config.model.kind,
          embeddingModel: config.model.embeddingModel,
          circuit: upstream.breaker.state,
        },
        lanes: admission.snapshot(),
        documents: documents?.(),
        outages: outages?.(),
        adaptiveChat: adaptive?.(),
        ...(lines.length > 0 && { direct: lines }),
        alerts: alerts?.(),
        tally: { ...metrics.tally, byCaller: withTimes(metrics.tally.byCaller) },
      };
    },
  };
}
