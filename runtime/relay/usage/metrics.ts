/** Metrics of the ledger itself. What it records has metrics of its own (`admission/metrics.ts`, `telemetry/metrics.ts`). */
import { Gauge, type Registry } from "prom-client";
import type { Ledger } from "./ledger.ts";

export function createUsageMetrics(registry: Registry, ledger: Ledger): void {
  const registers = [registry];
  new Gauge({
    name: "slm_ledger_available",
    help: "1 while usage is recorded on the disk.",
    registers,
    collect() {
      this.set(ledger.state().available ? 1 : 0);
    },
  });
  new Gauge({
    name: "slm_ledger_waiting_rows",
    help: "Rows of usage that wait to be stored.",
    registers,
    collect() {
      this.set(ledger.state().waiting);
    },
  });
  new Gauge({
    name: "slm_ledger_dropped_rows",
    help: "Rows of usage that were lost since the start, because the ledger could not be used for too long.",
    registers,
    collect() {
      this.set(ledger.state().dropped);
    },
  });
}
