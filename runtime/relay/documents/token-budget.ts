/** Daily limit of embedding tokens per company; off unless configured. */
import { companyBudgetSpent } from "../too-many-requests.ts";
import { type StoreGuard, StoreUnavailable } from "./store-guard.ts";

const DAY_MS = 86_400_000;
/** Companies whose sums are cached; bounded, since a caller without a list of companies may invent names. */
const MOST_COMPANIES = 10_000;

export interface TokenBudget {
  /**
   * Embeds, and records the cost. Work in progress counts with its estimate, so that concurrent requests cannot exceed the limit
   * together; another relay's work in progress is not counted.
   * @throws RelayError `company_budget_spent` when these tokens would exceed the limit, and as `embed` does
   */
  within<T extends { readonly tokens: number }>(
    company: string,
    estimatedTokens: number,
    embed: () => Promise<T>,
  ): Promise<T>;
}

/** Days are in UTC. The store keeps the sums for all relays; while it is unavailable this process counts alone. */
export function createTokenBudget(limit: number | undefined, guard: StoreGuard, now: () => number): TokenBudget {
  const own = new Map<string, number>();
  const dayOf = () => new Date(now()).toISOString().slice(0, 10);
  const underWay = new Map<string, number>();
  const keyOf = (company: string) => JSON.stringify([dayOf(), company]);
  const check = (company: string, stored: number, estimatedTokens: number, most: number): void => {
    const spent = Math.max(stored, own.get(keyOf(company)) ?? 0) + (underWay.get(company) ?? 0);
    if (spent + estimatedTokens <= most) return;
    const renewedInMs = DAY_MS - (now() % DAY_MS);
    throw companyBudgetSpent({ limit: most, spent, needed: estimatedTokens, renewedInMs });
  };
  const charge = async (company: string, tokens: number): Promise<void> => {
    const key = keyOf(company);
    if (!own.has(key)) for (const old of own.keys()) if (!old.startsWith(`["${dayOf()}"`)) own.delete(old);
    const spent = (own.get(key) ?? 0) + tokens;
    own.delete(key);
    own.set(key, spent);
    const [oldest] = own.keys();
    if (own.size > MOST_COMPANIES && oldest !== undefined) own.delete(oldest);
    await guard.use((store) => store.spend(company, dayOf(), tokens)).catch(orZero);
  };
  return {
    async within(company, estimatedTokens, embed) {
      if (limit === undefined) return embed();
      const stored = await guard.use((store) => store.spent(company, dayOf())).catch(orZero);
      check(company, stored, estimatedTokens, limit);
      underWay.set(company, (underWay.get(company) ?? 0) + estimatedTokens);
      try {
        const embedded = await embed();
        await charge(company, embedded.tokens);
        return embedded;
      } finally {
        const rest = (underWay.get(company) ?? 0) - estimatedTokens;
        if (rest > 0) underWay.set(company, rest);
        else underWay.delete(company);
      }
    },
  };
}

function orZero(cause: unknown): number {
  if (cause instanceof StoreUnavailable) return 0;
  throw cause;
}
