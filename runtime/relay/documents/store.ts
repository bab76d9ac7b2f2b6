/** The storage interface for documents. `atlas-store.ts` and `sqlite-store.ts` implement it; one test suite covers both. */
import type { DocumentKey } from "../access/names.ts";

/** A document without its chunks. Times in milliseconds since 1970. */
export interface DocumentMeta extends DocumentKey {
  /** The caller's name for this version of the document, for example a file's ETag; null if it gave none. */
  readonly version: string | null;
  /** Which model made the vectors, and how; see `fingerprint.ts`. */
  readonly fingerprint: string;
  readonly model: string;
  readonly dimensions: number;
  /** Hash of the text or the list of chunks; null for inputs of embedding calls. */
  readonly textHash: string | null;
  /** Changes with the contents. */
  readonly revision: string;
  readonly chunkCount: number;
  /** Size of vectors and texts. */
  readonly bytes: number;
  readonly createdAt: number;
  readonly lastAccessedAt: number;
}

/** A piece of a document; `hash` is of the text. */
export interface Chunk {
  readonly hash: string;
  readonly text: string;
}

/** A document's chunks, and their vectors row after row in the same order. */
export interface DocumentContent {
  readonly chunks: readonly Chunk[];
  readonly vectors: Float32Array;
}

/** One use of a document, in milliseconds since 1970. */
export interface Use extends DocumentKey {
  readonly at: number;
}

/** Documents to list: those after `after`, ordered by company and title in UTF-8 bytes. */
export interface Listing {
  readonly companies: "all" | readonly string[];
  readonly after?: DocumentKey | undefined;
  readonly limit: number;
  readonly livingSince: number;
}

/** Who stores a document, and who shares the store's bound. */
export interface Sharing {
  readonly caller: string;
  /** All configured callers. */
  readonly callers: readonly string[];
}

/** The bound of a store on this Mac. */
export interface StoreBounds {
  readonly maxBytes: number;
  /** With less free space on the disk nothing is stored. */
  readonly minFreeBytes: number;
}

/** Default of `documents.maxDiskMiB`. */
export const DOCUMENTS_MIB = 4096;

/** What a store holds. */
export interface DocumentCount {
  readonly documents: number;
  /** Undefined where counting them would read every document. */
  readonly bytes: number | undefined;
}

/** Outcome of one bounded step of a deletion; `more` if the step must be repeated. */
export interface DeletionStep {
  readonly removed: number;
  readonly more: boolean;
}

/**
 * One record per document. Every method rejects if the store cannot be reached or is broken; nothing is retried here.
 * Several relays may have one store open (on one Mac only during a hand-over). `livingSince`: a document last used at or
 * before that time has expired, whether or not it has been removed. Times are in ms since 1970.
 */
export interface DocumentStore {
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  meta(key: DocumentKey, livingSince: number): Promise<DocumentMeta | undefined>;
  /** The contents of exactly that revision; undefined if it has been replaced or removed. */
  content(key: DocumentKey, revision: string): Promise<DocumentContent | undefined>;
  /**
   * Declares that `token` is about to write the document: its write intent. A removal of the document, or another intent for
   * it, by any relay, voids it. Counts as a use.
   */
  declareWrite(key: DocumentKey, token: string, now: number, livingSince: number): Promise<void>;
  /** Whether the store's bound, and the caller's part of it, have room for a document of this many bytes. */
  hasRoom(bytes: number, sharing: Sharing): Promise<boolean>;
  /**
   * Replaces the document atomically. @returns false if the write intent `token` is void, "full" if there is no room; then an
   * earlier document stays. Without `sharing` it counts for no caller.
   */
  put(meta: DocumentMeta, content: DocumentContent, token: string, sharing?: Sharing): Promise<boolean | "full">;
  /** Withdraws a write intent; an earlier document stays. */
  withdrawWrite(key: DocumentKey, token: string): Promise<void>;
  /** Changes the version of the document, if it is still that revision. */
  setVersion(key: DocumentKey, revision: string, version: string): Promise<void>;
  /** Moves last-access times forward, never back; a document that is gone stays gone. */
  touch(uses: readonly Use[]): Promise<void>;
  /** Removes a document; resolves once that would survive a power cut. @returns whether it existed */
  remove(key: DocumentKey): Promise<boolean>;
  /** Removes a bounded part of a company's documents, durably as `remove`. */
  removeCompany(company: string): Promise<DeletionStep>;
  list(listing: Listing): Promise<DocumentMeta[]>;
  /** How many documents have not expired, and their size. */
  count(livingSince: number): Promise<DocumentCount>;
  /**
   * Takes or renews the lease on embedding a document for `forMs` of the store's own clock. @returns false while another owner
   * holds it. `owner`: `<process id>:<unique>`
   */
  lease(key: DocumentKey, owner: string, forMs: number): Promise<boolean>;
  /** Releases the lease, if `owner` holds it. */
  releaseLease(key: DocumentKey, owner: string): Promise<void>;
  /** Removes a bounded part of the expired documents. Does nothing if the store expires them itself. @returns whether there are more */
  sweep(livingSince: number): Promise<boolean>;
  close(): Promise<void>;
}

/** A document's key as one string, for maps. */
export function keyText({ company, title }: DocumentKey): string {
  return JSON.stringify([company, title]);
}

/** Largest document, vectors and texts together: MongoDB accepts no record over 16 MiB. */
export const MAX_DOCUMENT_BYTES = 12 * 1024 * 1024;
/** Bytes per chunk beside its vector and text: hash, field names. */
const CHUNK_OVERHEAD = 128;

/** Size of a document's texts with their overhead, without vectors. */
export function textBytes(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + CHUNK_OVERHEAD, 0);
}

/** Size of a document with that many dimensions. */
export function documentBytes(chunks: readonly Chunk[], dimensions: number): number {
  return textBytes(chunks.map(({ text }) => text)) + chunks.length * dimensions * 4;
}
