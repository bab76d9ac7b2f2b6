/** Quotas: exact under concurrency, settled, renewed, seeded. Without sockets; the clock is the test's. */
import { describe, expect, it } from "vitest";
import { type Limits, limitsSchema } from "../../../../runtime/limits-config.ts";
import { RelayError } from "../../../../runtime/relay/errors.ts";
import { Calendar, DAY_MS } from "../../../../runtime/relay/usage/calendar.ts";
import { companyOfUsage } from "../../../../runtime/relay/usage/entry.ts";
import type { QuotaHold } from "../../../../runtime/relay/usage/quota-hold.ts";
import { createQuotas, type QuotaClaim } from "../../../../runtime/relay/usage/quotas.ts";
import type { QuotasByName } from "../../../../runtime/usage-config.ts";
import { NOON, random } from "./rows.ts";

interface Setup {
  readonly callers?: QuotasByName;
  readonly companies?: QuotasByName;
  readonly timeZone?: string;
  readonly at?: number;
}

function book({ callers, companies, timeZone = "Asia/Seoul", at = NOON }: Setup) {
  const time = { now: at };
  const warned: string[] = [];
  const renewed: string[] = [];
  const still: string[] = [];
  const limits: Limits = limitsSchema.parse({ callers, companies });
  const quotas = createQuotas(limits, {
    calendar: new Calendar(timeZone),
    now: () => time.now,
    warnings: {
      onQuotaWarning: (name, share) => warned.push(`${name} ${share.toFixed(2)}`),
      onQuotaStillWarned: (name, share) => still.push(`${name} ${share.toFixed(2)}`),
      onQuotaRenewed: (name) => renewed.push(name),
    },
  });
  const claim = (changes: Partial<QuotaClaim> = {}): QuotaClaim => ({
    caller: "shop",
    company: "국민",
    tokens: 0,
    ...changes,
  });
  /** The hold, or the refusal. */
  const tryAdmit = (changes: Partial<QuotaClaim> = {}): QuotaHold | RelayError => {
    try {
      return quotas.admit(claim(changes));
    } catch (cause) {
      return cause instanceof RelayError ? cause : expect.fail(String(cause));
    }
  };
  const admit = (changes: Partial<QuotaClaim> = {}): QuotaHold => {
    const got = tryAdmit(changes);
    return got instanceof RelayError ? expect.fail(got.message) : got;
  };
  const refused = (changes: Partial<QuotaClaim> = {}): RelayError => {
    const got = tryAdmit(changes);
    return got instanceof RelayError ? got : expect.fail("admitted");
  };
  return { quotas, time, limits, admit, refused, tryAdmit, warned, still, renewed };
}

describe("requests a minute", () => {
  it("of 64 at once exactly as many pass as the quota says", () => {
    const { tryAdmit } = book({ callers: { shop: { requestsPerMinute: 40 } } });
    const got = Array.from({ length: 64 }, () => tryAdmit());
    expect(got.filter((one) => !(one instanceof RelayError))).toHaveLength(40);
  });

  it.each([1, 2, 3, 4, 5])("in no span of 60 s more pass than the quota says (random load, seed %i)", (seed) => {
    const limit = 25;
    const { time, tryAdmit } = book({ companies: { default: { requestsPerMinute: limit } } });
    const next = random(seed);
    const passed: number[] = [];
    for (let request = 0; request < 3000; request += 1) {
      time.now += Math.floor(next() * (next() < 0.02 ? 40_000 : 700));
      const got = tryAdmit();
      if (got instanceof RelayError) continue;
      passed.push(time.now);
      got.settle(0, 0);
    }
    for (const [index, at] of passed.entries()) {
      const within = passed.slice(index).filter((other) => other < at + 60_000).length;
      expect(within).toBeLessThanOrEqual(limit);
    }
    // Nor are they held back for longer than the second that has begun.
    const spans = passed.map((at, index) => (passed[index + limit] ?? Number.POSITIVE_INFINITY) - at);
    expect(Math.min(...spans)).toBeLessThan(63_000);
  });

  it("Retry-After is when a retry succeeds", () => {
    const { time, admit, refused } = book({ callers: { default: { requestsPerMinute: 3 } } });
    for (let at = 0; at < 3; at += 1) {
      admit();
      time.now += 7000;
    }
    const { headers, code } = refused();
    expect(code).toBe("quota_exceeded");
    time.now += Number(headers["retry-after-ms"]) - 1;
    refused();
    time.now += 1;
    admit();
  });

  it("a request that one quota refuses counts against no other", () => {
    const { admit, refused, quotas, limits } = book({
      callers: { shop: { requestsPerMinute: 2 } },
      companies: { 국민: { atOnce: 1 } },
    });
    admit();
    for (let at = 0; at < 5; at += 1) expect(refused().message).toMatch(/1 requests at once of the company "국민"/);
    quotas.update(limits);
    admit({ company: "삼성" });
    expect(refused({ company: "삼성" }).message).toMatch(/requests in 60 s of the caller "shop"/);
  });

  it("a clock that is set back by an hour does not freeze the quota", () => {
    const { time, admit, refused } = book({ callers: { default: { requestsPerMinute: 1 } } });
    admit();
    time.now -= 3_600_000;
    admit();
    refused();
  });
});

