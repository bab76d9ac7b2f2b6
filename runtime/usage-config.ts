/** Settings of the ledger, of prices and of quotas; part of `config.ts`. */
import { z } from "zod";

const count = z.int().min(1);

/** What a caller or a company may use. A field that is not there is not limited. */
export const quotaSchema = z.strictObject({
  /** Requests that take a slot, writes and searches of documents, and starts of jobs, in any 60 seconds. */
  requestsPerMinute: count.max(1_000_000).optional(),
  /** Tokens in, out and embedded together, in any 60 seconds. */
  tokensPerMinute: count.optional(),
  /** The same from midnight to midnight in `usage.timeZone`. */
  tokensPerDay: count.optional(),
  /** The same from the first to the last of a month. */
  tokensPerMonth: count.optional(),
  /** Tokens that documents and searches cost a day. */
  embeddingTokensPerDay: count.optional(),
  /** Requests and running jobs that may be open at a time. */
  atOnce: count.max(100_000).optional(),
  /** Share of a quota by day or month at which an alert is raised; 0.8 if it is not there. */
  warnAt: z
    .number()
    .gt(0, "must be over 0 and at most 1, such as 0.8")
    .max(1, "must be over 0 and at most 1, such as 0.8")
    .optional(),
});

/** Quotas by name. `default` holds for all others, and for the fields that a named one leaves out. */
export const quotasSchema = z.record(z.string().min(1), quotaSchema);

export type QuotaLimits = z.infer<typeof quotaSchema>;
export type QuotasByName = z.infer<typeof quotasSchema>;

const PRICE = /^\d{1,9}(\.\d{1,6})?$/;
/** A price of a million tokens. A number or text with at most 6 decimals, so that sums are exact. */
const price = z
  .union([z.number(), z.string()])
  .refine((value) => PRICE.test(String(value)), "is not a price: use digits and at most 6 decimals, such as 0.15");

/** Prices of a million tokens. */
export const priceSchema = z.strictObject({
  in: price,
  /** Of tokens that came from a prompt cache; absent: as `in`. */
  cached: price.optional(),
  /** Absent: 0, as for embedding models. */
  out: price.optional(),
});

export const pricesSchema = z.strictObject({
  /** ISO 4217. */
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, "is not a currency: use its three capital letters, such as USD or KRW")
    .default("USD"),
  /** What a comparable model of a cloud would cost, by the name of the Mac's model. `default` holds for all others. */
  models: z.record(z.string().min(1), priceSchema).default({}),
  /** What the fallback server really costs. */
  fallback: priceSchema.optional(),
});

export const DEFAULT_TIME_ZONE = "Asia/Seoul";

/** Whether the name is one of a time zone that this Node knows (IANA, such as `Asia/Seoul`). */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

export const usageSchema = z.strictObject({
  /** Days that the ledger's rows and its sums by day are kept. */
  retentionDays: z.int().min(1).max(3660).default(400),
  /** Where days and months of quotas and reports begin. */
  timeZone: z
    .string()
    .refine(isTimeZone, "is not a time zone: use a name of the IANA list, such as Asia/Seoul or UTC")
    .default(DEFAULT_TIME_ZONE),
  /** Bound on the ledger's file. */
  maxDiskMiB: z.int().min(16).max(1_048_576).default(2048),
  prices: pricesSchema.optional(),
});

export type Price = z.infer<typeof priceSchema>;
export type Prices = z.infer<typeof pricesSchema>;
export type UsageConfig = z.infer<typeof usageSchema>;

/** The key of what holds for all others. */
export const DEFAULT_QUOTA = "default";

/** The limits, with the older setting `documents.tokensPerCompanyPerDay` as the quota that it is now. */
export function withDocumentBudget<T extends QuotaLists>(
  limits: T,
  { tokensPerCompanyPerDay }: { readonly tokensPerCompanyPerDay?: number | undefined },
): T {
  if (tokensPerCompanyPerDay === undefined) return limits;
  const { companies = {} } = limits;
  const all = { embeddingTokensPerDay: tokensPerCompanyPerDay, ...companies[DEFAULT_QUOTA] };
  return { ...limits, companies: { ...companies, [DEFAULT_QUOTA]: all } };
}

interface QuotaLists {
  readonly callers?: QuotasByName | undefined;
  readonly companies?: QuotasByName | undefined;
}

export interface QuotaProblem {
  /** Within the limits. */
  readonly path: readonly string[];
  readonly value: unknown;
  /** After the value: the problem and its fix. */
  readonly problem: string;
}

/**
 * What contradicts itself in quotas. @param callers names of the servers
 */
export function quotaProblems(limits: QuotaLists, callers: readonly string[]): QuotaProblem[] {
  const problems: QuotaProblem[] = [];
  for (const list of ["callers", "companies"] as const) {
    const seen = new Map<string, string>();
    for (const [name, quota] of Object.entries(limits[list] ?? {})) {
      const path = [list, name];
      if (list === "callers" && name !== DEFAULT_QUOTA && !callers.includes(name)) {
        const known = callers.map((one) => JSON.stringify(one)).join(", ");
        problems.push({
          path,
          value: name,
          problem: `is not a server of access.servers (${known}): correct the name, or remove it`,
        });
      }
      const normalized = name.trim().normalize("NFC");
      const other = seen.get(normalized);
      if (other !== undefined) {
        problems.push({ path, value: name, problem: `is the same name as ${JSON.stringify(other)}: keep one of them` });
      }
      seen.set(normalized, name);
      problems.push(...orderProblems(path, quota));
    }
  }
  return problems;
}

const ORDER = ["tokensPerMinute", "tokensPerDay", "tokensPerMonth"] as const;

/** A quota of a longer time that is under one of a shorter time. */
function orderProblems(path: readonly string[], quota: QuotaLimits): QuotaProblem[] {
  return ORDER.flatMap((shorter, at) =>
    ORDER.slice(at + 1).flatMap((longer) => {
      const [less, more] = [quota[shorter], quota[longer]];
      if (less === undefined || more === undefined || more >= less) return [];
      const problem = `is under ${shorter} (${less}), which could never be reached: set it to ${less} or more, or lower ${shorter}`;
      return [{ path: [...path, longer], value: more, problem }];
    }),
  );
}
