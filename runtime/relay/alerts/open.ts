/** Opens the alerts: state of the last run, webhooks, metrics. */
import { join } from "node:path";
import { Counter, Gauge, type Registry } from "prom-client";
import { ALERT_KINDS } from "../../alert-config.ts";
import type { RelayConfig, RelaySecrets } from "../../config.ts";
import type { Log } from "../telemetry/log.ts";
import type { QuotaWarnings } from "../usage/quota-warnings.ts";
import { type ActiveAlert, createAlerts } from "./alerts.ts";
import type { Watched } from "./checks.ts";
import { createWebhook, type Webhook, type WebhookStatus, webhookName } from "./delivery.ts";
import { openStateFile } from "./state-file.ts";
import { startWatch, type WatchOptions } from "./watch.ts";

/** What the status shows. */
export interface AlertsStatus {
  readonly active: readonly ActiveAlert[];
  readonly webhooks: readonly WebhookStatus[];
}

export interface OpenAlerts {
  /** Raises and clears the alerts about quotas. */
  readonly quotaWarnings: QuotaWarnings;
  /** Watches what the relay has opened, until `close`. Called once. */
  watch(watched: Watched): void;
  status(): AlertsStatus;
  /** Stops; undelivered messages are kept for the next start. */
  close(): Promise<void>;
}

export interface AlertsParts extends WatchOptions {
  readonly log: Log;
  readonly registry: Registry;
  /** Pauses after a failed try, in seconds. For tests. */
  readonly retries?: readonly number[] | undefined;
  /** How long something must be well before its alert is over, in ms. For tests. */
  readonly calmMs?: number | undefined;
}

/** Never rejects. @returns undefined without `alerts` in the config */
export async function openAlerts(
  { alerts: config, hostname, dataDir }: Pick<RelayConfig, "alerts" | "hostname" | "dataDir">,
  { alertWebhooks = [] }: RelaySecrets,
  { log, registry, retries, calmMs, ...watchOptions }: AlertsParts,
): Promise<OpenAlerts | undefined> {
  if (config === undefined) return undefined;
  const file = await openStateFile(join(dataDir, "alerts.json"), log);
  const registers = [registry];
  const raised = new Counter({
    name: "slm_alerts_raised_total",
    help: "Alerts that have begun, by kind.",
    labelNames: ["kind"] as const,
    registers,
  });
  const deliveries = new Counter({
    name: "slm_alerts_deliveries_total",
    help: "Messages to webhooks: delivered, failed (a try, which is repeated) or dropped (all tries failed).",
    labelNames: ["result"] as const,
    registers,
  });
  let { held } = file.state;
  let webhooks: readonly Webhook[] = [];
  const save = () =>
    file.save({
      held: [...held],
      webhooks: Object.fromEntries(
        webhooks.map(({ name, pending, last }) => [name, structuredClone({ pending: [...pending], last: [...last] })]),
      ),
    });
  webhooks = config.webhooks.map((form, index) => {
    const address = alertWebhooks[index]!;
    return createWebhook(address, form, {
      ...file.state.webhooks[webhookName(address.url)],
      hostname,
      onChange: save,
      onResult: (result) => deliveries.inc({ result }),
      retries,
    });
  });
  const alerts = createAlerts({
    held,
    send(message) {
      const { kind, isResolved, subject } = message;
      if (!isResolved) raised.inc({ kind });
      log[isResolved ? "info" : "warn"]({ kind, subject, ...message.detail }, isResolved ? "alert is over" : "alert");
      for (const webhook of webhooks) if (webhook.takes(message)) webhook.send(message);
    },
    save(now) {
      held = [...now];
      save();
    },
    now: watchOptions.now,
    calmMs,
  });
  new Gauge({
    name: "slm_alerts_active",
    help: "Alerts that have begun and are not over, by kind.",
    labelNames: ["kind"] as const,
    registers,
    collect() {
      for (const kind of ALERT_KINDS) this.set({ kind }, alerts.active.filter((one) => one.kind === kind).length);
    },
  });
  let stopWatch = async (): Promise<void> => {};
  const raiseQuota = (name: string, share: number) => alerts.raise("quota", name, { percent: Math.round(share * 100) });
  return {
    quotaWarnings: {
      onQuotaWarning: raiseQuota,
      onQuotaStillWarned: raiseQuota,
      onQuotaRenewed: (name) => alerts.clear("quota", name),
    },
    watch(watched) {
      stopWatch = startWatch(alerts, config, watched, { log, ...watchOptions });
    },
    status: () => ({ active: alerts.active, webhooks: webhooks.map(({ status }) => status) }),
    async close() {
      await stopWatch();
      await Promise.all(webhooks.map((webhook) => webhook.close()));
      save();
      await file.settled();
    },
  };
}
