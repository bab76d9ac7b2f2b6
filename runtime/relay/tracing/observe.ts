/** Wraps the relay's parts so that their calls become spans. The parts know nothing of it. */
import { type Attributes, type Span, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { CheckAccess } from "../access/access.ts";
import type { Admission } from "../admission/admission.ts";
import type { EmbeddingServer } from "../documents/embedding-server.ts";
import type { DocumentStore } from "../documents/store.ts";
import type { Sink } from "../http/answer-writer.ts";
import type { JobStore } from "../jobs/store.ts";
import type { Fallback } from "../model/fallback.ts";
import type { Upstream, UpstreamCall } from "../model/upstream.ts";
import type { Usage } from "../usage/usage.ts";
import { AnswerFacts, modelIn } from "./answer-facts.ts";
import { ATTRIBUTES, methodName, OWN, operationOf, SPANS, STORE_SYSTEMS } from "./names.ts";
import type { OtelTracing } from "./otel.ts";

/** A model server, as its spans name it. */
export interface NamedServer {
  /** `gen_ai.provider.name`. */
  readonly provider: string;
  readonly url: string;
}

/** Each part, with its calls recorded. */
export interface Observers {
  access(check: CheckAccess): CheckAccess;
  admission(admission: Admission): Admission;
  upstream(upstream: Upstream, server: NamedServer): Upstream;
  fallback(fallback: Fallback, server: NamedServer): Fallback;
  embeddingServer(server: EmbeddingServer, named: NamedServer): EmbeddingServer;
  documentStore(store: DocumentStore, kind: keyof typeof STORE_SYSTEMS): DocumentStore;
  jobStore(store: JobStore): JobStore;
}

/** Operations of the stores that a request or a job waits for. What runs in the background is not a part of any trace. */
const DOCUMENT_OPERATIONS = [
  ...(["meta", "content", "declareWrite", "hasRoom", "put", "withdrawWrite", "setVersion", "remove"] as const),
  ...(["removeCompany", "list", "lease", "releaseLease"] as const),
] satisfies (keyof DocumentStore)[];
const JOB_OPERATIONS = [
  ...(["add", "claimKey", "releaseKey", "keepAnswer", "find", "list", "answer", "answerHead", "claim"] as const),
  ...(["finish", "failForRoom", "failAttempt", "cancel", "remove"] as const),
] satisfies (keyof JobStore)[];

export function createObservers(tracing: OtelTracing): Observers {
  /** The store with these operations recorded; the others are its own. */
  const observed = <S extends object>(
    store: S,
    operations: readonly (keyof S & string)[],
    span: string,
    system: string,
  ): S => {
    const recorded = new Map<PropertyKey, unknown>();
    for (const operation of operations) {
      const own = store[operation] as (...args: unknown[]) => Promise<unknown>;
      const attributes = { [ATTRIBUTES.DB_SYSTEM_NAME]: system, [ATTRIBUTES.DB_OPERATION_NAME]: operation };
      recorded.set(operation, (...args: unknown[]) =>
        tracing.child(`${span} ${operation}`, { kind: SpanKind.CLIENT, attributes }, () => own.apply(store, args)),
      );
    }
    return new Proxy(store, {
      get(target, key) {
        const value: unknown = recorded.get(key) ?? Reflect.get(target, key, target);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  };

  const modelCall = (
    { target, method, body, dialect, model = modelIn(body) }: UpstreamCall,
    to: Sink,
    server: NamedServer,
    forward: (to: Sink) => Promise<void>,
  ): Promise<void> => {
    const { name, attributes } = modelSpan(target, method, model, server);
    return tracing.child(name, { kind: SpanKind.CLIENT, attributes }, async (span) => {
      if (span === undefined) return forward(to);
      const facts = new AnswerFacts(to, dialect);
      try {
        await forward(facts);
      } finally {
        describeAnswer(span, facts);
      }
    });
  };

  return {
    access: (check) => (audience, headers) =>
      tracing.child(SPANS.ACCESS, { attributes: {} }, async () => check(audience, headers)),
    admission: (admission) => ({
      ...admission,
      acquire(request) {
        const attributes = { [OWN.QUEUE]: request.queue, [OWN.BACKGROUND]: request.background === true };
        return tracing.child(SPANS.QUEUE, { attributes }, () => admission.acquire(request));
      },
    }),
    upstream(upstream, server) {
      const forward = (call: UpstreamCall, to: Sink) =>
        modelCall(call, to, server, (sink) => {
          const headers = { ...call.headers };
          tracing.inject(headers);
          return upstream.forward({ ...call, headers }, sink);
        });
      return Object.assign(Object.create(upstream) as Upstream, { forward });
    },
    // Gets no trace context: ids of the company's own tracing stay on the premises.
    fallback: (fallback, server) => ({
      ...fallback,
      forward: (call, to) => modelCall(call, to, server, (sink) => fallback.forward(call, sink)),
    }),
    embeddingServer: (server, named) => ({
      ...server,
      embed(path, body, signal, headers) {
        const { name, attributes } = modelSpan(path, "POST", modelIn(body), named);
        return tracing.child(name, { kind: SpanKind.CLIENT, attributes }, () => {
          const withContext = { ...headers };
          tracing.inject(withContext);
          return server.embed(path, body, signal, withContext);
        });
      },
    }),
    documentStore: (store, kind) => observed(store, DOCUMENT_OPERATIONS, SPANS.DOCUMENTS, STORE_SYSTEMS[kind]),
    jobStore: (store) => observed(store, JOB_OPERATIONS, SPANS.JOBS, STORE_SYSTEMS.embedded),
  };
}

function modelSpan(target: string, method: string, model: string | undefined, { provider, url }: NamedServer) {
  const operation = operationOf(target);
  const { hostname, port, protocol } = new URL(url);
  const attributes: Attributes = {
    [ATTRIBUTES.SERVER_ADDRESS]: hostname,
    [ATTRIBUTES.SERVER_PORT]: Number(port) || (protocol === "https:" ? 443 : 80),
    ...(operation === undefined
      ? { [ATTRIBUTES.HTTP_REQUEST_METHOD]: methodName(method) }
      : { [ATTRIBUTES.GEN_AI_OPERATION_NAME]: operation, [ATTRIBUTES.GEN_AI_PROVIDER_NAME]: provider }),
    ...(model !== undefined && { [ATTRIBUTES.GEN_AI_REQUEST_MODEL]: model }),
  };
  const name = operation === undefined ? methodName(method) : [operation, model].filter(Boolean).join(" ");
  return { name, attributes };
}

function describeAnswer(span: Span, facts: AnswerFacts): void {
  const { status, id, model, finishReasons, isStream, firstChunkSeconds } = facts;
  if (status === undefined) return;
  span.setAttribute(ATTRIBUTES.HTTP_RESPONSE_STATUS_CODE, status);
  if (status >= 400) {
    span.setAttribute(ATTRIBUTES.ERROR_TYPE, String(status));
    span.setStatus({ code: SpanStatusCode.ERROR });
    return;
  }
  describeUsage(span, facts.usage);
  if (id !== undefined) span.setAttribute(ATTRIBUTES.GEN_AI_RESPONSE_ID, id);
  if (model !== undefined) span.setAttribute(ATTRIBUTES.GEN_AI_RESPONSE_MODEL, model);
  if (finishReasons.length > 0) span.setAttribute(ATTRIBUTES.GEN_AI_RESPONSE_FINISH_REASONS, finishReasons);
  if (!isStream) return;
  span.setAttribute(ATTRIBUTES.GEN_AI_REQUEST_STREAM, true);
  if (firstChunkSeconds !== undefined) {
    span.setAttribute(ATTRIBUTES.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, firstChunkSeconds);
  }
}

function describeUsage(span: Span, { prompt, output, cached }: Usage): void {
  if (prompt !== undefined) span.setAttribute(ATTRIBUTES.GEN_AI_USAGE_INPUT_TOKENS, prompt);
  if (output !== undefined) span.setAttribute(ATTRIBUTES.GEN_AI_USAGE_OUTPUT_TOKENS, output);
  if (cached !== undefined) span.setAttribute(ATTRIBUTES.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, cached);
}
