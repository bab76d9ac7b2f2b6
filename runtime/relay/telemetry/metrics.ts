/**
 * Metrics of all requests, and the totals for the status page. A folder's own metrics are in its `metrics.ts`, or in the one
 * file that counts them: `admission/adaptive-slots.ts`, `alerts/open.ts`, `status/outages.ts`, `tracing/export.ts`,
 * `direct-lines.ts`. Those of disk, job store and tokens are in `health-metrics.ts`.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** A request that has ended. */
export interface EndedRequest {
  /** The path's pattern. Never the path itself: callers choose it, and labels must be bounded. */
  readonly route: string;
  readonly status: number;
  /** Name of the calling server, "people", or "-" before the Access check. */
  readonly caller: string;
  readonly seconds: number;
  /** From the request's arrival to the response headers; undefined if there were none. */
  readonly firstByteSeconds: number | undefined;
  readonly aborted: boolean;
  readonly colo: string;
  /** Code of the relay's error, if the request ended with one. */
  readonly code: string | undefined;
}

/** Totals since the start, for the status page. `lastAt` in ms since 1970. */
export interface Tally {
  inFlight: number;
  requests: number;
  byStatus: Record<string, number>;
  byCaller: Record<string, { requests: number; lastColo: string; lastAt: number }>;
  /** By the Cloudflare location they came in at, after the Access check. */
  byColo: Record<string, number>;
  clientAborts: number;
  upstreamErrors: number;
}

/** Has a registry of its own, so that two relays in one process (tests) do not share counts. */
export interface Metrics {
  readonly registry: Registry;
  readonly tally: Readonly<Tally>;
  requestStarted(): void;
  requestEnded(request: EndedRequest): void;
  /** @param kind error code of the registry */
  upstreamFailed(kind: string): void;
  close(): void;
}

const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const tally: Tally = {
    inFlight: 0,
    requests: 0,
    byStatus: byName(),
    byCaller: byName(),
    byColo: byName(),
    clientAborts: 0,
    upstreamErrors: 0,
  };
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: "slm_requests_total",
    help: "Requests that have ended.",
    labelNames: ["route", "status", "caller"] as const,
    registers,
  });
  const duration = new Histogram({
    name: "slm_request_duration_seconds",
    help: "From a request's arrival to the end of its response.",
    labelNames: ["route"] as const,
    buckets: SECONDS,
    registers,
  });
  const firstByte = new Histogram({
    name: "slm_first_byte_seconds",
    help: "From a request's arrival to its response headers.",
    labelNames: ["route"] as const,
    buckets: SECONDS,
    registers,
  });
  new Gauge({
    name: "slm_requests_in_flight",
    help: "Running requests.",
    registers,
    collect() {
      this.set(tally.inFlight);
    },
  });
  const upstreamErrors = new Counter({
    name: "slm_upstream_errors_total",
    help: "Requests that the model server did not answer, or not completely.",
    labelNames: ["kind"] as const,
    registers,
  });
  const errors = new Counter({
    name: "slm_errors_total",
    help: "Requests that the relay answered with an error of its own, or cut.",
    labelNames: ["code", "caller"] as const,
    registers,
  });
  const aborts = new Counter({
    name: "slm_client_aborts_total",
    help: "Requests whose client disconnected before the end of the response.",
    labelNames: ["route", "caller"] as const,
    registers,
  });
  const entries = new Counter({
    name: "slm_entry_colo_total",
    help: "Requests by the Cloudflare location they came in at (suffix of CF-Ray).",
    labelNames: ["colo", "caller"] as const,
    registers,
  });

  return {
    registry,
    tally,
    requestStarted() {
      tally.inFlight += 1;
    },
    requestEnded({ route, status, caller, seconds, firstByteSeconds, aborted, colo, code }) {
      tally.inFlight -= 1;
      requests.inc({ route, status: String(status), caller });
      duration.observe({ route }, seconds);
      if (code !== undefined) errors.inc({ code, caller });
      if (firstByteSeconds !== undefined) firstByte.observe({ route }, firstByteSeconds);
      tally.requests += 1;
      tally.byStatus[status] = (tally.byStatus[status] ?? 0) + 1;
      if (aborted) {
        aborts.inc({ route, caller });
        tally.clientAborts += 1;
      }
      if (caller === "-") return; // before the Access check, CF-Ray could be forged
      entries.inc({ colo, caller });
      tally.byColo[colo] = (tally.byColo[colo] ?? 0) + 1;
      tally.byCaller[caller] ??= { requests: 0, lastColo: colo, lastAt: 0 };
      const seen = tally.byCaller[caller];
      seen.requests += 1;
      seen.lastColo = colo;
      seen.lastAt = Date.now();
    },
    upstreamFailed(kind) {
      upstreamErrors.inc({ kind });
      tally.upstreamErrors += 1;
    },
    close() {
      registry.clear();
    },
  };
}

/** An empty record without inherited names: a caller can be called "constructor". */
const byName = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;
