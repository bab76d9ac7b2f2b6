/** The HTTP API of `/v1/documents` and `/v1/documents/search`. */
import { createHash } from "node:crypto";
import type { Caller } from "../../config.ts";
import { checkCompany, companiesOf, type DocumentKey, readName } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { sendJson } from "../http/json-output.ts";
import { reserveLargest } from "../memory/budget.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { cursorOf, type DocumentQuery, readQuery } from "./bodies.ts";
import { clientOf } from "./client.ts";
import type { Documents } from "./documents.ts";
import { startProgress } from "./progress.ts";
import type { Miss } from "./repository.ts";
import { type DocumentContent, type DocumentMeta, MAX_DOCUMENT_BYTES } from "./store.ts";
import { StoreUnavailable } from "./store-guard.ts";
import { base64Of, rowOf } from "./vectors.ts";

/** A request for documents whose caller is known. `body` reads it whole. */
export interface DocumentsRequest {
  readonly exchange: HeldExchange;
  readonly caller: Caller;
  readonly route: "/v1/documents" | "/v1/documents/search";
  readonly body: () => Promise<Buffer>;
  /** Its row of the ledger; undefined for a deletion. */
  readonly usage?: UsageEntry | undefined;
}

/** Answers it. @throws RelayError `document_*`, `documents_unavailable`, `company_*`, `model_*`, `embedding_refused` */
export async function serveDocuments(request: DocumentsRequest, documents: Documents): Promise<void> {
  try {
    if (request.route === "/v1/documents/search") return await search(request, documents);
    const query = readQuery(request.exchange.query);
    if (query.company !== undefined) checkCompany(request.caller, query.company);
    const { method } = request.exchange.req;
    if (method === "PUT") return await put(request, query, documents);
    if (method === "DELETE") return await remove(request, query, documents);
    if (query.title === undefined) return await list(request, query, documents);
    return await look(request, query, documents);
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause;
    throw new RelayError("documents_unavailable", "The document store does not answer. Try again later.", {
      headers: { "Retry-After": "5" },
      cause,
    });
  }
}

