/** `/status/usage.json`: what the ledger says of an hour, a day or a month, and of the reader's own day and month. */
import { RelayError } from "../errors.ts";
import { DAY_MS, HOUR_MS } from "../usage/calendar.ts";
import type { TimeSummary, UsageSums } from "../usage/row.ts";
import { type CompanyUsage, type EntryPart, SPANS, type Span, type UsageAnswer, type UsageSum } from "./page-data.ts";

type Times = Pick<TimeSummary, "count" | "p50" | "p95">;

/** Those of the ledger's sums that are added up here. */
type Counted = Exclude<keyof UsageSums, "wait" | "ttft" | "tokensCached" | "embeddedInputs" | "durationMs">;

/** As much of the ledger's sums as is shown. */
export type ShownSums = Pick<UsageSums, Counted> & { readonly wait: Times; readonly ttft: Times };

/** The ledger, as far as the page asks it. Rejects while it is unavailable. */
export interface UsageSource {
  series(query: {
    readonly from: number;
    readonly to: number;
    readonly step: "minute" | "hour";
  }): Promise<readonly (ShownSums & { readonly start: number })[]>;
  totals(query: {
    readonly from: number;
    readonly to: number;
    readonly by?: readonly ("company" | "colo")[];
  }): Promise<readonly (ShownSums & { readonly keys: readonly string[] })[]>;
}

const MINUTE_MS = 60_000;

/** Steps of a month are hours, so that the page can put them together to the reader's own days. */
const STEPS = {
  hour: { ms: HOUR_MS, step: "minute", stepMs: MINUTE_MS, groupMs: MINUTE_MS },
  day: { ms: DAY_MS, step: "minute", stepMs: MINUTE_MS, groupMs: 15 * MINUTE_MS },
  month: { ms: 31 * DAY_MS, step: "hour", stepMs: HOUR_MS, groupMs: HOUR_MS },
} as const;

const COMPANIES_SHOWN = 20;
/** What people ask for within this time gets the same answer. */
const CACHE_MS = 10_000;
const CACHED = 64;

/** What is asked for: a span, and when the reader's day and month began. */
export interface UsageQuery {
  readonly span: Span;
  readonly today: number;
  readonly month: number;
}

/** @param query with its `?` @throws RelayError `status_query_invalid` */
export function readUsageQuery(query: string, now: number): UsageQuery {
  const params = new URLSearchParams(query);
  const asked = params.get("span") ?? "day";
  const span = SPANS.find((one) => one === asked);
  if (span === undefined)
    throw invalid(`span: ${JSON.stringify(asked.slice(0, 40))} is not one of ${SPANS.join(", ")}.`);
  return {
    span,
    today: timeIn(params, "today", now, 26 * HOUR_MS),
    month: timeIn(params, "month", now, 32 * DAY_MS),
  };
}

function timeIn(params: URLSearchParams, name: string, now: number, longestMs: number): number {
  const text = params.get(name) ?? "";
  const time = Number(text);
  // Midnights are whole minutes, so that few different questions are possible. A browser's clock may be ahead.
  const isTime = /^\d{1,15}$/.test(text) && time % MINUTE_MS === 0;
  const isValid = isTime && time >= now - longestMs - HOUR_MS && time <= now + HOUR_MS;
  if (isValid) return Math.min(time, now);
  throw invalid(
    `${name}: ${JSON.stringify(text.slice(0, 40))} is not a whole minute of the last ${longestMs / HOUR_MS} hours, in milliseconds since 1970. Is the clock of this computer right?`,
  );
}

const invalid = (message: string): RelayError => new RelayError("status_query_invalid", message);

/** Answers, with a bounded cache: many open pages cost the ledger one question. */
export function createUsageAnswers(
  source: UsageSource,
  now: () => number = Date.now,
): (query: UsageQuery) => Promise<UsageAnswer> {
  const cache = new Map<string, { readonly at: number; readonly answer: Promise<UsageAnswer> }>();
  return (query) => {
    const at = now();
    const key = [query.span, query.today, query.month].join(" ");
    const known = cache.get(key);
    if (known !== undefined && at - known.at < CACHE_MS) return known.answer;
    cache.delete(key);
    const answer = usageAnswer(query, source, at);
    cache.set(key, { at, answer });
    answer.catch(() => cache.delete(key));
    const [oldest] = cache.keys();
    if (cache.size > CACHED && oldest !== undefined) cache.delete(oldest);
    return answer;
  };
}

async function usageAnswer({ span, today, month }: UsageQuery, source: UsageSource, now: number): Promise<UsageAnswer> {
  const { ms, step, groupMs } = STEPS[span];
  const to = now + 1;
  const from = Math.floor((to - ms) / groupMs) * groupMs;
  const [steps, companies, colos, ofToday, ofMonth] = await Promise.all([
    source.series({ from, to, step }),
    source.totals({ from, to, by: ["company"] }),
    source.totals({ from, to, by: ["colo"] }),
    source.totals({ from: today, to }),
    source.totals({ from: month, to }),
  ]);
  return {
    span,
    from,
    to,
    stepMs: groupMs,
    points: grouped(steps, groupMs),
    companies: companies
      .map((one): CompanyUsage => ({ company: one.keys[0] || null, ...sumOf([one]) }))
      .sort((a, b) => b.tokensIn + b.tokensOut - a.tokensIn - a.tokensOut || b.calls - a.calls)
      .slice(0, COMPANIES_SHOWN),
    entry: colos
      .map((one): EntryPart => ({ colo: one.keys[0] || "none", requests: one.calls }))
      .sort((a, b) => b.requests - a.requests),
    today: sumOf(ofToday),
    month: {
      ...sumOf(ofMonth),
      savings: {
        hits: total(ofMonth, "cacheHits"),
        calls: total(ofMonth, "embeddingCalls"),
        reused: total(ofMonth, "reusedInputs"),
        sparedMs: total(ofMonth, "sparedMs"),
      },
    },
  };
}

const total = (rows: readonly ShownSums[], field: Counted): number => rows.reduce((sum, row) => sum + row[field], 0);

const sumOf = (rows: readonly ShownSums[]): UsageSum => ({
  calls: total(rows, "calls"),
  failed: total(rows, "errors"),
  refused: total(rows, "refused"),
  tokensIn: total(rows, "tokensIn") + total(rows, "tokensEmbedded"),
  tokensOut: total(rows, "tokensOut"),
});

/** Puts steps together to longer ones. A median of several is their mean, weighted by their calls. */
function grouped(steps: readonly (ShownSums & { readonly start: number })[], groupMs: number): UsageAnswer["points"] {
  const groups = new Map<number, ShownSums[]>();
  for (const one of steps) {
    const at = Math.floor(one.start / groupMs) * groupMs;
    const group = groups.get(at);
    if (group === undefined) groups.set(at, [one]);
    else group.push(one);
  }
  return [...groups]
    .sort(([a], [b]) => a - b)
    .map(([at, rows]) => ({
      at,
      ...sumOf(rows),
      firstTokenMs: weighted(rows.map(({ ttft }) => ttft)),
      waitMs: weighted(rows.map(({ wait }) => wait)),
      timed: rows.reduce((sum, { wait }) => sum + wait.count, 0),
    }));
}

function weighted(times: readonly Times[]): number | null {
  let [sum, count] = [0, 0];
  for (const one of times) {
    if (one.p50 === undefined) continue;
    sum += one.p50 * one.count;
    count += one.count;
  }
  return count === 0 ? null : sum / count;
}
