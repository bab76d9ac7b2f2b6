/** Queries for sums of usage: of callers at `/v1/usage`, and of the owner at the admin listener. Pure. */
import { RelayError } from "../errors.ts";
import type { Calendar } from "./calendar.ts";
import { OTHERS } from "./others.ts";
import type { UsageDimension, UsageTotal } from "./store.ts";

export interface UsageQuery {
  /** ms since 1970; until before `to`. */
  readonly from: number;
  readonly to: number;
  readonly by: readonly UsageDimension[];
}

/** What a caller's own usage can be summed by. */
export const CALLER_DIMENSIONS = ["company", "caller", "model", "day"] as const;
/** What the owner can sum by. */
export const ALL_DIMENSIONS = ["company", "caller", "model", "day", "kind", "servedBy", "colo"] as const;

const PARAMETERS = ["from", "to", "by"];
/** RFC 3339. */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/**
 * Reads `from`, `to` and `by`. Without `from`, this month; without `to`, until now.
 * @param several whether `by` may name several, with commas
 * @throws RelayError `usage_query_invalid`, which names the field, its value and what to send
 */
export function readUsageQuery(
  query: string,
  {
    calendar,
    now,
    dimensions,
    several,
  }: {
    readonly calendar: Calendar;
    readonly now: number;
    readonly dimensions: readonly UsageDimension[];
    readonly several: boolean;
  },
): UsageQuery {
  const params = new URLSearchParams(query);
  for (const name of new Set(params.keys())) {
    if (!PARAMETERS.includes(name)) throw invalid(`The query has ${JSON.stringify(name)}. Use from, to and by.`);
    if (params.getAll(name).length > 1) throw invalid(`The query has ${name} more than once. Send it once.`);
  }
  const from = timeOf("from", params.get("from"), calendar) ?? calendar.monthStart(now);
  const to = timeOf("to", params.get("to"), calendar) ?? now + 1;
  if (from >= to) {
    const shown = (name: string, at: number) => JSON.stringify(params.get(name) ?? new Date(at).toISOString());
    throw invalid(
      `from: ${shown("from", from)} is not before to: ${shown("to", to)}. The range ends before to; set from to an earlier time.`,
    );
  }
  const asked = params.get("by");
  const names = asked === null ? [] : several ? asked.split(",") : [asked];
  const by = names.map((name) => {
    const known = dimensions.find((one) => one === name);
    if (known === undefined) {
      throw invalid(
        `by: ${JSON.stringify(name)} is nothing usage can be summed by. Use one of ${dimensions.join(", ")}.`,
      );
    }
    return known;
  });
  return { from, to, by: [...new Set(by)] };
}

function timeOf(name: string, text: string | null, calendar: Calendar): number | undefined {
  if (text === null) return undefined;
  const at = TIMESTAMP.test(text) ? Date.parse(text) : calendar.parseDay(text);
  if (at !== undefined && Number.isFinite(at)) return at;
  // In a query, "+" is a blank.
  const hint = / \d{2}:\d{2}$/.test(text) ? " Write the + of a time zone as %2B." : "";
  throw invalid(
    `${name}: ${JSON.stringify(text)} is not a time. Send a day such as 2026-11-28 or a month such as 2026-11 (${calendar.timeZone}), or an RFC 3339 timestamp such as 2026-11-28T09:00:00Z.${hint}`,
  );
}

const invalid = (text: string) => new RelayError("usage_query_invalid", text);

/** A sum as `/v1/usage` shows it. @param by what the keys are values of */
export function usageView(
  total: Omit<UsageTotal, "keys"> & { readonly keys?: readonly string[] },
  by: readonly UsageDimension[],
) {
  const keys = by.map((dimension, at) => [snake(dimension), shownKey(total.keys?.[at] ?? "")] as const);
  return {
    ...Object.fromEntries(keys),
    calls: total.calls,
    errors: total.errors,
    refused: total.refused,
    tokens_in: total.tokensIn,
    tokens_cached: total.tokensCached,
    tokens_out: total.tokensOut,
    tokens_embedded: total.tokensEmbedded,
    embedding_calls: total.embeddingCalls,
    cache_hits: total.cacheHits,
    seconds_spared: total.sparedMs / 1000,
    seconds: total.durationMs / 1000,
  };
}

const snake = (name: string): string => name.replace("servedBy", "served_by");

/** Null: rows without one. */
const shownKey = (key: string): string | null => (key === "" ? null : key === OTHERS ? "(others)" : key);
