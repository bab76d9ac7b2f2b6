/**
 * Every 429 of the relay: its message and its headers. All of them carry `Retry-After` (whole seconds), `retry-after-ms`
 * (which the OpenAI SDKs prefer) and the RateLimit fields. Pure.
 * Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 */
import type { Limits } from "../limits-config.ts";
import { type ErrorCode, RelayError } from "./errors.ts";

/** The quota a request would exceed. */
interface Quota {
  /** Name of the policy in the RateLimit fields. */
  readonly policy: string;
  /** The caller's quota, in `unit`. */
  readonly limit: number;
  /** `requests`, `content-bytes` and `concurrent-requests` are units of the draft, `tokens` is not. */
  readonly unit: "requests" | "concurrent-requests" | "content-bytes" | "tokens";
  /** What is left of it. @default 0 */
  readonly remaining?: number;
  /** The window of a quota that is renewed, in seconds. */
  readonly windowSeconds?: number;
  /** When a retry is worthwhile. */
  readonly retryAfterMs: number;
}

const MIN_QUEUE_RETRY_MS = 250;
const MAX_QUEUE_RETRY_MS = 60_000;
/** For quotas that are free again as soon as one of the caller's own requests ends. */
const RETRY_MS = 5000;
const DAY_SECONDS = 86_400;

/** The queue is full, or the request has waited for too long. The quota is requests at once, running and waiting. */
export function queueRefusal(
  code: "queue_full" | "queue_timeout",
  queue: "chat" | "embeddings",
  expectedWaitMs: number,
  limits: Limits,
): RelayError {
  const retryAfterMs = Math.round(Math.min(Math.max(expectedWaitMs, MIN_QUEUE_RETRY_MS), MAX_QUEUE_RETRY_MS));
  const limit = limits[queue] + (limits.whenBusy === "queue" ? limits.waiting : 0);
  const reason =
    code === "queue_timeout"
      ? `No slot became free within ${limits.waitSeconds} s.`
      : limits.whenBusy === "reject"
        ? `All ${limits[queue]} slots for ${queue} are taken.`
        : `Too many requests wait for the ${limits[queue]} slots for ${queue}.`;
  const message = `${reason} Try again in ${Math.ceil(retryAfterMs / 1000)} s.`;
  return refusal(code, message, { policy: queue, limit, unit: "concurrent-requests", retryAfterMs });
}

/** The caller's requests hold its whole share of `limits.memoryMiB`. */
export function memoryShareFull(limit: number, held: number): RelayError {
  return refusal(
    "memory_share_full",
    "Your running requests already hold all the memory that one caller may use. Wait until some have ended, or send smaller ones.",
    {
      policy: "memory",
      limit: Math.floor(limit),
      unit: "content-bytes",
      remaining: Math.max(0, Math.floor(limit - held)),
      retryAfterMs: RETRY_MS,
    },
  );
}

/** Whose open requests are too many, and where the quota is counted. */
const OPEN_REQUESTS = {
  caller: { policy: "open-requests", message: "Too many of your requests are open at once." },
  person: { policy: "person", message: "Too many requests of yours are open at once." },
  people: { policy: "people", message: "Too many requests of people are open at once." },
  slotless: {
    policy: "slotless",
    message: "Too many of your requests for lists of models and the like run at once.",
  },
} as const;

/** Too many requests are open at once. @param limit how many of them the caller, person or people can have open */
export function tooManyOpenRequests(kind: keyof typeof OPEN_REQUESTS, limit: number): RelayError {
  const { policy, message } = OPEN_REQUESTS[kind];
  const quota: Quota = { policy, limit: Math.floor(limit), unit: "concurrent-requests", retryAfterMs: RETRY_MS };
  return refusal("too_many_requests", `${message} Wait for some to end.`, quota);
}

/** The caller has too many event streams and waits (`Prefer: wait`) open. */
export function tooManyStreams(limit: number): RelayError {
  return refusal(
    "too_many_streams",
    `You have ${limit} event streams and waits open, which is the maximum. Close some, or poll.`,
    { policy: "streams", limit, unit: "concurrent-requests", retryAfterMs: RETRY_MS },
  );
}

