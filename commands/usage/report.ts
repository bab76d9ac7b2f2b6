/** What was used, as a table and as CSV. Pure. */
import { z } from "zod";
import { textWidth } from "../text-width.ts";

const sumsSchema = z.looseObject({
  calls: z.int(),
  errors: z.int(),
  refused: z.int(),
  tokens_in: z.int(),
  tokens_cached: z.int(),
  tokens_out: z.int(),
  tokens_embedded: z.int(),
  embedding_calls: z.int(),
  cache_hits: z.int(),
  seconds_spared: z.number(),
  seconds: z.number(),
  /** Decimals; absent without prices. */
  cloud_cost: z.string().optional(),
  fallback_cost: z.string().optional(),
});

/** The answer of the relay's admin listener to `/usage`. */
export const usageAnswerSchema = z.looseObject({
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  time_zone: z.string(),
  by: z.array(z.string()),
  currency: z.string().nullable(),
  data: z.array(sumsSchema),
  /** Null: nothing was used. */
  total: sumsSchema.nullable(),
});

export type UsageAnswer = z.infer<typeof usageAnswerSchema>;
type Sums = z.infer<typeof sumsSchema>;

/** Columns of the CSV, beside the keys. */
const COLUMNS = [
  "calls",
  "errors",
  "refused",
  "tokens_in",
  "tokens_cached",
  "tokens_out",
  "tokens_embedded",
  "embedding_calls",
  "cache_hits",
  "seconds_spared",
  "seconds",
] as const;
const COSTS = ["cloud_cost", "fallback_cost"] as const;

/** Names of the keys in a row. */
const keyOf = (dimension: string): string => dimension.replace("servedBy", "served_by");

/** RFC 4180, with a line of names. Numbers are written as they are, so that sums agree. */
export function csv({ by, data, total, currency }: UsageAnswer): string {
  const keys = by.map(keyOf);
  const columns = [...keys, ...COLUMNS, ...(currency === null ? [] : [...COSTS, "currency"])];
  const rows = by.length === 0 ? (total === null ? [] : [total]) : data;
  const line = (row: Sums) => columns.map((name) => cell(name === "currency" ? currency : row[name])).join(",");
  return [columns.join(","), ...rows.map(line)].map((text) => `${text}\r\n`).join("");
}

/**
 * A cell. A text that a spreadsheet would run as a formula gets an apostrophe before it: companies are named by callers.
 * Source: https://owasp.org/www-community/attacks/CSV_Injection
 */
function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A table for people. */
export function table(answer: UsageAnswer): string {
  const { by, data, total, currency, from, to, time_zone: timeZone } = answer;
  const range = `Usage from ${local(from, timeZone)} until ${local(to, timeZone)} (${timeZone})`;
  if (total === null) return `${range}\n\nNothing was used.`;
  const names = [
    ...by,
    "calls",
    "errors",
    "refused",
    "tokens in",
    "cached",
    "out",
    "embedded",
    ...(currency === null ? [] : [`in a cloud, ${currency}`, `fallback, ${currency}`]),
  ];
  const numbers = (row: Sums) => [
    ...[row.calls, row.errors, row.refused, row.tokens_in, row.tokens_cached, row.tokens_out, row.tokens_embedded].map(
      (value) => value.toLocaleString("en-US"),
    ),
    ...(currency === null ? [] : [row.cloud_cost ?? "", row.fallback_cost ?? ""]),
  ];
  const keys = (row: Sums) => by.map((dimension) => shown(row[keyOf(dimension)]));
  const totalRow = by.length === 0 ? numbers(total) : ["total", ...by.slice(1).map(() => ""), ...numbers(total)];
  const rows = [names, ...data.map((row) => [...keys(row), ...numbers(row)]), totalRow];
  const widths = names.map((_, at) => Math.max(...rows.map((row) => textWidth(row[at] ?? ""))));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => {
        const gap = " ".repeat(widths[at]! - textWidth(text));
        return at < by.length ? text + gap : gap + text;
      })
      .join("  ")
      .trimEnd();
  return [range, "", ...rows.map(line)].join("\n");
}

const shown = (value: unknown): string => (typeof value === "string" ? value.replaceAll(/\p{Cc}/gu, "�") : "(none)");

function local(time: string, timeZone: string): string {
  const options = { timeZone, dateStyle: "medium", timeStyle: "short", hourCycle: "h23" } as const;
  return new Date(time).toLocaleString("en-GB", options);
}
