/** A collector: takes traces by OTLP/HTTP and decodes them with OpenTelemetry's own protobuf definitions. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createRequire } from "node:module";
import { onTestFinished } from "vitest";
import { portOf } from "../harness.ts";

/** A value of an attribute, as protobufjs decodes it. */
interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
  readonly arrayValue?: { readonly values: readonly AnyValue[] };
}

interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly { readonly key: string; readonly value: AnyValue }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code?: string; readonly message?: string };
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { readonly key: string; readonly value: AnyValue }[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

// The generated definitions; newer releases of the package no longer contain them.
const { opentelemetry } = createRequire(import.meta.url)("otlp-protobufs/build/src/generated/root.js") as {
  opentelemetry: { proto: { collector: { trace: { v1: { ExportTraceServiceRequest: ProtobufType } } } } };
};
interface ProtobufType {
  decode(bytes: Uint8Array): unknown;
  verify(message: unknown): string | null;
  toObject(message: unknown, options: object): unknown;
}
const { ExportTraceServiceRequest } = opentelemetry.proto.collector.trace.v1;

export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** "" for a root. */
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  /** `SERVER`, `CLIENT`, `INTERNAL`, `CONSUMER`. */
  readonly kind: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly failed: boolean;
  readonly ms: number;
}

export interface Collector {
  readonly url: string;
  readonly spans: readonly Span[];
  /** `service.name` of the last export. */
  readonly service: () => unknown;
  readonly headers: readonly IncomingHttpHeaders[];
  /** All bytes that came, as Latin-1: to search for what must not be there. */
  readonly bytes: () => string;
  /** Resolves with the spans once `found` holds for them. */
  until(found: (spans: readonly Span[]) => boolean): Promise<readonly Span[]>;
}

const plain = (value: AnyValue): unknown =>
  value.arrayValue?.values.map(plain) ??
  value.stringValue ??
  value.boolValue ??
  value.doubleValue ??
  (value.intValue === undefined ? undefined : Number(value.intValue));

const attributesOf = (list: WireSpan["attributes"] = []) =>
  Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));

const hex = (base64 = "") => Buffer.from(base64, "base64").toString("hex");

function spanOf(span: WireSpan): Span {
  if (span.status?.message) throw new Error(`a span's status has a message: ${span.status.message}`);
  return {
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentId: hex(span.parentSpanId),
    traceState: span.traceState ?? "",
    name: span.name,
    kind: span.kind.replace("SPAN_KIND_", ""),
    attributes: attributesOf(span.attributes),
    links: (span.links ?? []).map((link) => ({ traceId: hex(link.traceId), spanId: hex(link.spanId) })),
    failed: span.status?.code === "STATUS_CODE_ERROR",
    ms: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
  };
}

/** @param answer the status of each answer */
export async function startCollector(answer: () => number = () => 200): Promise<Collector> {
  const spans: Span[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const waiting = new Set<() => void>();
  let service: unknown;
  let bytes = "";
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      headers.push(req.headers);
      if (
        req.method !== "POST" ||
        req.url !== "/v1/traces" ||
        req.headers["content-type"] !== "application/x-protobuf"
      ) {
        return void res.writeHead(404).end();
      }
      const status = answer();
      if (status !== 200) return void res.writeHead(status).end();
      const body = Buffer.concat(chunks);
      bytes += body.toString("latin1");
      const message = ExportTraceServiceRequest.decode(body);
      const problem = ExportTraceServiceRequest.verify(message);
      if (problem !== null) throw new Error(problem);
      const decoded = ExportTraceServiceRequest.toObject(message, { enums: String, longs: String, bytes: String });
      for (const { resource, scopeSpans } of (decoded as ExportRequest).resourceSpans) {
        service = attributesOf(resource.attributes)["service.name"];
        for (const scope of scopeSpans) spans.push(...scope.spans.map(spanOf));
      }
      res.writeHead(200, { "Content-Type": "application/x-protobuf" }).end();
      for (const look of waiting) look();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    spans,
    headers,
    service: () => service,
    bytes: () => bytes,
    until: (found) =>
      new Promise((resolve) => {
        const look = () => {
          if (!found(spans)) return;
          waiting.delete(look);
          resolve(spans);
        };
        waiting.add(look);
        look();
      }),
  };
}

/** A span and what is under it: `name [children …]`, children in the order of their start on the wire. */
export interface Tree {
  readonly span: Span;
  readonly children: readonly Tree[];
}

export function treeOf(root: Span, spans: readonly Span[]): Tree {
  const children = spans.filter(({ traceId, parentId }) => traceId === root.traceId && parentId === root.spanId);
  return { span: root, children: children.map((child) => treeOf(child, spans)) };
}

/** The names of a tree as nested arrays. */
export type Names = string | readonly [string, ...Names[]];
export const namesOf = ({ span, children }: Tree): Names =>
  children.length === 0 ? span.name : [span.name, ...children.map(namesOf)];
