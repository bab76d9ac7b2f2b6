/** What requests about documents do, apart from how they are answered: over a connection, or as a job. */
import type { Caller } from "../../config.ts";
import { checkCompany, type DocumentKey, readName } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import { type Reservation, reserveLargest } from "../memory/budget.ts";
import { type DocumentQuery, readQuery } from "./bodies.ts";
import type { Documents } from "./documents.ts";
import type { Client } from "./embedding-work.ts";
import { contentOf, describe, etagOf, keyOf, repeatable, wantsContent } from "./representation.ts";
import { type DocumentMeta, MAX_DOCUMENT_BYTES } from "./store.ts";
import { StoreUnavailable } from "./store-guard.ts";
import { base64Of, rowOf } from "./vectors.ts";

/** A request for work on documents. */
export interface WorkRequest {
  readonly kind: WorkKind;
  readonly caller: Caller;
  /** With its `?`, or "". */
  readonly query: string;
  /** The document of an embedding call, from its headers. */
  readonly key: DocumentKey | undefined;
  readonly body: Buffer;
}

/** `remove` reads nothing but its query. */
export type WorkKind = "put" | "search" | "embeddings" | "remove";

/** Who waits for the work, and what it may use. */
export interface WorkRun {
  /** Absent: the result is always awaited. */
  readonly client: Client | undefined;
  /** Ends a search; see `ends`. */
  readonly signal: AbortSignal;
  /** Whether `signal` ends any work: a job's does, a connection's does not, since the next call finds what was stored. */
  readonly ends: boolean;
  /** Grows by what the work holds. */
  readonly memory: Reservation;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** An answer before it is written. `value` is JSON; vectors are iterated as they are sent, or kept, or both. */
export interface WorkAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: unknown;
}

/**
 * Does the work. @throws RelayError `document_*`, `documents_unavailable`, `company_*`, `model_*`, `embedding_refused`,
 * `memory_*`, `caller_disabled`
 */
export async function doWork(request: WorkRequest, run: WorkRun, documents: Documents): Promise<WorkAnswer> {
  try {
    return await WORK[request.kind](request, run, documents);
  } catch (cause) {
    if (!(cause instanceof StoreUnavailable)) throw cause;
    throw storeAway(cause);
  }
}

/** Refuses what `doWork` would refuse before it embeds anything: what is wrong with the request itself. */
export async function checkWork(request: WorkRequest, memory: Reservation, { reader }: Documents): Promise<string> {
  const { kind, caller, body, query } = request;
  if (kind === "search") {
    memory.grow(3 * body.length);
    const { company } = await reader.search(caller.name, body);
    checkCompany(caller, company);
    return company;
  }
  if (kind === "embeddings") {
    memory.grow(embeddingBytes(body.length));
    await reader.embeddings(caller.name, body);
    return documentOf(request).company;
  }
  const { company } = keyOf(ownQuery(query, caller));
  memory.grow(makingBytes(body.length));
  await reader.put(caller.name, body);
  return company;
}

/** @throws RelayError `document_invalid`, `document_name_invalid`, `company_not_allowed` */
export function ownQuery(text: string, caller: Caller): DocumentQuery {
  const query = readQuery(text);
  if (query.company !== undefined) checkCompany(caller, query.company);
  return query;
}

export function storeAway(cause: StoreUnavailable): RelayError {
  return new RelayError("documents_unavailable", "The document store does not answer. Try again later.", {
    headers: { "Retry-After": "5" },
    cause,
  });
}

const WORK: Readonly<
  Record<WorkKind, (request: WorkRequest, run: WorkRun, documents: Documents) => Promise<WorkAnswer>>
> = { put, search, embeddings, remove };

