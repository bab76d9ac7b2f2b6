/** Sums rows of the ledger. One implementation for roll-ups and for sums of raw rows, so that they cannot differ. Pure. */
import { isError, isRefused, quantile, type TimeSummary, timeBucket, type UsageRow, type UsageSums } from "./row.ts";
import { SUM_COLUMNS, TTFT_BUCKETS, WAIT_BUCKETS } from "./schema.ts";

/** Values of `SUM_COLUMNS`, in their order. */
export type Sums = number[];

type SumColumn = (typeof SUM_COLUMNS)[number];
const INDEX = new Map<SumColumn, number>(SUM_COLUMNS.map((name, at) => [name, at]));
const FIRST_WAIT = SUM_COLUMNS.indexOf(WAIT_BUCKETS[0] as SumColumn);
const FIRST_TTFT = SUM_COLUMNS.indexOf(TTFT_BUCKETS[0] as SumColumn);

export const noSums = (): Sums => SUM_COLUMNS.map(() => 0);

export function addRow(sums: Sums, row: UsageRow): void {
  const add = (column: SumColumn, value: number) => {
    sums[INDEX.get(column)!]! += value;
  };
  add("calls", 1);
  if (isError(row)) add("errors", 1);
  if (isRefused(row)) add("refused", 1);
  if (row.counted) add("counted", 1);
  add("tokens_in", row.tokensIn);
  add("tokens_cached", row.tokensCached ?? 0);
  add("tokens_out", row.tokensOut);
  add("tokens_embedded", row.tokensEmbedded);
  add("embedding_calls", row.embeddingCalls);
  add("embedded_inputs", row.embeddedInputs);
  add("embedding_ms", row.embeddingMs);
  add("reused_inputs", row.reusedInputs);
  if (row.servedBy === "cache") add("cache_hits", 1);
  add("spared_ms", row.sparedMs);
  add("duration_ms", row.durationMs);
  if (row.waitMs !== null) {
    add("wait_ms", row.waitMs);
    sums[FIRST_WAIT + timeBucket(row.waitMs)]! += 1;
  }
  if (row.ttftMs !== null) {
    add("ttft_ms", row.ttftMs);
    sums[FIRST_TTFT + timeBucket(row.ttftMs)]! += 1;
  }
}

export function addSums(to: Sums, from: Sums): void {
  for (let at = 0; at < to.length; at += 1) to[at]! += from[at]!;
}

/** @param row with a value for each of `SUM_COLUMNS` */
export const sumsOf = (row: Readonly<Record<string, unknown>>): Sums =>
  SUM_COLUMNS.map((name) => Number(row[name] ?? 0));

/** The sums as they are shown. */
export function describeSums(sums: Sums): UsageSums {
  const of = (column: SumColumn): number => sums[INDEX.get(column)!]!;
  const times = (first: number, total: number): TimeSummary => {
    const counts = sums.slice(first, first + WAIT_BUCKETS.length);
    const count = counts.reduce((sum, one) => sum + one, 0);
    return {
      count,
      mean: count === 0 ? undefined : total / count,
      p50: quantile(counts, 0.5),
      p95: quantile(counts, 0.95),
    };
  };
  return {
    calls: of("calls"),
    errors: of("errors"),
    refused: of("refused"),
    tokensIn: of("tokens_in"),
    tokensCached: of("tokens_cached"),
    tokensOut: of("tokens_out"),
    tokensEmbedded: of("tokens_embedded"),
    embeddingCalls: of("embedding_calls"),
    embeddedInputs: of("embedded_inputs"),
    reusedInputs: of("reused_inputs"),
    cacheHits: of("cache_hits"),
    sparedMs: of("spared_ms"),
    durationMs: of("duration_ms"),
    wait: times(FIRST_WAIT, of("wait_ms")),
    ttft: times(FIRST_TTFT, of("ttft_ms")),
  };
}
