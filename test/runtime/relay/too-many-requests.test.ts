import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { limitsSchema } from "../../../runtime/limits-config.ts";
import { ERRORS, type RelayError } from "../../../runtime/relay/errors.ts";
import {
  memoryShareFull,
  queueRefusal,
  quotaRefusal,
  tooManyOpenRequests,
  tooManyStreams,
} from "../../../runtime/relay/too-many-requests.ts";

const relay = join(import.meta.dirname, "../../../runtime/relay");
const CODES = Object.entries(ERRORS).flatMap(([code, { status }]) => (status === 429 ? [code] : []));
const limits = limitsSchema.parse({ chat: 2, waiting: 3 });

const REFUSALS: readonly [RelayError, object][] = [
  [
    queueRefusal("queue_full", "chat", 1234, limits),
    {
      "Retry-After": "2",
      "retry-after-ms": "1234",
      "RateLimit-Policy": '"chat";q=5;qu="concurrent-requests"',
      RateLimit: '"chat";r=0;t=2',
    },
  ],
  [
    queueRefusal("queue_timeout", "chat", 1e9, { ...limits, whenBusy: "reject" }),
    {
      "Retry-After": "60",
      "retry-after-ms": "60000",
      "RateLimit-Policy": '"chat";q=2;qu="concurrent-requests"',
      RateLimit: '"chat";r=0;t=60',
    },
  ],
  [
    memoryShareFull(1000.5, 900.2),
    {
      "Retry-After": "5",
      "retry-after-ms": "5000",
      "RateLimit-Policy": '"memory";q=1000;qu="content-bytes"',
      RateLimit: '"memory";r=100;t=5',
    },
  ],
  [
    tooManyOpenRequests("caller", 16),
    {
      "Retry-After": "5",
      "retry-after-ms": "5000",
      "RateLimit-Policy": '"open-requests";q=16;qu="concurrent-requests"',
      RateLimit: '"open-requests";r=0;t=5',
    },
  ],
  [
    tooManyStreams(128),
    {
      "Retry-After": "5",
      "retry-after-ms": "5000",
      "RateLimit-Policy": '"streams";q=128;qu="concurrent-requests"',
      RateLimit: '"streams";r=0;t=5',
    },
  ],
  [
    quotaRefusal(
      {
        scope: "caller",
        name: 'the caller "shop"',
        quota: "requestsPerMinute",
        limit: 60,
        used: 60,
        needed: 1,
        retryAfterMs: 1500,
        timeZone: "Asia/Seoul",
      },
      { "x-ratelimit-limit-requests": "60" },
    ),
    {
      "Retry-After": "2",
      "retry-after-ms": "1500",
      "RateLimit-Policy": '"caller-requests";q=60;qu="requests";w=60',
      RateLimit: '"caller-requests";r=0;t=2',
      "x-ratelimit-limit-requests": "60",
    },
  ],
  [
    quotaRefusal({
      scope: "company",
      name: 'the company "국민"',
      quota: "tokensPerMonth",
      limit: 1000,
      used: 990,
      needed: 20,
      retryAfterMs: 86_400_000,
      timeZone: "Asia/Seoul",
    }),
    {
      "Retry-After": "86400",
      "retry-after-ms": "86400000",
      "RateLimit-Policy": '"company-tokens-month";q=1000;qu="tokens"',
      RateLimit: '"company-tokens-month";r=10;t=86400',
    },
  ],
  [
    quotaRefusal({
      scope: "company",
      name: 'the company "국민"',
      quota: "embeddingTokensPerDay",
      limit: 100,
      used: 120,
      needed: 7,
      retryAfterMs: 3_600_500,
      timeZone: "Asia/Seoul",
    }),
    {
      "Retry-After": "3601",
      "retry-after-ms": "3600500",
      "RateLimit-Policy": '"company-tokens";q=100;qu="tokens";w=86400',
      RateLimit: '"company-tokens";r=0;t=3601',
    },
  ],
];

describe("429", () => {
  test.each(REFUSALS)("%s carries the time of a retry and the quota", (error, headers) => {
    expect(error.status).toBe(429);
    expect(error.headers).toEqual(headers);
  });

  test("the table above has every code with status 429", () => {
    expect([...new Set(REFUSALS.map(([{ code }]) => code))].sort()).toEqual(CODES.toSorted());
  });

  test("no other file of the relay creates an error with such a code", () => {
    const creates = new RegExp(`new RelayError\\(\\s*"(${CODES.join("|")})"`);
    const files = globSync("**/*.ts", { cwd: relay }).filter((file) =>
      creates.test(readFileSync(join(relay, file), "utf8")),
    );
    expect(files).toEqual([]);
  });
});
