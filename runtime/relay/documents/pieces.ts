/** Cuts a document's text into the pieces that are embedded and stored. Pure; runs on either thread. */
import { RelayError } from "../errors.ts";
import { type ChunkSize, chunkText } from "./chunker.ts";
import { hashOf } from "./fingerprint.ts";
import { type Chunk, MAX_DOCUMENT_BYTES, textBytes } from "./store.ts";

/** A document as received: a text to cut, or finished chunks. */
export type Source = { readonly text: string } | { readonly chunks: readonly string[] };

/** A document that has been cut. */
export interface Pieces {
  readonly pieces: readonly Chunk[];
  /** Hash of the source, to recognise an unchanged document. */
  readonly textHash: string;
}

/**
 * Cuts a document and hashes its pieces. A text that is too large even without vectors is refused first.
 * @throws RelayError `document_too_large`, `document_invalid` if it contains no text
 */
export function piecesOf(source: Source, size: ChunkSize): Pieces {
  const whole = "text" in source ? [source.text] : source.chunks;
  checkTextSize(textBytes(whole));
  const texts = "text" in source ? chunkText(source.text, size) : source.chunks;
  if (texts.length === 0) throw new RelayError("document_invalid", "The document contains no text.");
  const pieces = texts.map((text): Chunk => ({ hash: hashOf(text), text }));
  return { pieces, textHash: hashOf(JSON.stringify(source)) };
}

/** @param bytes of texts, with what is stored beside each @throws RelayError `document_too_large` */
export function checkTextSize(bytes: number): void {
  if (bytes <= MAX_DOCUMENT_BYTES) return;
  const parts = Math.ceil(bytes / (MAX_DOCUMENT_BYTES * 0.9));
  throw new RelayError(
    "document_too_large",
    `The document's text alone takes ${Math.ceil(bytes / 1e6)} MB; at most ${Math.floor(MAX_DOCUMENT_BYTES / 1e6)} MB, with its vectors, can be stored as one. Split it into ${parts} titles or more, for example "… (1/${parts})", and search them together with "titles".`,
  );
}
