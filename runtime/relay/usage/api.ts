/** `GET /v1/usage`: a caller's own usage, summed. */
import { RelayError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { sendJson } from "../http/listener.ts";
import { type Ledger, LedgerUnavailable, type UsageTotal } from "./ledger.ts";
import { CALLER_DIMENSIONS, readUsageQuery, usageView } from "./query.ts";
import type { TotalsQuery } from "./store.ts";
import { describeSums, noSums } from "./sums.ts";

/** @throws RelayError `usage_query_invalid`, `usage_unavailable` */
export async function serveUsage({ res, query }: Exchange, caller: string, ledger: Ledger): Promise<void> {
  const { calendar } = ledger;
  const asked = readUsageQuery(query, { calendar, now: Date.now(), dimensions: CALLER_DIMENSIONS, several: false });
  const { from, to, by } = asked;
  const [data, [total]] = await Promise.all([
    by.length === 0 ? [] : totalsOf(ledger, { from, to, by, caller }),
    totalsOf(ledger, { from, to, caller }),
  ]);
  const answer = {
    object: "usage",
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    time_zone: calendar.timeZone,
    by: by[0] ?? null,
    data: data.map((one) => usageView(one, by)),
    total: usageView(total ?? describeSums(noSums()), []),
  };
  sendJson(res, 200, answer);
}

/** @throws RelayError `usage_unavailable` */
export const totalsOf = (ledger: Ledger, query: TotalsQuery): Promise<UsageTotal[]> =>
  whenAvailable(ledger.totals(query));

/** What the ledger was asked. @throws RelayError `usage_unavailable` */
export async function whenAvailable<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    if (!(cause instanceof LedgerUnavailable)) {
      throw new RelayError("usage_unavailable", "The ledger cannot be read. Try again later.", { detail, cause });
    }
    throw new RelayError("usage_unavailable", "The ledger is unavailable. Try again later.", {
      headers: { "Retry-After": "5" },
      detail,
    });
  }
}
