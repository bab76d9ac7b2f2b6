/** Opens the ledger, and makes the quotas of what it has. */
import type { RelayConfig } from "../../config.ts";
import { usageSchema, withDocumentBudget } from "../../usage-config.ts";
import type { Log } from "../telemetry/log.ts";
import { Calendar } from "./calendar.ts";
import { type Ledger, openLedger } from "./ledger.ts";
import type { QuotaWarnings } from "./quota-warnings.ts";
import { createQuotas, type Quotas } from "./quotas.ts";

const MIB = 1024 * 1024;

export interface UsageOptions {
  readonly log: Log;
  /** Id of this boot of the machine. */
  readonly boot: string;
  /** Reads the whole file first: after an unclean shutdown. */
  readonly check: boolean;
  /** Milliseconds since 1970. For tests. */
  readonly now: (() => number) | undefined;
  /** Told when a quota by day or month is nearly used up. @default the log */
  readonly warnings: QuotaWarnings | undefined;
}

/** Never rejects: see `openLedger`. */
export async function openUsage(
  config: RelayConfig,
  {
    log,
    boot,
    check,
    now,
    warnings = {
      onQuotaWarning: (name, share) => log.warn({ name, share }, "a quota is nearly used up"),
      onQuotaRenewed: (name) => log.info({ name }, "a quota is renewed"),
    },
  }: UsageOptions,
): Promise<{ readonly ledger: Ledger; readonly quotas: Quotas }> {
  const { retentionDays, timeZone, maxDiskMiB } = usageSchema.parse(config.usage ?? {});
  const calendar = new Calendar(timeZone);
  const quotas = createQuotas(withDocumentBudget(config.limits, config.documents), { calendar, now, warnings });
  let isSeeded = false;
  const bounds = { maxBytes: maxDiskMiB * MIB, minFreeBytes: config.jobs.minFreeMiB * MIB };
  const ledger = await openLedger(
    { dataDir: config.dataDir, retentionDays, timeZone, ...bounds },
    {
      log,
      boot,
      check,
      ...(now && { now }),
      reserved: quotas.reserved,
      onOpen: (spent) => {
        if (!isSeeded) quotas.seed(spent); // afterwards this relay has counted by itself
        isSeeded = true;
      },
      onTick: quotas.tick,
    },
  );
  return { ledger, quotas };
}
