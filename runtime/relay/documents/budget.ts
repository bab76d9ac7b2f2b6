/** The daily bound of embedding tokens a company; there is none unless the config has one. */
import { RelayError } from "../errors.ts";
import { type StoreGuard, StoreUnavailable } from "./store-guard.ts";

const DAY_MS = 86_400_000;

export interface Budget {
  /** @throws RelayError `company_budget_spent` when these tokens would pass the bound */
  check(company: string, estimatedTokens: number): Promise<void>;
  /** Notes what embedding has cost. Never rejects. */
  charge(company: string, tokens: number): Promise<void>;
}

/** Days are UTC's. The store keeps the sums, so that two relays share them; while it is away this process counts alone. */
export function createBudget(limit: number | undefined, guard: StoreGuard, now: () => number): Budget {
  const own = new Map<string, number>();
  const dayOf = () => new Date(now()).toISOString().slice(0, 10);
  const keyOf = (company: string) => JSON.stringify([dayOf(), company]);
  return {
    async check(company, estimatedTokens) {
      if (limit === undefined) return;
      const stored = await guard.use((store) => store.spent(company, dayOf())).catch(orZero);
      const spent = Math.max(stored, own.get(keyOf(company)) ?? 0);
      if (spent + estimatedTokens <= limit) return;
      const seconds = Math.ceil((DAY_MS - (now() % DAY_MS)) / 1000);
      throw new RelayError(
        "company_budget_spent",
        `The company's bound of ${limit} embedding tokens a day would be passed: ${spent} are spent, about ${estimatedTokens} more are needed. It starts anew at midnight UTC.`,
        { headers: { "Retry-After": String(seconds) } },
      );
    },
    async charge(company, tokens) {
      if (limit === undefined) return;
      const key = keyOf(company);
      if (!own.has(key)) for (const old of own.keys()) if (!old.startsWith(`["${dayOf()}"`)) own.delete(old);
      own.set(key, (own.get(key) ?? 0) + tokens);
      await guard.use((store) => store.spend(company, dayOf(), tokens)).catch(orZero);
    },
  };
}

function orZero(cause: unknown): number {
  if (cause instanceof StoreUnavailable) return 0;
  throw cause;
}
