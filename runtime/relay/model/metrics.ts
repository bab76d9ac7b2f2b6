/** Metrics of the model server's circuit breaker and of the fallback server. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { BreakerState } from "./breaker.ts";

export interface ModelMetrics {
  /** Counts a request that was sent to the fallback server. @param reason code of the error it would have got */
  fellBack(caller: string, reason: string): void;
}

const STATES: readonly BreakerState[] = ["closed", "half-open", "open"];

/** @param breaker `opened`: how often it has opened since the start */
export function createModelMetrics(
  registry: Registry,
  breaker: { readonly state: BreakerState; readonly opened: number },
): ModelMetrics {
  const registers = [registry];
  new Gauge({
    name: "slm_breaker_state",
    help: "1 for the current state of the model server's circuit breaker.",
    labelNames: ["state"] as const,
    registers,
    collect() {
      for (const state of STATES) this.set({ state }, breaker.state === state ? 1 : 0);
    },
  });
  new Counter({
    name: "slm_breaker_opened_total",
    help: "How often the model server's circuit breaker has opened.",
    registers,
    collect() {
      this.reset();
      this.inc(breaker.opened);
    },
  });
  const fallbacks = new Counter({
    name: "slm_fallback_requests_total",
    help: "Requests sent to the fallback server, by the error they would have got.",
    labelNames: ["caller", "reason"] as const,
    registers,
  });
  return { fellBack: (caller, reason) => fallbacks.inc({ caller, reason }) };
}
