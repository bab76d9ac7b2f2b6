/** Warns of quotas by day and month that are nearly used up: once, and once when they are renewed. */
import { LONG_QUOTAS, type LongQuota, type Periods, type QuotaFlow } from "./quota-flow.ts";
import { shownName } from "./quota-flows.ts";

/** Told when a quota by day or month is nearly used up, and when it is renewed. */
export interface QuotaWarnings {
  /** @param name of the caller or company and its quota @param share of it that is used, 0 to 1 and more */
  onQuotaWarning(name: string, share: number): void;
  /** Each minute while it stays so: an alert that is not raised again ends after a day, and a quota may be one of a month. */
  onQuotaStillWarned?(name: string, share: number): void;
  onQuotaRenewed?(name: string): void;
}

const WARN_AT = 0.8;

/** @param isTick repeats the warnings that stand */
export function warnOf(flows: Iterable<QuotaFlow>, periods: Periods, warnings: QuotaWarnings, isTick: boolean): void {
  for (const flow of flows) {
    for (const quota of LONG_QUOTAS) {
      const limit = flow.limits[quota];
      const share = limit === undefined ? 0 : flow.used(quota, periods) / limit;
      const isOver = limit !== undefined && share >= (flow.limits.warnAt ?? WARN_AT);
      if (isOver === flow.warned.has(quota)) {
        if (isOver && isTick) warnings.onQuotaStillWarned?.(warningName(flow, quota), share);
        continue;
      }
      if (isOver) flow.warned.add(quota);
      else flow.warned.delete(quota);
      if (isOver) warnings.onQuotaWarning(warningName(flow, quota), share);
      else warnings.onQuotaRenewed?.(warningName(flow, quota));
    }
  }
}

const warningName = (flow: QuotaFlow, quota: LongQuota): string => `${shownName(flow)}: ${quota}`;
