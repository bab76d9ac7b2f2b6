/**
 * What the path of a request knows of traces: these types, and nothing of OpenTelemetry. Without `telemetry.otlp` there is no
 * `Tracing`, and each place that would use it tests for undefined. The implementation is in `tracing/`.
 */
import type { IncomingHttpHeaders } from "node:http";

/** How a request ended. Never a header, a query, a body or a token. */
export interface EndedRequestSpan {
  /** The path's pattern. */
  readonly route: string;
  readonly status: number;
  /** Name of the calling server, "people", or "-" before the Access check. */
  readonly caller: string;
  /** Code of the relay's error, if the request ended with one. */
  readonly code: string | undefined;
  /** The client disconnected before the end of the response. */
  readonly aborted: boolean;
  readonly colo: string;
  /** Code of the error that the request would have got, had the fallback server not been asked. */
  readonly fallback: string | undefined;
  /** By the clock of `performance`. */
  readonly endedAt: number;
}

/** The trace of a request: its server span, under which everything that happens for it is recorded. */
export interface RequestTrace {
  /** 32 hex digits. */
  readonly traceId: string;
  /** Runs the work as part of this trace. */
  run<T>(work: () => T): T;
  /** Ends the server span. Once. */
  end(ended: EndedRequestSpan): void;
}

/** A run of a job: a trace of its own, linked to the one of the request that submitted it. */
export interface JobTrace {
  run<T>(work: () => T): T;
  /** Ends the span of the run. @param outcome as the metrics have it; undefined: the run was given up */
  end(outcome: string | undefined): void;
}

/** What is known of a job when its run begins. */
export interface JobToTrace {
  readonly id: string;
  readonly owner: string;
  readonly lane: string;
  readonly path: string;
  /** As stored; `traceparent` is that of the request that submitted it. */
  readonly headers: Readonly<Record<string, string>>;
  /** When it began to wait for its slot, and when it got it; by the clock of `performance`. */
  readonly waitedFrom: number;
  readonly gotSlotAt: number;
}

/** Records traces. */
export interface Tracing {
  /** Begins the trace of a request, or continues the caller's. @param receivedAt by the clock of `performance` */
  request(method: string, headers: IncomingHttpHeaders, receivedAt: number): RequestTrace;
  /** Begins the trace of a job's run. */
  job(job: JobToTrace): JobTrace;
  /** Runs work outside of the current trace: what a request sets off, and does not wait for. */
  detached<T>(work: () => T): T;
  /** Sets `traceparent` and `tracestate` to the current span, if there is one, in place of what is there. */
  inject(headers: Record<string, string>): void;
}
