/** What a document store does; `atlas-store.ts` and `sqlite-store.ts` are the two, held to one contract by one test suite. */
import type { DocumentKey } from "../access/names.ts";

/** A document without its chunks. Times in milliseconds since 1970. */
export interface DocumentMeta extends DocumentKey {
  /** What the caller calls this state of the document (a file's etag, say); null if it said nothing. */
  readonly version: string | null;
  /** Which model made the vectors, and how; see `fingerprint.ts`. */
  readonly fingerprint: string;
  readonly model: string;
  readonly dimensions: number;
  /** Hash of the text or the list of chunks; null when it came as inputs of embedding calls. */
  readonly textHash: string | null;
  /** Another one whenever the contents are. */
  readonly revision: string;
  readonly chunkCount: number;
  /** Of vectors and texts. */
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

/** Which documents to list: after `after` in the order of company and title, by their UTF-8 bytes. */
export interface Listing {
  readonly companies: "all" | readonly string[];
  readonly after?: DocumentKey | undefined;
  readonly limit: number;
  readonly livingSince: number;
}

/** Who stores a document, and who else has a part in the store's bound. */
export interface Sharing {
  readonly caller: string;
  /** All configured callers. */
  readonly callers: readonly string[];
}

/** The bound of a store on this Mac. */
export interface StoreBounds {
  readonly maxBytes: number;
  /** With less free on the disk nothing is stored. */
  readonly minFreeBytes: number;
}

/** `documents.maxDiskMiB` if it is not set. */
export const DOCUMENTS_MIB = 4096;

/**
 * One record a document. All methods reject when the store can not be reached or is broken; nothing is retried here.
 * `livingSince`: what was last used at or before that time is taken for gone, whether or not it has been removed yet.
 */
export interface DocumentStore {
  /** Resolves when the store answers. */
  ping(): Promise<void>;
  meta(key: DocumentKey, livingSince: number): Promise<DocumentMeta | undefined>;
  /** The contents of exactly that revision; undefined when it has been replaced or removed. */
  content(key: DocumentKey, revision: string): Promise<DocumentContent | undefined>;
  /** Says that a document is about to be made, as `token`. Ends with its removal, or when another is begun. A use of it. */
  declareWrite(key: DocumentKey, token: string, now: number, livingSince: number): Promise<void>;
  /** Whether the store's bound, and the caller's part of it, leave room for a document of that many bytes. */
  hasRoom(bytes: number, sharing: Sharing): Promise<boolean>;
  /**
   * Puts a document in the place of any earlier one, whole or not at all, if `token` is still begun; whether it was. "full":
   * there is no room for it; an earlier one stays. Without `sharing` it counts for nobody.
   */
  put(meta: DocumentMeta, content: DocumentContent, token: string, sharing?: Sharing): Promise<boolean | "full">;
  /** Ends what was begun without a document; one that is there stays. */
  withdrawWrite(key: DocumentKey, token: string): Promise<void>;
  /** Changes what the caller calls the document, if it is still that revision. */
  setVersion(key: DocumentKey, revision: string, version: string): Promise<void>;
  /** Moves the times of last use forward, never back; a document that is gone stays gone. */
  touch(uses: readonly Use[]): Promise<void>;
  /** Whether there was one. */
  remove(key: DocumentKey): Promise<boolean>;
  /** Removes all of a company; how many there were. */
  removeCompany(company: string): Promise<number>;
  list(listing: Listing): Promise<DocumentMeta[]>;
  /** Takes or extends the right to embed a document until `until`; false while another owner's runs. */
  lease(key: DocumentKey, owner: string, until: number, now: number): Promise<boolean>;
  /** Gives it back, if `owner` still has it. */
  releaseLease(key: DocumentKey, owner: string): Promise<void>;
  /** Tokens that embedding for a company has cost on a day (`2026-11-22`). */
  spent(company: string, day: string): Promise<number>;
  spend(company: string, day: string, tokens: number): Promise<void>;
  /** Removes what is gone by `livingSince`; a store that does so by itself does nothing. */
  sweep(livingSince: number): Promise<void>;
  close(): Promise<void>;
}

/** Largest document, vectors and texts together: MongoDB takes no record over 16 MiB. */
export const MAX_DOCUMENT_BYTES = 12 * 1024 * 1024;
/** What a chunk costs beside its vector and text: hash, names of fields. */
const CHUNK_OVERHEAD = 128;

/** Bytes of a document's texts, with what is stored beside each; vectors are not in it. */
export function textBytes(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + CHUNK_OVERHEAD, 0);
}

/** Bytes of a document with that many dimensions. */
export function documentBytes(chunks: readonly Chunk[], dimensions: number): number {
  return textBytes(chunks.map(({ text }) => text)) + chunks.length * dimensions * 4;
}
