/** Sends a test to each webhook, from a process of its own: the running relay is not asked. */
import { randomUUID } from "node:crypto";
import type { RelayConfig, RelaySecrets } from "../../config.ts";
import { createWebhook, testBody } from "./delivery.ts";

/** How the test went. Without the address, which is a secret. */
export interface TestResult {
  readonly host: string;
  readonly format: "standard" | "slack";
  readonly isDelivered: boolean;
  readonly status?: number | undefined;
  readonly reason?: string | undefined;
}

/** Sends once to each, whatever its `events`. Never rejects. @returns in the order of the config */
export function sendTestMessages(
  { alerts, hostname }: Pick<RelayConfig, "alerts" | "hostname">,
  { alertWebhooks = [] }: RelaySecrets,
): Promise<TestResult[]> {
  const forms = alerts?.webhooks ?? [];
  return Promise.all(
    forms.map(async (form, index) => {
      const ignore = () => {};
      const webhook = createWebhook(alertWebhooks[index]!, form, { hostname, onChange: ignore, onResult: ignore });
      const sent = await webhook.trySend(`msg_${randomUUID()}`, testBody(form, hostname));
      const { isDelivered, status, reason } = sent;
      const { host, format } = webhook.status;
      await webhook.close();
      return { host, format, isDelivered, status, reason };
    }),
  );
}
