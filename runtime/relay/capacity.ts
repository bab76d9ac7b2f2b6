/** Opens what a request waits for and takes: the model server, the fallback, slots, a share of memory. */
import type { RelayConfig, RelaySecrets } from "../config.ts";
import { type AdaptiveSlots, openAdaptiveSlots } from "./admission/adaptive-slots.ts";
import { type Admission, createAdmission } from "./admission/admission.ts";
import { createQueueMetrics, type QueueMetrics } from "./admission/metrics.ts";
import { Holdings } from "./memory/holdings.ts";
import { createHoldingMetrics } from "./memory/metrics.ts";
import { createFallback, type Fallback } from "./model/fallback.ts";
import { createModelMetrics, type ModelMetrics } from "./model/metrics.ts";
import { createUpstream, type Upstream } from "./model/upstream.ts";
import type { Observation } from "./observation.ts";
import type { RelayOptions } from "./relay-options.ts";
import { createLiveSpeed, type LiveSpeed } from "./status/live-speed.ts";

export interface Capacity {
  readonly upstream: Upstream;
  readonly fallback: Fallback | undefined;
  readonly modelMetrics: ModelMetrics;
  readonly adaptive: AdaptiveSlots;
  readonly admission: Admission;
  readonly queueMetrics: QueueMetrics;
  readonly holdings: Holdings;
  readonly speed: LiveSpeed;
}

/** The model server, as traces name it. */
export const namedModelServer = ({ model }: Pick<RelayConfig, "model">): { provider: string; url: string } => ({
  provider: model.kind,
  url: model.url,
});

/** Names of the callers that may call, now. */
export const enabledCallers = ({ callers }: Pick<RelayConfig, "callers">): string[] =>
  callers.flatMap(({ enabled, name }) => (enabled ? [name] : []));

/** Waits for no model server. @param config read each time callers are needed */
export async function openCapacity(
  config: RelayConfig,
  { fallbackKey, modelKey }: RelaySecrets,
  { openRequests, adaptiveTimes: times }: Pick<RelayOptions, "openRequests" | "adaptiveTimes">,
  { log, metrics, observe }: Pick<Observation, "log" | "metrics" | "observe">,
): Promise<Capacity> {
  const { registry } = metrics;
  const { dataDir, limits } = config;
  const plainUpstream = createUpstream(config.model, modelKey);
  const upstream = observe?.upstream(plainUpstream, namedModelServer(config)) ?? plainUpstream;
  const plainFallback = config.fallback && createFallback(config.fallback, fallbackKey, config.model.timeouts);
  const fallback =
    plainFallback &&
    (observe?.fallback(plainFallback, { provider: "fallback", url: config.fallback!.url }) ?? plainFallback);
  const adaptive = await openAdaptiveSlots({ dataDir, limits, log, registry, times }, () => admission);
  const plainAdmission = createAdmission(adaptive.applied(limits), { backgroundSlots: config.jobs.slots });
  const admission: Admission = observe?.admission(plainAdmission) ?? plainAdmission;
  const names = () => enabledCallers(config);
  const holdings = new Holdings(limits, names(), openRequests);
  createHoldingMetrics(registry, holdings, names);
  const speed = createLiveSpeed();
  const queueMetrics = speed.observed(adaptive.observed(createQueueMetrics(registry, admission)));
  const modelMetrics = createModelMetrics(registry, upstream.breaker);
  return { upstream, fallback, modelMetrics, adaptive, admission, queueMetrics, holdings, speed };
}
