/** Traces by OpenTelemetry's SDK. This file and what it imports are loaded only with `telemetry.otlp`. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingHttpHeaders } from "node:http";
import {
  type Attributes,
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { parseTraceParent, TRACE_PARENT_HEADER, TRACE_STATE_HEADER, TraceState } from "@opentelemetry/core";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import {
  ParentBasedSampler,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { OtlpConfig } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { ClientDisconnected } from "../http/body.ts";
import type { EndedRequestSpan, JobToTrace, JobTrace, RequestTrace, Tracing } from "../telemetry/trace.ts";
import { createExport, type ExportParts } from "./export.ts";
import { ATTRIBUTES, CLIENT_DISCONNECTED, methodName, OTHER_ERROR, OWN, SCHEMA_URL, SPANS } from "./names.ts";

/** How long a stopping relay waits for the collector. */
const FLUSH_MS = 2000;
/** Longest `traceparent` that is read: later versions may be longer than the 55 characters of today's. */
const LONGEST_TRACE_PARENT = 256;

/** What a child span is about. */
export interface ChildSpan {
  /** @default INTERNAL */
  readonly kind?: SpanKind;
  readonly attributes: Attributes;
}

export class OtelTracing implements Tracing {
  readonly #current = new AsyncLocalStorage<Context>();
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  constructor(otlp: OtlpConfig, headers: Readonly<Record<string, string>>, parts: ExportParts) {
    this.#provider = new TracerProvider({
      resource: defaultResource().merge(resourceFromAttributes({ [ATTRIBUTES.SERVICE_NAME]: otlp.serviceName })),
      sampler: new ParentBasedSampler({ root: new LinkSampler(otlp.samplingRatio) }),
      spanLimits: { attributeValueLengthLimit: 256 },
      spanProcessors: [createExport(otlp, headers, parts)],
    });
    this.#tracer = this.#provider.getTracer("slm-network", undefined, { schemaUrl: SCHEMA_URL });
  }

  request(method: string, headers: IncomingHttpHeaders, receivedAt: number): RequestTrace {
    const caller = remoteContext(headers);
    const parent = caller === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, caller);
    const name = methodName(method);
    const attributes = { [ATTRIBUTES.HTTP_REQUEST_METHOD]: name };
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, startTime: receivedAt, attributes }, parent);
    const context = trace.setSpan(parent, span);
    return {
      traceId: span.spanContext().traceId,
      run: (work) => this.#current.run(context, work),
      end: (ended) => endRequest(span, name, ended),
    };
  }

  job({ id, owner, lane, path, headers, waitedFrom, gotSlotAt }: JobToTrace): JobTrace {
    const submitted = remoteContext(headers);
    const links = submitted === undefined ? [] : [{ context: submitted }];
    const attributes = { [OWN.JOB]: id, [OWN.CALLER]: owner, [OWN.QUEUE]: lane, [ATTRIBUTES.HTTP_ROUTE]: path };
    const span = this.#tracer.startSpan(
      SPANS.JOB,
      { kind: SpanKind.CONSUMER, startTime: waitedFrom, attributes, links },
      ROOT_CONTEXT,
    );
    const context = trace.setSpan(ROOT_CONTEXT, span);
    const queue = { [OWN.QUEUE]: lane, [OWN.BACKGROUND]: true };
    this.#tracer.startSpan(SPANS.QUEUE, { startTime: waitedFrom, attributes: queue }, context).end(gotSlotAt);
    return {
      run: (work) => this.#current.run(context, work),
      end(outcome) {
        if (outcome !== undefined) span.setAttribute(OWN.JOB_OUTCOME, outcome);
        if (outcome !== "answered") span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      },
    };
  }

  detached<T>(work: () => T): T {
    return this.#current.exit(work);
  }

  inject(headers: Record<string, string>): void {
    const context = this.#current.getStore();
    const current = context && trace.getSpanContext(context);
    if (current === undefined) return;
    headers[TRACE_PARENT_HEADER] =
      `00-${current.traceId}-${current.spanId}-${current.traceFlags & TraceFlags.SAMPLED ? "01" : "00"}`;
    const state = current.traceState?.serialize();
    if (state) headers[TRACE_STATE_HEADER] = state;
    else delete headers[TRACE_STATE_HEADER];
  }

  /** Of the current trace. */
  get traceId(): string | undefined {
    const context = this.#current.getStore();
    return context && trace.getSpanContext(context)?.traceId;
  }

  /**
   * Runs the work in a span of its own under the current one, and ends the span with it. Without a current span that is
   * recorded, the work gets none. What the work throws decides the span's status; its message never becomes part of it, since
   * it may quote a prompt.
   */
  async child<T>(
    name: string,
    { kind = SpanKind.INTERNAL, attributes }: ChildSpan,
    work: (span: Span | undefined) => Promise<T>,
  ): Promise<T> {
    const parent = this.#current.getStore();
    if (parent === undefined || trace.getSpan(parent)?.isRecording() !== true) return work(undefined);
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent);
    try {
      return await this.#current.run(trace.setSpan(parent, span), work, span);
    } catch (cause) {
      span.setAttribute(ATTRIBUTES.ERROR_TYPE, errorType(cause));
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw cause;
    } finally {
      span.end();
    }
  }

  /** Sends what is left, within 2 s. Never rejects. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FLUSH_MS);
    });
    await Promise.race([this.#provider.shutdown().catch(() => {}), late]);
    clearTimeout(timer);
  }
}

function endRequest(span: Span, method: string, ended: EndedRequestSpan): void {
  const { route, status, caller, code, aborted, colo, fallback, endedAt } = ended;
  if (span.isRecording()) {
    span.updateName(`${method} ${route}`);
    span.setAttributes({
      [ATTRIBUTES.HTTP_ROUTE]: route,
      [ATTRIBUTES.HTTP_RESPONSE_STATUS_CODE]: status,
      [OWN.CALLER]: caller,
      [OWN.COLO]: colo,
    });
    if (fallback !== undefined) span.setAttribute(OWN.FALLBACK, fallback);
    if (aborted) span.setAttributes({ [OWN.ABORTED]: true, [ATTRIBUTES.ERROR_TYPE]: CLIENT_DISCONNECTED });
    if (code !== undefined) span.setAttribute(ATTRIBUTES.ERROR_TYPE, code);
    // A server's span leaves 4xx unset: the caller was wrong. Source: docs/http/http-spans.md of the conventions
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end(endedAt);
}

function errorType(cause: unknown): string {
  if (cause instanceof RelayError) return cause.code;
  return cause instanceof ClientDisconnected ? CLIENT_DISCONNECTED : OTHER_ERROR;
}

/**
 * The span in W3C's headers; undefined without a valid one. Of the flags only "sampled" is read.
 * Source: https://www.w3.org/TR/trace-context/
 */
