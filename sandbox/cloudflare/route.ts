/** The shape of a route of the emulated API: a handler's call and result, and paging of lists. */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";

/** An authenticated and authorized call. */
export interface Call {
  account: CloudflareAccount;
  /** The `:names` of the route's path, decoded. */
  params: Record<string, string>;
  query: URLSearchParams;
  /** Parsed JSON; undefined without a body. */
  body: unknown;
  /** The API token that was used. */
  token: string;
}

/** A handler's result, before the envelope is added. */
export interface Answer {
  status?: number;
  result: unknown;
  messages?: { code: number; message: string }[];
  resultInfo?: Record<string, number>;
  /** Fields outside `result`, for the few responses documented without the envelope. */
  beside?: Record<string, unknown>;
}

/** One route. `path` has `:name` for a variable part; `:account` and `:zone` are checked before the handler runs. */
export interface Route {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  path: string;
  /** One of them is sufficient; empty requires only a valid token. */
  permissions: string[];
  /** Throws `ApiError` to refuse. */
  handle(call: Call): Answer;
}

/** Permission names that allow reading. */
export function canRead(...groups: string[]): string[] {
  return groups.flatMap((group) => [`${group} Read`, `${group} Write`]);
}

/** Permission names that allow writing. */
export function canWrite(...groups: string[]): string[] {
  return groups.map((group) => `${group} Write`);
}

/** An id as DNS and alerting use it: 32 hex digits. */
export function hexId(): string {
  return randomBytes(16).toString("hex");
}

/** Now, as the API writes times. */
export function now(): string {
  return new Date().toISOString();
}

/** An optional field: absent, or null as the official provider sends for a removed argument. */
export function optional<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value) => value ?? undefined);
}

/** A Go duration (https://pkg.go.dev/time#ParseDuration), e.g. `24h` or `1h30m`. */
export const goDuration = z
  .string()
  .regex(/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/, 'expected a duration such as "24h" or "30m"');

const unitMs: Record<string, number> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration that has been checked by `goDuration`. */
export function durationMs(duration: string): number {
  let total = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (unitMs[unit ?? ""] ?? 0);
  }
  return total;
}

/** A host name in lower case; a wildcard is allowed as the first label only. */
export const hostname = z
  .string()
  .max(253)
  .transform((name) => name.toLowerCase().replace(/\.$/, ""))
  .pipe(z.string().regex(/^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+[a-z0-9-]{2,}$/, "expected a host name"));

/** Removes undefined values, so that the response repeats only the fields that were sent. */
export function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

function positive(text: string | null, fallback: number): number {
  const value = Number(text ?? fallback);
  return Number.isSafeInteger(value) && value > 0 ? value : fallback;
}

/** Pages a list by `page` and `per_page`, with `result_info`. */
export function page(items: unknown[], query: URLSearchParams, perPageDefault = 20): Answer {
  const perPage = Math.min(positive(query.get("per_page"), perPageDefault), 5000);
  const number = positive(query.get("page"), 1);
  const result = items.slice((number - 1) * perPage, number * perPage);
  return {
    result,
    resultInfo: {
      page: number,
      per_page: perPage,
      count: result.length,
      total_count: items.length,
      total_pages: Math.ceil(items.length / perPage),
    },
  };
}

/** Filters by exact value. Fields that the query does not name are not filtered. */
export function keepEqual<T>(items: T[], query: URLSearchParams, fields: Record<string, (item: T) => unknown>): T[] {
  return items.filter((item) =>
    Object.entries(fields).every(([field, value]) => {
      const wanted = query.get(field);
      return wanted === null || wanted === String(value(item) ?? "");
    }),
  );
}

/**
 * True when `value` passes all filters of the query for this field: `name=`, `name.exact=`, `name.contains=`,
 * `name.startswith=`, `name.endswith=`, `name.present`, `name.absent`, without regard to case.
 */
export function textFilters(query: URLSearchParams, field: string, value: string): boolean[] {
  const text = value.toLowerCase();
  const checks: [string, (wanted: string) => boolean][] = [
    [field, (wanted) => text === wanted],
    [`${field}.exact`, (wanted) => text === wanted],
    [`${field}.contains`, (wanted) => text.includes(wanted)],
    [`${field}.startswith`, (wanted) => text.startsWith(wanted)],
    [`${field}.endswith`, (wanted) => text.endsWith(wanted)],
    [`${field}.present`, () => text !== ""],
    [`${field}.absent`, () => text === ""],
  ];
  return checks.flatMap(([name, passes]) => {
    const wanted = query.get(name);
    return wanted === null ? [] : [passes(wanted.toLowerCase())];
  });
}
