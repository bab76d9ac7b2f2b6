/** What is counted, for Prometheus and for the status page. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { BatchedCounter, memoize } from "./batched-counter.ts";

/** A request that has ended. */
export interface EndedRequest {
  /** The path's pattern; never the path itself, which callers choose. */
  readonly route: string;
  readonly status: number;
  /** Name of the calling server, "people", or "-" before the Access check. */
  readonly caller: string;
  readonly seconds: number;
  /** From the request's arrival to the answer's headers; undefined if there were none. */
  readonly firstByteSeconds: number | undefined;
  readonly aborted: boolean;
  readonly colo: string;
  /** The error it ended with, if it did: a code of the registry. */
  readonly code: string | undefined;
}

/** Plain counts since the start, for the status page. `lastAt` in ms since 1970. */
export interface Tally {
  inFlight: number;
  requests: number;
  byStatus: Record<string, number>;
  byCaller: Record<string, { requests: number; lastColo: string; lastAt: number }>;
  clientAborts: number;
  upstreamErrors: number;
}

/** Counts into a registry of its own, so that two relays in one process (tests) do not mix. */
export interface Metrics {
  readonly registry: Registry;
  readonly tally: Readonly<Tally>;
  requestStarted(): void;
  requestEnded(request: EndedRequest): void;
  /** `kind` is an error code of the registry. */
  upstreamFailed(kind: string): void;
  close(): void;
}

const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new BatchedCounter({
    name: "slm_requests_total",
    help: "Requests that have ended.",
    labelNames: ["route", "status", "caller"] as const,
    registers,
  });
  const duration = new Histogram({
    name: "slm_request_duration_seconds",
    help: "From a request's arrival to the end of its answer.",
    labelNames: ["route"] as const,
    buckets: SECONDS,
    registers,
  });
  const firstByte = new Histogram({
    name: "slm_first_byte_seconds",
    help: "From a request's arrival to the headers of its answer.",
    labelNames: ["route"] as const,
    buckets: SECONDS,
    registers,
  });
  new Gauge({
    name: "slm_requests_in_flight",
    help: "Requests running now.",
    registers,
    collect() {
      this.set(tally.inFlight);
    },
  });
  const upstreamErrors = new Counter({
    name: "slm_upstream_errors_total",
    help: "Requests the model server did not answer, or not to the end.",
    labelNames: ["kind"] as const,
    registers,
  });
  const errors = new Counter({
    name: "slm_errors_total",
    help: "Requests the relay answered with an error of its own, or cut.",
    labelNames: ["code", "caller"] as const,
    registers,
  });
  const aborts = new Counter({
    name: "slm_client_aborts_total",
    help: "Requests whose caller left before the answer's end.",
    labelNames: ["route", "caller"] as const,
    registers,
  });
  const entries = new BatchedCounter({
    name: "slm_entry_colo_total",
    help: "Requests by the Cloudflare location they came in at (suffix of CF-Ray).",
    labelNames: ["colo", "caller"] as const,
    registers,
  });
  const tally: Tally = { inFlight: 0, requests: 0, byStatus: {}, byCaller: {}, clientAborts: 0, upstreamErrors: 0 };
  const requestsOf = memoize((route, status, caller) =>
    requests.cell({ route: route!, status: status!, caller: caller! }),
  );
  const entriesOf = memoize((colo, caller) => entries.cell({ colo: colo!, caller: caller! }));

  return {
    registry,
    tally,
    requestStarted() {
      tally.inFlight += 1;
    },
    requestEnded({ route, status, caller, seconds, firstByteSeconds, aborted, colo, code }) {
      tally.inFlight -= 1;
      requestsOf(route, String(status), caller).n += 1;
      duration.observe({ route }, seconds);
      if (code !== undefined) errors.inc({ code, caller });
      if (firstByteSeconds !== undefined) firstByte.observe({ route }, firstByteSeconds);
      tally.requests += 1;
      tally.byStatus[status] = (tally.byStatus[status] ?? 0) + 1;
      if (aborted) {
        aborts.inc({ route, caller });
        tally.clientAborts += 1;
      }
      if (caller === "-") return; // a location nobody vouches for
      entriesOf(colo, caller).n += 1;
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