describe("requests at once", () => {
  it("of 64 at once exactly as many run as the quota says, and each end lets one more in", () => {
    const { tryAdmit, admit, refused } = book({ companies: { default: { atOnce: 8 } } });
    const running = Array.from({ length: 64 }, () => tryAdmit()).flatMap((one) =>
      one instanceof RelayError ? [] : [one],
    );
    expect(running).toHaveLength(8);
    running[0]!.settle(0, 0);
    running[0]!.settle(0, 0); // twice frees once
    admit();
    expect(refused().headers["RateLimit-Policy"]).toBe('"company-at-once";q=8;qu="concurrent-requests"');
  });
});

describe("tokens", () => {
  it.each([1, 2, 3])("are exceeded by no more than what ran at that moment (random load, seed %i)", (seed) => {
    const limit = 10_000;
    const { tryAdmit } = book({ companies: { default: { tokensPerMonth: limit } } });
    const next = random(seed);
    const running: { hold: QuotaHold; used: number }[] = [];
    let used = 0;
    for (let step = 0; step < 2000; step += 1) {
      const tokens = 50 + Math.floor(next() * 200);
      const hold = tryAdmit({ tokens });
      // The estimate may be far too low.
      if (!(hold instanceof RelayError)) running.push({ hold, used: Math.floor(tokens * next() * 5) });
      if (next() < 0.6 && running.length > 0) {
        const [ended] = running.splice(Math.floor(next() * running.length), 1);
        const before = used;
        ended!.hold.settle(ended!.used, 0);
        used += ended!.used;
        // Beyond the limit, only what ran already goes on.
        if (before >= limit) expect(tryAdmit({ tokens: 1 })).toBeInstanceOf(RelayError);
      }
    }
    const overshoot = used - limit;
    expect(overshoot).toBeLessThanOrEqual(running.length * 1250 + 8 * 1250);
  });

  it("an estimate that was too high is given back", () => {
    const { admit, refused } = book({ callers: { shop: { tokensPerDay: 1000 } } });
    const first = admit({ tokens: 900 });
    expect(refused({ tokens: 200 }).code).toBe("quota_spent");
    first.settle(10, 0);
    admit({ tokens: 900 });
  });

  it("a request that needs more than the whole quota is told so", () => {
    const { refused } = book({ callers: { shop: { tokensPerMinute: 100 } } });
    expect(refused({ tokens: 500 }).message).toMatch(/more than the whole quota: send a shorter one/);
  });

  it("embedding tokens count by day where they are limited, and in all tokens too", () => {
    const { admit, refused } = book({
      companies: { default: { embeddingTokensPerDay: 100 } },
      callers: { shop: { tokensPerDay: 150 } },
    });
    admit({ tokens: 120 }).settle(120, 0); // a chat: not embedding
    const document = admit();
    document.reserve(20);
    expect(() => document.reserve(20)).toThrow(/150 tokens per day of the caller "shop"/);
    document.settle(20, 20);
    const other = admit({ caller: "bank" });
    expect(() => other.reserve(90)).toThrow(/quota of 100 embedding tokens per day of the company "국민"/);
    expect(refused({ tokens: 20 }).code).toBe("quota_spent");
  });

  it("a stream that was cut counts with what came", () => {
    const { admit, refused } = book({ callers: { default: { tokensPerMinute: 100 } } });
    admit({ tokens: 60 }).settle(95, 0);
    expect(refused({ tokens: 10 }).headers["x-ratelimit-remaining-tokens"]).toBe("5");
  });
});

