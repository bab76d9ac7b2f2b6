/** Metrics of the documents. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { StoreGuard } from "./store-guard.ts";

/** Result of a look-up: a hit, or the reason for the miss. */
export type LookupResult = "hit" | "absent" | "version" | "model" | "store_away";

export interface DocumentMetrics {
  lookedUp(result: LookupResult): void;
  /** Counts pieces of a document that were embedded, and those whose vectors were reused. */
  embedded(pieces: number, reused: number, tokens: number): void;
  searched(seconds: number, rows: number): void;
}

/** Counts into the relay's registry. */
export function documentMetrics(registry: Registry, guard: StoreGuard): DocumentMetrics {
  const registers = [registry];
  const lookups = new Counter({
    name: "slm_document_lookups_total",
    help: "Look-ups of a document's vectors, by result.",
    labelNames: ["result"] as const,
    registers,
  });
  const sets = new Counter({
    name: "slm_document_embeddings_total",
    help: "Documents, or sets of inputs of a document, that were embedded.",
    registers,
  });
  const pieces = new Counter({
    name: "slm_document_pieces_total",
    help: "Chunks and inputs, by whether they were embedded or reused.",
    labelNames: ["from"] as const,
    registers,
  });
  const tokens = new Counter({ name: "slm_document_tokens_total", help: "Tokens embedded.", registers });
  const search = new Histogram({
    name: "slm_document_search_seconds",
    help: "Time to compare a query with the chunks, without fetching or embedding.",
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
    registers,
  });
  const rowsSeen = new Counter({ name: "slm_document_search_rows_total", help: "Chunks compared.", registers });
  new Gauge({
    name: "slm_document_store_up",
    help: "1 while the document store answers.",
    registers,
    collect() {
      this.set(guard.state.available ? 1 : 0);
    },
  });
  return {
    lookedUp(result) {
      lookups.inc({ result });
    },
    embedded(made, reused, spent) {
      if (made > 0) sets.inc();
      pieces.inc({ from: "model" }, made);
      pieces.inc({ from: "store" }, reused);
      tokens.inc(spent);
    },
    searched(seconds, rows) {
      search.observe(seconds);
      rowsSeen.inc(rows);
    },
  };
}
