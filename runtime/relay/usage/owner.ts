/** Usage of all callers with its costs, for the owner: `/usage` of the admin listener, which `npm run usage` reads. */
import type { RelayConfig } from "../../config.ts";
import { totalsOf, whenAvailable } from "./api.ts";
import { type Cost, costOf, decimal, NO_COST } from "./costs.ts";
import type { Ledger, UsageTotal } from "./ledger.ts";
import type { Lengths } from "./lengths.ts";
import { ALL_DIMENSIONS, readUsageQuery, usageView } from "./query.ts";
import type { UsageDimension } from "./store.ts";

/** What costs depend on, beside what was asked for. */
const PRICED_BY: readonly UsageDimension[] = ["model", "servedBy"];

/**
 * Sums by what `by` of the query names, with commas. With prices in the config, each sum has `cloud_cost` (what the tokens
 * would have cost at the list's prices) and `fallback_cost` (what the fallback server cost), as decimals in `currency`.
 * @throws RelayError `usage_query_invalid`, `usage_unavailable`
 */
export async function ownerUsage(query: string, config: Pick<RelayConfig, "usage">, ledger: Ledger) {
  const { calendar } = ledger;
  const asked = { calendar, now: Date.now(), dimensions: ALL_DIMENSIONS, several: true };
  const { from, to, by } = readUsageQuery(query, asked);
  const prices = config.usage?.prices;
  const fine = [...by, ...PRICED_BY.filter((dimension) => !by.includes(dimension))];
  const [coarse, [all], parts] = await Promise.all([
    totalsOf(ledger, { from, to, by }),
    totalsOf(ledger, { from, to }),
    prices === undefined ? [] : totalsOf(ledger, { from, to, by: fine }),
  ]);
  const [modelAt, servedAt] = PRICED_BY.map((dimension) => fine.indexOf(dimension)) as [number, number];
  const sums = new Map<string, Cost>();
  for (const part of parts) {
    const cost = costOf(part, part.keys[modelAt]!, part.keys[servedAt]!, prices!);
    for (const name of new Set([nameOf(part.keys.slice(0, by.length)), nameOf([])])) {
      const sum = sums.get(name) ?? NO_COST;
      sums.set(name, { cloud: sum.cloud + cost.cloud, fallback: sum.fallback + cost.fallback });
    }
  }
  const costs = (keys: readonly string[]) => {
    if (prices === undefined) return {};
    const { cloud, fallback } = sums.get(nameOf(keys)) ?? NO_COST;
    return { cloud_cost: decimal(cloud), fallback_cost: decimal(fallback) };
  };
  const view = (total: UsageTotal, dimensions: readonly UsageDimension[]) => ({
    ...usageView(total, dimensions),
    ...costs(total.keys),
  });
  return {
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    time_zone: calendar.timeZone,
    by,
    currency: prices?.currency ?? null,
    data: by.length === 0 ? [] : coarse.map((total) => view(total, by)),
    total: all === undefined ? null : view(all, []),
  };
}

/**
 * Lengths of prompts and answers in a range, as `npm run capacity` measures with: `/usage/lengths`; null without any.
 * @throws RelayError `usage_query_invalid`, `usage_unavailable`
 */
export async function ownerLengths(query: string, ledger: Ledger): Promise<Lengths | null> {
  const asked = { calendar: ledger.calendar, now: Date.now(), dimensions: [], several: false };
  const { from, to } = readUsageQuery(query, asked);
  return (await whenAvailable(ledger.lengths({ from, to }))) ?? null;
}

/** A sum's keys as one text. */
const nameOf = (keys: readonly string[]): string => JSON.stringify(keys);