describe("days and months", () => {
  it.each([
    ["Asia/Seoul", "2026-12-01T00:00:00+09:00"],
    ["UTC", "2026-12-01T00:00:00Z"],
    ["America/New_York", "2026-12-01T00:00:00-05:00"],
  ])("end at midnight of the time zone (%s)", (timeZone, text) => {
    const midnight = Date.parse(text);
    const quotas = { tokensPerDay: 100, tokensPerMonth: 150 };
    const { time, admit, refused } = book({ callers: { shop: quotas }, timeZone, at: midnight - 1000 - DAY_MS });
    admit({ tokens: 100 }).settle(100, 0);
    expect(refused({ tokens: 1 }).message).toContain(`renewed at midnight (${timeZone})`);
    time.now += DAY_MS; // the last second of the month
    const { headers, message } = refused({ tokens: 60 });
    expect(message).toMatch(/tokens per month.*first of the month/);
    expect(headers["Retry-After"]).toBe("1");
    admit({ tokens: 50 }).settle(50, 0);
    time.now = midnight;
    admit({ tokens: 100 }).settle(100, 0);
  });

  it("what ran across midnight is charged to the day it ends in", () => {
    const midnight = Date.parse("2026-11-29T00:00:00+09:00");
    const { time, admit, refused } = book({ callers: { shop: { tokensPerDay: 100 } }, at: midnight - 1 });
    const hold = admit({ tokens: 80 });
    time.now = midnight;
    refused({ tokens: 30 }); // still reserved
    hold.settle(80, 0);
    refused({ tokens: 30 });
    admit({ tokens: 20 });
  });
});

describe("whose quota", () => {
  it("a named one takes the default's fields that it leaves out", () => {
    const { admit, refused } = book({
      companies: { default: { atOnce: 1, tokensPerDay: 10 }, 국민: { tokensPerDay: 1000 } },
    });
    admit({ tokens: 500 });
    expect(refused().message).toMatch(/at once/);
  });

  it("names are compared as companies are: trimmed, in NFC", () => {
    const { admit, refused } = book({ companies: { [" 국민 ".normalize("NFD")]: { atOnce: 1 } } });
    admit();
    refused();
  });

  it("requests without a company count for their caller's only one, else as a flow of their own", () => {
    expect(companyOfUsage({ companies: [" 국민 "] }, undefined)).toBe("국민");
    expect(companyOfUsage({ companies: ["국민", "삼성"] }, undefined)).toBeNull();
    expect(companyOfUsage({ companies: ["*"] }, undefined)).toBeNull();
    expect(companyOfUsage({ companies: ["*"] }, "LG")).toBe("LG");
    const { admit, refused } = book({ companies: { default: { atOnce: 1 } } });
    admit({ company: null });
    expect(refused({ company: null }).message).toContain("requests of shop that name no company");
    admit({ company: null, caller: "bank" });
  });

  it("invented companies beyond a bound share one quota; a caller's own quota holds whatever it names", () => {
    const { admit, refused, tryAdmit } = book({
      companies: { default: { tokensPerDay: 10 }, named: { tokensPerDay: 10 } },
      callers: { shop: { requestsPerMinute: 5000 } },
    });
    for (let at = 0; at < 4096; at += 1) admit({ company: `invented ${at}`, tokens: 10 });
    admit({ company: "one more", tokens: 10 });
    expect(refused({ company: "and another", tokens: 10 }).message).toContain("all further companies together");
    admit({ company: "named", tokens: 10 });
    const got = Array.from({ length: 1000 }, (_, at) => tryAdmit({ company: `more ${at}` }));
    expect(got.every((one) => one instanceof RelayError)).toBe(true);
  });

  it("names of objects are no quotas", () => {
    const { admit } = book({ callers: { default: { atOnce: 100 } }, companies: {} });
    for (const company of ["constructor", "__proto__", "toString"]) admit({ company, caller: company });
  });

  it("limits change while requests run; what was used of a month stays", () => {
    const { quotas, limits, admit, refused } = book({});
    admit({ tokens: 500 }).settle(500, 0);
    quotas.update({ ...limits, callers: { shop: { tokensPerMonth: 600 } } });
    refused({ tokens: 101 });
    admit({ tokens: 100 });
  });
});

