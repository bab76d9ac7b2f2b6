/** Costs of tokens, exact: integers of 1e-12 of the currency's unit, since a price of a million tokens has 6 decimals. Pure. */
import { DEFAULT_QUOTA, type Price, type Prices } from "../../usage-config.ts";
import type { UsageSums } from "./row.ts";

export interface Cost {
  /** What the tokens would have cost at the list's prices, in 1e-12 of the currency. */
  readonly cloud: bigint;
  /** What the fallback server cost. */
  readonly fallback: bigint;
}

export const NO_COST: Cost = { cloud: 0n, fallback: 0n };

/** Decimals of a price, and of a cost as it is shown. */
const DECIMALS = 6;

/** A price of a million tokens in millionths of the currency. The schema has checked its form. */
export function microsOf(price: number | string): bigint {
  const [whole = "0", decimals = ""] = String(price).split(".");
  return BigInt(whole + decimals.padEnd(DECIMALS, "0"));
}

/** @param sums of one model and one who served it */
export function costOf(sums: UsageSums, model: string, servedBy: string, prices: Prices): Cost {
  const price = Object.hasOwn(prices.models, model) ? prices.models[model] : prices.models[DEFAULT_QUOTA];
  return {
    cloud: priced(sums, price),
    fallback: servedBy === "fallback" ? priced(sums, prices.fallback) : 0n,
  };
}

function priced({ tokensIn, tokensCached, tokensOut, tokensEmbedded }: UsageSums, price: Price | undefined): bigint {
  if (price === undefined) return 0n;
  const { in: input, cached = input, out = 0 } = price;
  // Tokens of the cache are part of those that came in.
  return (
    BigInt(tokensIn - tokensCached + tokensEmbedded) * microsOf(input) +
    BigInt(tokensCached) * microsOf(cached) +
    BigInt(tokensOut) * microsOf(out)
  );
}

/** The amount with 6 decimals, rounded half up. */
export function decimal(cost: bigint): string {
  const micros = (cost + 500_000n) / 1_000_000n;
  const digits = micros.toString().padStart(DECIMALS + 1, "0");
  return `${digits.slice(0, -DECIMALS)}.${digits.slice(-DECIMALS)}`;
}