async function put({ caller, query: text, body }: WorkRequest, run: WorkRun, documents: Documents) {
  const query = ownQuery(text, caller);
  const key = keyOf(query);
  const { memory, client, onProgress } = run;
  client?.usage?.countFor(key.company);
  memory.grow(makingBytes(body.length));
  const { version = query.version, ...source } = await documents.reader.put(caller.name, body);
  const reserve = reserveLargest(memory);
  const signal = run.ends ? run.signal : undefined;
  const made = await documents.put({ key, version, source, caller, client, reserve, signal, onProgress });
  const { meta, created, embedded, reused, stored } = made;
  client?.usage?.reused(reused);
  if (wantsContent(query)) memory.grow(answerBytes(meta, query));
  const content = wantsContent(query) ? (made.content ?? (await documents.repository.content(meta))) : undefined;
  return {
    status: created ? 201 : 200,
    headers: { ETag: etagOf(meta, query) },
    value: { ...describe(meta, documents), created, embedded, reused, stored, ...contentOf(meta, content, query) },
  };
}

async function remove({ caller, query: text }: WorkRequest, _run: WorkRun, { repository }: Documents) {
  const query = ownQuery(text, caller);
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
  const deleted = await repository.remove(company, query.title);
  return { status: 200, headers: {}, value: { object: "document.deleted", company, deleted } };
}

async function search({ caller, body }: WorkRequest, { memory, client, signal }: WorkRun, documents: Documents) {
  memory.grow(3 * body.length);
  const wanted = await documents.reader.search(caller.name, body);
  const reserve = reserveLargest(memory);
  checkCompany(caller, wanted.company);
  client?.usage?.countFor(wanted.company);
  const { found, missing, tokens } = await documents.search({ ...wanted, caller, client, reserve, signal });
  client?.usage?.fromCache();
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return { status: 200, headers: {}, value: { object: "list", data: found, missing, usage } };
}

/**
 * Vectors in OpenAI's form. `usage` counts only the tokens that were really embedded; the headers `Slm-Embedded` and
 * `Slm-Reused` count the inputs that were and were not.
 */
async function embeddings(request: WorkRequest, run: WorkRun, documents: Documents): Promise<WorkAnswer> {
  const { caller, body } = request;
  const { memory, client } = run;
  const key = documentOf(request);
  checkCompany(caller, key.company);
  client?.usage?.countFor(key.company);
  memory.grow(embeddingBytes(body.length));
  const { model, inputs, dimensions, base64 } = await documents.reader.embeddings(caller.name, body);
  const reserve = reserveLargest(memory);
  const signal = run.ends ? run.signal : undefined;
  const made = await documents.embedInputs({ key, model, inputs, dimensions, caller, client, reserve, signal });
  client?.usage?.reused(made.reused);
  const data = repeatable(function* () {
    for (const index of inputs.keys()) {
      const vector = rowOf(made.vectors, made.dimensions, index);
      yield { object: "embedding", index, embedding: base64 ? base64Of(vector) : vector };
    }
  });
  const usage = { prompt_tokens: made.tokens, total_tokens: made.tokens };
  const headers = { "Slm-Embedded": String(made.embedded), "Slm-Reused": String(made.reused) };
  return {
    status: 200,
    headers: made.stored ? headers : { ...headers, "Slm-Stored": "false" },
    value: { object: "list", data, model, usage },
  };
}

function documentOf({ key }: WorkRequest): DocumentKey {
  if (key === undefined) throw new RelayError("internal", "An embedding call for a document names none.");
  return key;
}

/** Estimated vectors of a text, in bytes: a chunk has up to 1,000 characters and about 4,096 numbers. */
function makingBytes(bytes: number): number {
  return 3 * bytes + Math.min(MAX_DOCUMENT_BYTES, 16 * 1024 + 16 * bytes);
}

/** Texts, vectors, the answer's text, and the stored document. */
function embeddingBytes(bytes: number): number {
  return 3 * bytes + 2 * Math.min(MAX_DOCUMENT_BYTES, 16 * 1024 + 16 * bytes);
}

/** Memory of an answer with contents: the stored document, and the text that is sent. */
export function answerBytes({ bytes }: DocumentMeta, { include, base64 }: DocumentQuery): number {
  return bytes + (include.vectors && !base64 ? 6 : 2) * bytes;
}
