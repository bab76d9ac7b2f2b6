/** The JSON form of a stored document, and its ETag. Pure. */
import { createHash } from "node:crypto";
import { type DocumentKey, readName } from "../access/names.ts";
import type { DocumentQuery } from "./bodies.ts";
import type { Documents } from "./documents.ts";
import type { DocumentContent, DocumentMeta } from "./store.ts";
import { base64Of, rowOf } from "./vectors.ts";

export const wantsContent = ({ include }: DocumentQuery): boolean => include.chunks || include.vectors;

/** @throws RelayError `document_name_invalid` */
export function keyOf({ company, title }: DocumentQuery): DocumentKey {
  return { company: readName("company", company), title: readName("title", title) };
}

/** The ETag: one per form of an answer; it changes with version, model, contents and `include`. */
export function etagOf({ version, fingerprint, revision }: DocumentMeta, { include, base64 }: DocumentQuery): string {
  const form = [version, fingerprint, revision, include.chunks, include.vectors, include.vectors && base64];
  return `"${createHash("sha256").update(JSON.stringify(form)).digest("base64url").slice(0, 27)}"`;
}

export function describe(meta: DocumentMeta, { repository }: Pick<Documents, "repository">) {
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

export function contentOf(
  meta: DocumentMeta,
  content: DocumentContent | undefined,
  { include, base64 }: DocumentQuery,
) {
  if (content === undefined) return {};
  return { data: repeatable(() => piecesOf(meta, content, include, base64)) };
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

/** An iterable that can be iterated more than once, as the one a generator returns cannot. */
export function repeatable<T>(iterate: () => Iterator<T>): Iterable<T> {
  return { [Symbol.iterator]: iterate };
}
