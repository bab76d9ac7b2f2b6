/** What callers hold, for Prometheus. */
import { Gauge, type Registry } from "prom-client";
import type { Holdings } from "./holdings.ts";

/** @param callers the configured callers' names: labels are theirs alone */
export function createHoldingMetrics(registry: Registry, holdings: Holdings, callers: () => readonly string[]): void {
  const registers = [registry];
  new Gauge({
    name: "slm_memory_budget_bytes",
    help: "Memory that requests may hold, all together.",
    registers,
    collect() {
      this.set(holdings.memory.capacity);
    },
  });
  new Gauge({
    name: "slm_memory_held_bytes",
    help: "Memory that requests hold now, by caller.",
    labelNames: ["caller"] as const,
    registers,
    collect() {
      this.reset();
      for (const caller of callers()) this.set({ caller }, holdings.memory.heldBy(caller));
    },
  });
  new Gauge({
    name: "slm_open_requests",
    help: "Requests of callers that are open now, until their bodies have come and their answers have ended.",
    registers,
    collect() {
      this.set(holdings.open);
    },
  });
  new Gauge({
    name: "slm_open_streams",
    help: "Event streams and waits for jobs that are open now.",
    registers,
    collect() {
      this.set(holdings.streams);
    },
  });
}
