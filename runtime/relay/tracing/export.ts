/** Sends finished spans to the collector by OTLP/HTTP. Bounded: a collector that is slow or away costs the relay nothing. */
import { ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, type SpanProcessor } from "@opentelemetry/sdk-trace";
import { Counter, type Registry } from "prom-client";
import { withoutSlash } from "../../base-url.ts";
import type { OtlpConfig } from "../../config.ts";
import type { Log } from "../telemetry/log.ts";

/** Spans in memory, at most; later ones are dropped and counted. A span is about 2 KiB. */
const MAX_SPANS = 2048;
const BATCH = 512;
const EVERY_MS = 2000;
const TIMEOUT_MS = 10_000;

/** What the export works with. */
export interface ExportParts {
  readonly log: Log;
  readonly registry: Registry;
  /** Pause between two batches, in ms. For tests. @default 2000 */
  readonly everyMs?: number | undefined;
  /** Spans in memory, at most. For tests. @default 2048 */
  readonly maxSpans?: number | undefined;
}

/**
 * Never rejects and never blocks. Counts in `slm_trace_spans_total` what became of each span; logs once that the collector
 * cannot be reached, and once that it can again.
 * @param headers for the collector; secret
 */
export function createExport(
  { endpoint }: Pick<OtlpConfig, "endpoint">,
  headers: Readonly<Record<string, string>>,
  { log, registry, everyMs = EVERY_MS, maxSpans = MAX_SPANS }: ExportParts,
): SpanProcessor {
  const spans = new Counter({
    name: "slm_trace_spans_total",
    help: "Finished spans: exported, failed (the collector did not take them) or dropped (too many were waiting).",
    labelNames: ["result"] as const,
    registers: [registry],
  });
  const url = `${withoutSlash(endpoint)}/v1/traces`;
  const otlp = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: TIMEOUT_MS, concurrencyLimit: 2 });
  let held = 0;
  let isAway = false;
  const exporter: SpanExporter = {
    export(batch, done) {
      otlp.export(batch, (result) => {
        held -= batch.length;
        const isSent = result.code === ExportResultCode.SUCCESS;
        spans.inc({ result: isSent ? "exported" : "failed" }, batch.length);
        // Once, not with each batch: a collector that is down for a day would fill the log.
        if (!isSent && !isAway) {
          log.warn(
            { url, reason: reasonOf(result.error) },
            "traces cannot be sent; they are dropped until the collector answers",
          );
        }
        if (isSent && isAway) log.info({ url }, "traces are sent again");
        isAway = !isSent;
        done(result);
      });
    },
    forceFlush: () => otlp.forceFlush(),
    shutdown: () => otlp.shutdown(),
  };
  const batches = new BatchSpanProcessor({
    exporter,
    // What is being sent still counts in `held`, so this bound is never reached.
    maxQueueSize: maxSpans + BATCH,
    maxExportBatchSize: Math.min(BATCH, maxSpans),
    scheduledDelayMillis: everyMs,
    exportTimeoutMillis: 2 * TIMEOUT_MS,
  });
  return {
    onStart: () => {},
    onEnd(span: ReadableSpan) {
      if ((span.spanContext().traceFlags & 1) === 0) return;
      if (held >= maxSpans) {
        spans.inc({ result: "dropped" });
        return;
      }
      held += 1;
      batches.onEnd(span);
    },
    forceFlush: () => batches.forceFlush(),
    shutdown: () => batches.shutdown(),
  };
}

/** The exporter's error has the collector's answer in it: only its message and code are logged. */
function reasonOf(error: Error | undefined): string {
  if (error === undefined) return "unknown";
  const code = "code" in error && error.code !== undefined ? ` (${String(error.code)})` : "";
  return `${error.message || error.name}${code}`.slice(0, 200);
}
