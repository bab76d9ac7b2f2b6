/** Opens tracing when the config asks for it. */
import type { RelayConfig, RelaySecrets } from "../../config.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tracing } from "../telemetry/trace.ts";
import type { ExportParts } from "./export.ts";
import type { Observers } from "./observe.ts";

/** Tracing that is on. */
export interface OpenTracing {
  readonly tracing: Tracing;
  readonly observe: Observers;
  /** The log, with `trace_id` in the lines that are written for a request or a job. */
  readonly log: Log;
  /** Sends what is left, within 2 s. Never rejects. */
  close(): Promise<void>;
}

/** @returns undefined, at no cost, without `telemetry.otlp` */
export async function openTracing(
  { telemetry }: Pick<RelayConfig, "telemetry">,
  { otlpHeaders = {} }: RelaySecrets,
  parts: ExportParts,
): Promise<OpenTracing | undefined> {
  const otlp = telemetry?.otlp;
  if (otlp === undefined) return undefined;
  // Loaded only if used: OpenTelemetry's packages are a fifth of the program.
  const [{ OtelTracing }, { createObservers }] = await Promise.all([import("./otel.ts"), import("./observe.ts")]);
  const tracing = new OtelTracing(otlp, otlpHeaders, parts);
  return {
    tracing,
    observe: createObservers(tracing),
    log: withTraceIds(parts.log, () => tracing.traceId),
    close: () => tracing.close(),
  };
}

const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace"] as const;

/** A log that adds the current trace's id to its lines. */
function withTraceIds(log: Log, traceId: () => string | undefined): Log {
  const traced = log.child({});
  for (const level of LEVELS) {
    traced[level] = (first: unknown, ...rest: unknown[]) => {
      const trace_id = traceId();
      const write = log[level].bind(log) as (...args: unknown[]) => void;
      if (trace_id === undefined) write(first, ...rest);
      else if (typeof first === "string") write({ trace_id }, first, ...rest);
      else write({ trace_id, ...(first as object) }, ...rest);
    };
  }
  return traced;
}
