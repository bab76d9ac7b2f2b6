/** One row of the ledger, and sums of rows. Pure. */
import { CLIENT_CLOSED_REQUEST } from "../errors.ts";

/** What ended: a call to the model server, a run of a job, a write, a search or a look-up of documents. */
export type UsageKind = "call" | "job" | "document" | "search" | "lookup";

/** Who answered. `cache`: nothing had to be computed. */
export type ServedBy = "model" | "fallback" | "cache";

/** One ended call, run of a job, document request. Times in ms. */
export interface UsageRow {
  /** When it ended, in ms since 1970. */
  readonly at: number;
  readonly kind: UsageKind;
  readonly caller: string;
  /** The company it named, normalized; or the caller's only one. Null if neither. */
  readonly company: string | null;
  /** Name of the dialect; `relay` for the relay's own paths. */
  readonly dialect: string;
  /** The path's pattern. */
  readonly path: string;
  /** As the request names it; null if it names none. */
  readonly model: string | null;
  /** Prompt tokens read by a language model, those of its cache included. */
  readonly tokensIn: number;
  /** Those of `tokensIn` that came from the model server's cache; null where it does not say. */
  readonly tokensCached: number | null;
  readonly tokensOut: number;
  /** Tokens read by an embedding model or a reranker. None of them is in `tokensIn`. */
  readonly tokensEmbedded: number;
  /** The model server did not state the tokens: counted from the body's length and the events of the stream. */
  readonly estimated: boolean;
  /** Null: refused, or ended before anything was computed. */
  readonly servedBy: ServedBy | null;
  /** HTTP status; of a job's run, the model server's. 499: the client disconnected first. */
  readonly status: number;
  /** Code of the error it ended with. */
  readonly code: string | null;
  /** Time it waited for its slot; null without one. */
  readonly waitMs: number | null;
  /** From its arrival to the answer's first byte; null without one. */
  readonly ttftMs: number | null;
  readonly durationMs: number;
  /** How it arrived; null for jobs. */
  readonly entry: "edge" | "direct" | null;
  /** Cloudflare location it came in at, `direct` or `none`; null for jobs. */
  readonly colo: string | null;
  /** Whether it counted against quotas of requests. */
  readonly counted: boolean;
  /** Documents: calls to the embedding model, the texts they embedded, and the time they took. */
  readonly embeddingCalls: number;
  readonly embeddedInputs: number;
  readonly embeddingMs: number;
  /** Documents: texts whose vectors were stored already, and the time that embedding them would have taken. */
  readonly reusedInputs: number;
  readonly sparedMs: number;
}

/** Longest text of a row that comes from a caller, in characters. */
export const LONGEST_TEXT = 200;

/** Upper bounds of the buckets of waits and times to the first token, in ms; the last one is open. */
export const TIME_BOUNDS = [10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000] as const;

/** @returns index of the bucket that a time belongs to */
export function timeBucket(ms: number): number {
  let at = 0;
  while (at < TIME_BOUNDS.length && ms > TIME_BOUNDS[at]!) at += 1;
  return at;
}

/** A quantile by the buckets' counts, interpolated within its bucket; undefined without any. @param share 0 to 1 */
export function quantile(counts: readonly number[], share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const wanted = share * total;
  let before = 0;
  for (const [at, count] of counts.entries()) {
    if (count > 0 && before + count >= wanted) {
      const from = at === 0 ? 0 : TIME_BOUNDS[at - 1]!;
      const to = TIME_BOUNDS[at] ?? from; // of the open bucket only its lower bound is known
      return from + ((wanted - before) / count) * (to - from);
    }
    before += count;
  }
  return TIME_BOUNDS.at(-1);
}

/** Times of some rows: how many had one, and quantiles that are right to the width of their bucket. */
export interface TimeSummary {
  readonly count: number;
  readonly mean: number | undefined;
  readonly p50: number | undefined;
  readonly p95: number | undefined;
}

/** Sums of rows. */
export interface UsageSums {
  readonly calls: number;
  /** Ended with a status from 400 on or an error in a begun answer; not: 429, a miss of a look-up, a client that left. */
  readonly errors: number;
  /** Refused with 429. */
  readonly refused: number;
  readonly tokensIn: number;
  readonly tokensCached: number;
  readonly tokensOut: number;
  readonly tokensEmbedded: number;
  readonly embeddingCalls: number;
  readonly embeddedInputs: number;
  readonly reusedInputs: number;
  /** Document requests that needed no embedding, and idempotent calls whose answer was kept. */
  readonly cacheHits: number;
  readonly sparedMs: number;
  readonly durationMs: number;
  readonly wait: TimeSummary;
  readonly ttft: TimeSummary;
}

export const isRefused = ({ status }: UsageRow): boolean => status === 429;

export function isError({ kind, status, code }: UsageRow): boolean {
  if (status === 429 || (status === 404 && kind === "lookup")) return false;
  return (status >= 400 && status !== CLIENT_CLOSED_REQUEST) || (status < 400 && code !== null);
}

/** All tokens of a row, as quotas of tokens count them. */
export const allTokens = (row: Pick<UsageRow, "tokensIn" | "tokensOut" | "tokensEmbedded">): number =>
  row.tokensIn + row.tokensOut + row.tokensEmbedded;