function remoteContext(headers: IncomingHttpHeaders | Readonly<Record<string, string>>): SpanContext | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== "string" || traceparent.length > LONGEST_TRACE_PARENT) return undefined;
  const parsed = parseTraceParent(traceparent);
  if (parsed === null) return undefined;
  return {
    traceId: parsed.traceId,
    spanId: parsed.spanId,
    traceFlags: parsed.traceFlags & TraceFlags.SAMPLED,
    isRemote: true,
    // Takes at most 32 members and 512 characters.
    ...(typeof tracestate === "string" && { traceState: new TraceState(tracestate) }),
  };
}

/** A job is sampled if the request that submitted it was; a trace without a link by the ratio. */
class LinkSampler implements Sampler {
  readonly #ratio: Sampler;

  constructor(ratio: number) {
    this.#ratio = new TraceIdRatioBasedSampler(ratio);
  }

  shouldSample(...call: Parameters<Sampler["shouldSample"]>) {
    const links: Link[] = call[5];
    const [link] = links;
    if (link === undefined) return this.#ratio.shouldSample(...call);
    const isSampled = (link.context.traceFlags & TraceFlags.SAMPLED) !== 0;
    return { decision: isSampled ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
  }

  toString(): string {
    return `Link{${this.#ratio.toString()}}`;
  }
}