describe("headers", () => {
  it("say what is left of the quotas by minute, as OpenAI's do: of the fullest", () => {
    const { admit, time } = book({
      callers: { shop: { requestsPerMinute: 60, tokensPerMinute: 6000 } },
      companies: { 국민: { requestsPerMinute: 10 } },
    });
    admit().settle(0, 0);
    time.now += 1500;
    expect(admit({ tokens: 1000 }).headers()).toEqual({
      "x-ratelimit-limit-requests": "10",
      "x-ratelimit-remaining-requests": "8",
      "x-ratelimit-reset-requests": "1m1s",
      "x-ratelimit-limit-tokens": "6000",
      "x-ratelimit-remaining-tokens": "5000",
      "x-ratelimit-reset-tokens": "0ms",
    });
  });

  it("are left out without such quotas", () => {
    expect(book({}).admit().headers()).toBeUndefined();
    expect(
      book({ callers: { shop: { tokensPerMonth: 5 } } })
        .admit()
        .headers(),
    ).toBeUndefined();
  });
});

describe("warnings", () => {
  it("come once when the share is reached, and end when the quota is renewed", () => {
    const { admit, warned, renewed, time, quotas } = book({ companies: { 국민: { tokensPerDay: 100, warnAt: 0.5 } } });
    admit({ tokens: 10 }).settle(49, 0);
    expect(warned).toEqual([]);
    admit({ tokens: 1 });
    admit({ tokens: 1 }).settle(10, 0);
    expect(warned).toEqual(['the company "국민": tokensPerDay 0.50']);
    time.now += DAY_MS;
    quotas.tick();
    quotas.tick();
    expect(renewed).toEqual(['the company "국민": tokensPerDay']);
  });

  it("come for what was used before the start", () => {
    const { quotas, warned, still } = book({ callers: { shop: { tokensPerMonth: 100 } } });
    quotas.seed({ month: [{ caller: "shop", company: "", tokens: 90, embedded: 0 }], day: [], minute: [] });
    expect(warned).toEqual(['the caller "shop": tokensPerMonth 0.90']);
    // Again each minute: an alert that is not raised again ends after a day, long before the month.
    quotas.tick();
    quotas.tick();
    expect(still).toEqual(['the caller "shop": tokensPerMonth 0.90', 'the caller "shop": tokensPerMonth 0.90']);
    expect(warned).toHaveLength(1);
  });
});

describe("a restart", () => {
  it("goes on with month, day and the last minute", () => {
    const { quotas, admit, refused } = book({
      callers: { shop: { requestsPerMinute: 3, tokensPerMinute: 100, tokensPerDay: 200, tokensPerMonth: 1000 } },
    });
    const before = { caller: "shop", company: "국민", embedded: 0 };
    quotas.seed({
      month: [{ ...before, tokens: 950 }],
      day: [{ ...before, tokens: 180 }],
      minute: [
        { at: NOON - 10_000, caller: "shop", company: "국민", tokens: 80, counted: true },
        { at: NOON - 5000, caller: "shop", company: "국민", tokens: 0, counted: true },
        { at: NOON - 5000, caller: "shop", company: "국민", tokens: 0, counted: false },
      ],
    });
    expect(refused({ tokens: 21 }).message).toMatch(/tokens in 60 s/);
    admit({ tokens: 20 });
    expect(refused({ tokens: 0 }).message).toMatch(/requests in 60 s/);
  });

  it("what runs is told to the ledger when it changes, by caller and company", () => {
    const { quotas, admit } = book({ callers: { shop: { tokensPerMonth: 1000 } } });
    expect(quotas.reserved()).toBeUndefined();
    const holds = [admit({ tokens: 10 }), admit({ tokens: 20 }), admit({ tokens: 5, company: null })];
    holds[1]!.reserve(7);
    expect(quotas.reserved()).toEqual([
      { caller: "shop", company: "국민", tokens: 30, embedded: 7 },
      { caller: "shop", company: "", tokens: 5, embedded: 0 },
    ]);
    expect(quotas.reserved()).toBeUndefined();
    for (const hold of holds) hold.settle(1, 0);
    expect(quotas.reserved()).toEqual([]);
  });
});
