/** Requests for document vectors: on the documents' own paths, and embedding calls whose headers name a document. */
import { serveDocuments } from "./documents/api.ts";
import { documentOf } from "./documents/embeddings-api.ts";
import { serveWork, type WorkParts } from "./documents/serve-work.ts";
import { acceptBody, beginUsage, fail, type Held, type Parts, receiveBody } from "./handler-parts.ts";
import type { Exchange } from "./http/exchange.ts";
import type { ModelCall, Route } from "./http/router.ts";
import { readMetadata } from "./jobs/metadata.ts";
import type { UsageEntry } from "./usage/entry.ts";
import type { UsageKind } from "./usage/row.ts";

export async function serveDocumentsRequest(
  { exchange, caller, company }: Held,
  { name }: Extract<Route, { kind: "documents" }>,
  parts: Parts,
): Promise<void> {
  const kind = documentKind(name, exchange.req.method);
  const body = () => receiveBody(exchange, parts);
  const request = { exchange, caller, route: name, body };
  if (kind === undefined) return serveDocuments(request, workParts(exchange, parts, undefined));
  const usage = beginUsage(exchange, { kind, caller, company, dialect: "relay", path: name }, parts);
  if (kind !== "lookup") usage.model = parts.config.model.embeddingModel;
  try {
    await serveDocuments(request, workParts(exchange, parts, usage));
  } finally {
    usage.workEnds();
  }
}

/** What a request for documents is in the ledger; undefined: it is none, as a deletion. */
function documentKind(route: string, method: string | undefined): UsageKind | undefined {
  if (route === "/v1/documents/search") return "search";
  if (method === "PUT") return "document";
  return method === "GET" || method === "HEAD" ? "lookup" : undefined;
}

/** An embedding call whose headers name a document. */
export async function serveDocumentEmbeddings(
  held: Held<ModelCall>,
  usage: UsageEntry | undefined,
  parts: Parts,
): Promise<void> {
  const { exchange, caller, company } = held;
  const key = documentOf(exchange.req, company);
  const { body, facts } = await acceptBody(held, parts);
  if (usage !== undefined) usage.model = facts.models[0] ?? null;
  const work = { kind: "embeddings", caller, query: exchange.query, key, body } as const;
  return serveWork(exchange, work, workParts(exchange, parts, usage), () => readMetadata(body, facts));
}

function workParts(exchange: Exchange, parts: Parts, usage: UsageEntry | undefined): WorkParts {
  return { ...parts, usage, fail: (cause, writer) => fail(exchange, cause, parts, writer) };
}