/** A quota of `limits.callers` or `limits.companies` that a request would exceed. */
export interface ExceededQuota {
  readonly scope: "caller" | "company";
  /** For the message. */
  readonly name: string;
  readonly quota: keyof typeof QUOTAS;
  readonly limit: number;
  /** Used and reserved by running requests. */
  readonly used: number;
  /** What this request needs, about; 0 if not known. */
  readonly needed: number;
  /** Until it is free or renewed. */
  readonly retryAfterMs: number;
  /** Where days and months begin. */
  readonly timeZone: string;
}

/** How quotas are named in messages and in the RateLimit fields. A month has no fixed length: its window is left out. */
const QUOTAS = {
  requestsPerMinute: { words: "requests in 60 s", policy: "requests", unit: "requests", windowSeconds: 60 },
  tokensPerMinute: { words: "tokens in 60 s", policy: "tokens", unit: "tokens", windowSeconds: 60 },
  tokensPerDay: { words: "tokens per day", policy: "tokens-day", unit: "tokens", windowSeconds: DAY_SECONDS },
  tokensPerMonth: { words: "tokens per month", policy: "tokens-month", unit: "tokens", windowSeconds: undefined },
  embeddingTokensPerDay: {
    words: "embedding tokens per day",
    policy: "embedding-tokens-day",
    unit: "tokens",
    windowSeconds: DAY_SECONDS,
  },
  atOnce: {
    words: "requests at once",
    policy: "at-once",
    unit: "concurrent-requests",
    windowSeconds: undefined,
  },
} as const;

/**
 * A quota would be exceeded: `quota_exceeded` where a retry soon helps, `quota_spent` for one of a day or month, and
 * `company_budget_spent`, its older code, for a company's embedding tokens.
 * @param headers state of the quotas by minute, as OpenAI's headers
 */
export function quotaRefusal(exceeded: ExceededQuota, headers: Readonly<Record<string, string>> = {}): RelayError {
  const { scope, name, quota, limit, used, needed, retryAfterMs, timeZone } = exceeded;
  const { words, policy, unit, windowSeconds } = QUOTAS[quota];
  const isBudget = scope === "company" && quota === "embeddingTokensPerDay";
  const isLong = quota.endsWith("Day") || quota.endsWith("Month");
  const more = unit === "tokens" && needed > 0 ? `, about ${needed} more are needed` : "";
  const fix =
    needed > limit
      ? "One request may not need more than the whole quota: send a shorter one, or have the quota raised."
      : isLong
        ? `The quota is renewed at midnight (${timeZone})${quota === "tokensPerMonth" ? " on the first of the month" : ""}.`
        : quota === "atOnce"
          ? "Wait for some to end."
          : `Try again in ${Math.ceil(retryAfterMs / 1000)} s.`;
  const message = `This would exceed the quota of ${limit} ${words} of ${name}: ${used} are used or in use${more}. ${fix}`;
  const code = isBudget ? "company_budget_spent" : isLong ? "quota_spent" : "quota_exceeded";
  const base = refusal(code, message, {
    policy: isBudget ? "company-tokens" : `${scope}-${policy}`,
    limit,
    unit,
    remaining: Math.max(0, limit - used),
    ...(windowSeconds !== undefined && { windowSeconds }),
    retryAfterMs,
  });
  return new RelayError(code, message, { headers: { ...base.headers, ...headers } });
}

function refusal(code: ErrorCode, message: string, quota: Quota): RelayError {
  const { policy, limit, unit, remaining = 0, windowSeconds, retryAfterMs } = quota;
  const seconds = Math.ceil(retryAfterMs / 1000);
  const window = windowSeconds === undefined ? "" : `;w=${windowSeconds}`;
  return new RelayError(code, message, {
    headers: {
      "Retry-After": String(seconds),
      "retry-after-ms": String(Math.ceil(retryAfterMs)),
      "RateLimit-Policy": `"${policy}";q=${limit};qu="${unit}"${window}`,
      RateLimit: `"${policy}";r=${remaining};t=${seconds}`,
    },
  });
}
