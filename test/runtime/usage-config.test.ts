/** Quotas of the config: what contradicts itself is said with its fix; files of older releases are read. */
import { describe, expect, it } from "vitest";
import { relayConfigSchema } from "../../runtime/config.ts";
import { limitsSchema } from "../../runtime/limits-config.ts";
import { configProblems } from "../../runtime/relay/settings.ts";
import { quotaProblems, usageSchema, withDocumentBudget } from "../../runtime/usage-config.ts";
import { testConfig } from "./relay/harness.ts";

describe("quotas", () => {
  it("for a caller that is not there, in contradiction to each other or named twice are refused, all at once", () => {
    const limits = limitsSchema.parse({
      callers: { backnd: { atOnce: 1 }, default: { tokensPerMinute: 100, tokensPerDay: 50 } },
      companies: { 국민: { tokensPerDay: 100, tokensPerMonth: 99 }, " 국민": {} },
    });
    expect(quotaProblems(limits, ["backend"]).map(({ path, problem }) => `${path.join(".")} ${problem}`)).toEqual([
      'callers.backnd is not a server of access.servers ("backend"): correct the name, or remove it',
      "callers.default.tokensPerDay is under tokensPerMinute (100), which could never be reached: set it to 100 or more, or lower tokensPerMinute",
      "companies.국민.tokensPerMonth is under tokensPerDay (100), which could never be reached: set it to 100 or more, or lower tokensPerDay",
      'companies. 국민 is the same name as "국민": keep one of them',
    ]);
    const problems = configProblems(testConfig("http://127.0.0.1:1", "/x", { limits, port: 8080, adminPort: 8081 }));
    expect(problems).toHaveLength(4);
    expect(problems[0]).toMatch(/^limits\.callers\.backnd is "backnd": is not a server/);
  });

  it.each([{ requestsPerMinute: 0 }, { tokensPerDay: 1.5 }, { warnAt: 0 }, { warnAt: 1.1 }, { perHour: 5 }])(
    "%j is refused",
    (quota) => {
      expect(limitsSchema.safeParse({ companies: { default: quota } }).success).toBe(false);
    },
  );
});

describe("older settings", () => {
  it("documents.tokensPerCompanyPerDay is the default quota of embedding tokens, unless that is set itself", () => {
    const limits = limitsSchema.parse({ companies: { 국민: { atOnce: 1 } } });
    expect(withDocumentBudget(limits, {})).toBe(limits);
    expect(withDocumentBudget(limits, { tokensPerCompanyPerDay: 7 }).companies).toEqual({
      국민: { atOnce: 1 },
      default: { embeddingTokensPerDay: 7 },
    });
    const both = limitsSchema.parse({ companies: { default: { embeddingTokensPerDay: 9, atOnce: 2 } } });
    expect(withDocumentBudget(both, { tokensPerCompanyPerDay: 7 }).companies).toEqual({
      default: { embeddingTokensPerDay: 9, atOnce: 2 },
    });
  });

  it("a relay.json without usage and quotas is read, and has the defaults", () => {
    const { usage: _, ...old } = {
      ...testConfig("http://127.0.0.1:1", "/x"),
      port: 8080,
      adminPort: 8081,
      usage: undefined,
    };
    const read = relayConfigSchema.parse(old);
    expect(read.usage).toBeUndefined();
    expect(usageSchema.parse(read.usage ?? {})).toEqual({
      retentionDays: 400,
      timeZone: "Asia/Seoul",
      maxDiskMiB: 2048,
    });
    expect(configProblems(read)).toEqual([]);
  });
});

it.each(["Seoul", "", "Asia/Nowhere"])("usage.timeZone %j is refused with an example", (timeZone) => {
  const { error } = usageSchema.safeParse({ timeZone });
  expect(error?.issues[0]?.message).toContain("Asia/Seoul");
});
