/** Metrics of the resources that callers hold. */
import { Gauge, type Registry } from "prom-client";
import type { Holdings } from "./holdings.ts";

/** @param callers names of the configured callers, so that the labels are bounded */
export function createHoldingMetrics(registry: Registry, holdings: Holdings, callers: () => readonly string[]): void {
  const registers = [registry];
  new Gauge({
    name: "slm_memory_budget_bytes",
    help: "Memory that all requests together can hold.",
    registers,
    collect() {
      this.set(holdings.memory.capacity);
    },
  });
  new Gauge({
    name: "slm_memory_held_bytes",
    help: "Memory held by requests now, by caller.",
    labelNames: ["caller"] as const,
    registers,
    collect() {
      this.reset();
      for (const caller of callers()) this.set({ caller }, holdings.memory.heldBy(caller));
    },
  });
  new Gauge({
    name: "slm_open_requests",
    help: "Open requests of callers, until the body has been received and the response has ended.",
    registers,
    collect() {
      this.set(holdings.open);
    },
  });
  new Gauge({
    name: "slm_open_streams",
    help: "Open event streams and waits for jobs.",
    registers,
    collect() {
      this.set(holdings.streams);
    },
  });
}
