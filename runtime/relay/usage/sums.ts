/** Sums rows of the ledger. One implementation for roll-ups and for sums of raw rows, so that they cannot differ. Pure. */
import { isError, isRefused, quantile, type TimeSummary, timeBucket, type UsageRow, type UsageSums } from "./row.ts";
import { SUM_COLUMNS, TTFT_BUCKETS, WAIT_BUCKETS } from "./schema.ts";

/** Values of `SUM_COLUMNS`, in their order. */
export type Sums = number[];

type SumColumn = (typeof SUM_COLUMNS)[number];
const at = (column: SumColumn): number => SUM_COLUMNS.indexOf(column);
const FIRST_WAIT = SUM_COLUMNS.indexOf(WAIT_BUCKETS[0] as SumColumn);
const FIRST_TTFT = SUM_COLUMNS.indexOf(TTFT_BUCKETS[0] as SumColumn);

export const noSums = (): Sums => SUM_COLUMNS.map(() => 0);

/** Places of the columns that `addRow` adds to: looked up once, since it runs for each request. */
const AT = {
  calls: at("calls"),
  errors: at("errors"),
  refused: at("refused"),
  counted: at("counted"),
  tokensIn: at("tokens_in"),
  tokensCached: at("tokens_cached"),
  tokensOut: at("tokens_out"),
  tokensEmbedded: at("tokens_embedded"),
  embeddingCalls: at("embedding_calls"),
  embeddedInputs: at("embedded_inputs"),
  embeddingMs: at("embedding_ms"),
  reusedInputs: at("reused_inputs"),
  cacheHits: at("cache_hits"),
  sparedMs: at("spared_ms"),
  durationMs: at("duration_ms"),
  waitMs: at("wait_ms"),
  ttftMs: at("ttft_ms"),
};

export function addRow(sums: Sums, row: UsageRow): void {
  sums[AT.calls]! += 1;
  if (isError(row)) sums[AT.errors]! += 1;
  if (isRefused(row)) sums[AT.refused]! += 1;
  if (row.counted) sums[AT.counted]! += 1;
  sums[AT.tokensIn]! += row.tokensIn;
  sums[AT.tokensCached]! += row.tokensCached ?? 0;
  sums[AT.tokensOut]! += row.tokensOut;
  sums[AT.tokensEmbedded]! += row.tokensEmbedded;
  sums[AT.embeddingCalls]! += row.embeddingCalls;
  sums[AT.embeddedInputs]! += row.embeddedInputs;
  sums[AT.embeddingMs]! += row.embeddingMs;
  sums[AT.reusedInputs]! += row.reusedInputs;
  if (row.servedBy === "cache") sums[AT.cacheHits]! += 1;
  sums[AT.sparedMs]! += row.sparedMs;
  sums[AT.durationMs]! += row.durationMs;
  if (row.waitMs !== null) {
    sums[AT.waitMs]! += row.waitMs;
    sums[FIRST_WAIT + timeBucket(row.waitMs)]! += 1;
  }
  if (row.ttftMs !== null) {
    sums[AT.ttftMs]! += row.ttftMs;
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
  const of = (column: SumColumn): number => sums[at(column)]!;
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
