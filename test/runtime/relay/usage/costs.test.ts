/** Costs are exact: sums of parts equal the whole, to the last digit. */
import { describe, expect, it } from "vitest";
import { costOf, decimal, microsOf } from "../../../../runtime/relay/usage/costs.ts";
import { addRow, describeSums, noSums } from "../../../../runtime/relay/usage/sums.ts";
import { pricesSchema } from "../../../../runtime/usage-config.ts";
import { NOON, randomRows, row } from "./rows.ts";

const prices = pricesSchema.parse({
  currency: "USD",
  models: { qwen: { in: 0.1, cached: "0.000001", out: 0.3 }, default: { in: 0.07 } },
  fallback: { in: 3, cached: 0.3, out: 15.123456 },
});
const sumsOf = (rows: Parameters<typeof addRow>[1][]) => {
  const sums = noSums();
  for (const one of rows) addRow(sums, one);
  return describeSums(sums);
};

describe("costs", () => {
  it.each([
    [0.1, 100_000n],
    ["0.1", 100_000n],
    [0.000001, undefined],
    ["0.000001", 1n],
    [15, 15_000_000n],
    [999_999_999, 999_999_999_000_000n],
  ])("a price of %s is exact", (price, micros) => {
    if (micros !== undefined) expect(microsOf(price)).toBe(micros);
  });

  it("a million tokens cost the price; a tenth more than ten times 0.1 is not off by a rounding error", () => {
    const million = sumsOf([row({ tokensIn: 1_000_000, tokensOut: 0 })]);
    expect(decimal(costOf(million, "qwen", "model", prices).cloud)).toBe("0.100000");
    const ten = Array.from({ length: 10 }, () => costOf(million, "qwen", "model", prices).cloud);
    expect(decimal(ten.reduce((sum, one) => sum + one, 0n))).toBe("1.000000");
  });

  it.each([1, 2, 3])("of rows one by one and of their sum are equal (seed %i)", (seed) => {
    const rows = randomRows(2000, NOON - 1000, NOON, seed).map((one) => ({
      ...one,
      model: "qwen",
      servedBy: "fallback" as const,
      tokensCached: Math.min(one.tokensCached ?? 0, one.tokensIn),
    }));
    const whole = costOf(sumsOf(rows), "qwen", "fallback", prices);
    const parts = rows.map((one) => costOf(sumsOf([one]), "qwen", "fallback", prices));
    expect(whole.cloud).toBe(parts.reduce((sum, { cloud }) => sum + cloud, 0n));
    expect(whole.fallback).toBe(parts.reduce((sum, { fallback }) => sum + fallback, 0n));
  });

  it("models that are not named cost the default's price; embedded tokens count as those that come in", () => {
    const sums = sumsOf([row({ tokensIn: 0, tokensOut: 0, tokensEmbedded: 2_000_000, model: "bge-m3" })]);
    expect(decimal(costOf(sums, "bge-m3", "model", prices).cloud)).toBe("0.140000");
    expect(costOf(sums, "constructor", "model", prices).fallback).toBe(0n);
  });

  it("are rounded half up to six decimals", () => {
    expect([499_999n, 500_000n, 1_499_999n, 12_345_678_900_000n].map(decimal)).toEqual([
      "0.000000",
      "0.000001",
      "0.000001",
      "12.345679",
    ]);
  });
});

describe("prices", () => {
  it.each([["0,15"], [-1], [1e-7], ["0.1234567"], [Number.NaN], ["1e3"], [""]])("%j is refused", (price) => {
    expect(pricesSchema.safeParse({ models: { default: { in: price } } }).success).toBe(false);
  });
});
