/** The HTTP API of `/v1/documents` and `/v1/documents/search`. */
import type { Caller } from "../../config.ts";
import { companiesOf } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { sendJson } from "../http/json-output.ts";
import { cursorOf, type DocumentQuery } from "./bodies.ts";
import type { Miss } from "./repository.ts";
import { contentOf, describe, etagOf, keyOf, wantsContent } from "./representation.ts";
import { serveWork, type WorkParts } from "./serve-work.ts";
import { StoreUnavailable } from "./store-guard.ts";
import { answerBytes, ownQuery, storeAway } from "./work.ts";

/** A request for documents whose caller is known. `body` reads it whole. */
export interface DocumentsRequest {
  readonly exchange: HeldExchange;
  readonly caller: Caller;
  readonly route: "/v1/documents" | "/v1/documents/search";
  readonly body: () => Promise<Buffer>;
}

const NOTHING = Buffer.alloc(0);

/** Answers it. @throws RelayError as `serveWork` does */
export async function serveDocuments(request: DocumentsRequest, parts: WorkParts): Promise<void> {
  const { exchange, caller, route } = request;
  const { method } = exchange.req;
  const { query: text } = exchange;
  const work = { caller, query: text, key: undefined };
  if (route === "/v1/documents/search") {
    return serveWork(exchange, { ...work, kind: "search", body: await request.body() }, parts);
  }
  const query = ownQuery(text, caller);
  if (method === "PUT") {
    keyOf(query); // before the body is read
    return serveWork(exchange, { ...work, kind: "put", body: await request.body() }, parts);
  }
  if (method === "DELETE") return serveWork(exchange, { ...work, kind: "remove", body: NOTHING }, parts);
  try {
    if (query.title === undefined) return await list(request, query, parts);
    return await look(request, query, parts);
  } catch (cause) {
    throw cause instanceof StoreUnavailable ? storeAway(cause) : cause;
  }
}

async function look(
  { exchange }: DocumentsRequest,
  query: DocumentQuery,
  { documents, usage }: WorkParts,
): Promise<void> {
  const key = keyOf(query);
  if (usage !== undefined) usage.company = key.company;
  const found = await documents.lookUp(key, query.version);
  if (typeof found === "string") throw missed(found);
  usage?.reused(found.chunkCount);
  const { req } = exchange;
  const tag = etagOf(found, query);
  exchange.res.setHeader("ETag", tag);
  const known = req.headers["if-none-match"];
  if (known !== undefined && matches(known, tag)) {
    exchange.res.writeHead(304).end();
    return;
  }
  if (wantsContent(query)) exchange.holding.memory.grow(answerBytes(found, query));
  const content = wantsContent(query) ? await documents.repository.content(found) : undefined;
  if (content === undefined && wantsContent(query)) throw missed("absent"); // just replaced or removed
  await send(exchange, 200, { ...describe(found, documents), ...contentOf(found, content, query) });
}

async function list(
  { exchange, caller }: DocumentsRequest,
  query: DocumentQuery,
  { documents, usage }: WorkParts,
): Promise<void> {
  usage?.discard();
  const { limit, after, company } = query;
  const companies = company === undefined ? companiesOf(caller) : [company];
  const found = await documents.repository.list({ companies, after, limit: limit + 1 });
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const next = found.length > limit && last !== undefined ? cursorOf(last) : null;
  await send(exchange, 200, { object: "list", data: page.map((meta) => describe(meta, documents)), next });
}

function missed(why: Miss): RelayError {
  const words: Record<Miss, string> = {
    absent: "The document is not stored.",
    version: "The document is stored in another version.",
    model: "The document was embedded by another model, or in another way.",
    store_away: "The document store does not answer; every look-up is a miss until it is back.",
  };
  return new RelayError("document_not_found", words[why], { headers: { "Slm-Miss": why.replace("_", "-") } });
}

function matches(header: string, tag: string): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((one) => one.trim().replace(/^W\//, "") === tag);
}

function send(exchange: HeldExchange, status: number, value: unknown): Promise<void> {
  return sendJson(exchange.res, status, value);
}
