/** What calls for embeddings and for reranking have in common. Pure. */
import type { UsageEntry } from "../usage/entry.ts";

/** The client of the request that embedding is done for; the work can outlive it. */
export interface Client {
  /** It has disconnected. */
  readonly hasLeft: boolean;
  /** A byte of the answer has been sent, so its status is fixed. */
  readonly isAnswered: boolean;
  /** Where what the work uses is added, and tokens are reserved. */
  readonly usage?: UsageEntry | undefined;
}

/** Estimated tokens of texts, rather too many: Korean has about one token in three bytes. */
export function estimateTextTokens(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Math.ceil(Buffer.byteLength(text) / 3), 0);
}