async function look({ exchange, usage }: DocumentsRequest, query: DocumentQuery, documents: Documents): Promise<void> {
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

async function put(request: DocumentsRequest, query: DocumentQuery, documents: Documents): Promise<void> {
  const { exchange } = request;
  const key = keyOf(query);
  count(request, key.company);
  const body = await request.body();
  // Continues after the client has disconnected, and so does its memory: texts, whole and cut, and the vectors made of them.
  const holding = exchange.holding.retain();
  try {
    holding?.memory.grow(makingBytes(body.length));
    await putBody(request, key, body, query, documents);
  } finally {
    holding?.release();
  }
}

/** Counts a write or a search against the quotas. Its tokens are reserved once it is known what must be embedded. */
function count({ exchange: { res }, usage }: DocumentsRequest, company: string): void {
  if (usage === undefined) return;
  usage.company = company;
  const left = usage.admit(0).headers();
  for (const name in left) res.addHeader(name, left[name]!);
}

async function putBody(
  { exchange, caller, usage }: DocumentsRequest,
  key: DocumentKey,
  body: Buffer,
  query: DocumentQuery,
  documents: Documents,
): Promise<void> {
  const { version = query.version, ...source } = await documents.reader.put(caller.name, body);
  const reserve = reserveLargest(exchange.holding.memory);
  const streamed = /\btext\/event-stream\b/.test(exchange.req.headers.accept ?? "");
  const progress = streamed ? startProgress(exchange) : undefined;
  try {
    const result = await documents.put({
      key,
      version,
      source,
      caller,
      client: clientOf(exchange, usage),
      reserve,
      onProgress: progress?.step,
    });
    const { meta, created, embedded, reused, stored } = result;
    usage?.reused(reused);
    if (wantsContent(query)) exchange.holding.memory.grow(answerBytes(meta, query));
    const content = wantsContent(query) ? (result.content ?? (await documents.repository.content(meta))) : undefined;
    const answer = {
      ...describe(meta, documents),
      created,
      embedded,
      reused,
      stored,
      ...contentOf(meta, content, query),
    };
    if (progress !== undefined) return await progress.done(answer);
    exchange.res.setHeader("ETag", etagOf(meta, query));
    await send(exchange, created ? 201 : 200, answer);
  } catch (cause) {
    if (progress === undefined) throw cause;
    progress.failed(cause);
  }
}

async function remove({ exchange }: DocumentsRequest, query: DocumentQuery, { repository }: Documents): Promise<void> {
  const company = readName("company", query.company);
  if (query.title === undefined && !query.all) {
    throw new RelayError(
      "document_invalid",
      "Name the title, or say all=true to remove every document of the company.",
    );
  }
  if (query.title !== undefined && query.all) {
    throw new RelayError("document_invalid", "Give either title or all=true, not both.");
  }
  await send(exchange, 200, {
    object: "document.deleted",
    company,
    deleted: await repository.remove(company, query.title),
  });
}

async function list(
  { exchange, caller, usage }: DocumentsRequest,
  query: DocumentQuery,
  documents: Documents,
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

async function search(request: DocumentsRequest, documents: Documents): Promise<void> {
  const { exchange, caller, usage } = request;
  const body = await request.body();
  exchange.holding.memory.grow(3 * body.length);
  const wanted = await documents.reader.search(caller.name, body);
  const reserve = reserveLargest(exchange.holding.memory);
  checkCompany(caller, wanted.company);
  count(request, wanted.company);
  const { found, missing, tokens } = await documents.search({
    ...wanted,
    caller,
    client: clientOf(exchange, usage),
    reserve,
    signal: exchange.signal,
  });
  usage?.fromCache();
  const answer = { data: found, missing, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  await send(exchange, 200, { object: "list", ...answer });
}

/** Estimated vectors of a text, in bytes: a chunk has up to 1,000 characters and about 4,096 numbers. */
function makingBytes(bytes: number): number {
  return 3 * bytes + Math.min(MAX_DOCUMENT_BYTES, 16 * 1024 + 16 * bytes);
}

/** Memory of an answer with contents: the stored document, and the text that is sent. */
function answerBytes({ bytes }: DocumentMeta, { include, base64 }: DocumentQuery): number {
  return bytes + (include.vectors && !base64 ? 6 : 2) * bytes;
}

const wantsContent = ({ include }: DocumentQuery): boolean => include.chunks || include.vectors;

function keyOf({ company, title }: DocumentQuery) {
  return { company: readName("company", company), title: readName("title", title) };
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

/** The ETag: one per form of an answer; it changes with version, model, contents and `include`. */
function etagOf({ version, fingerprint, revision }: DocumentMeta, { include, base64 }: DocumentQuery): string {
  const form = [version, fingerprint, revision, include.chunks, include.vectors, include.vectors && base64];
  return `"${createHash("sha256").update(JSON.stringify(form)).digest("base64url").slice(0, 27)}"`;
}

function matches(header: string, tag: string): boolean {
  if (header.trim() === "*") return true;
  return header.split(",").some((one) => one.trim().replace(/^W\//, "") === tag);
}

function describe(meta: DocumentMeta, { repository }: Documents) {
  const { company, title, version, fingerprint, model, dimensions, chunkCount, bytes, createdAt, lastAccessedAt } =
    meta;
  const iso = (at: number) => new Date(at).toISOString();
  const times = { created: iso(createdAt), used: iso(lastAccessedAt), expires: iso(repository.expiresAt(meta)) };
  return {
    object: "document",
    company,
    title,
    version,
    fingerprint,
    model,
    dimensions,
    chunk_count: chunkCount,
    bytes,
    created_at: times.created,
    last_accessed_at: times.used,
    expires_at: times.expires,
    // The names of version 0.1, for one version.
    chunkCount,
    createdAt: times.created,
    lastAccessedAt: times.used,
    expiresAt: times.expires,
  };
}

function contentOf(meta: DocumentMeta, content: DocumentContent | undefined, { include, base64 }: DocumentQuery) {
  if (content === undefined) return {};
  return { data: piecesOf(meta, content, include, base64) };
}

/** Chunks one by one, as they are written, so that an answer needs no memory beside the document's. */
function* piecesOf(
  { dimensions }: DocumentMeta,
  { chunks, vectors }: DocumentContent,
  include: DocumentQuery["include"],
  base64: boolean,
): Generator<object> {
  for (const [index, { text }] of chunks.entries()) {
    const vector = rowOf(vectors, dimensions, index);
    yield {
      index,
      text: include.chunks ? text : undefined,
      vector: include.vectors ? (base64 ? base64Of(vector) : vector) : undefined,
    };
  }
}

function send(exchange: HeldExchange, status: number, value: unknown): Promise<void> {
  return sendJson(exchange.res, status, value);
}
