/** Signs messages as Standard Webhooks asks. */
import { createHmac } from "node:crypto";
import { webhookKey } from "../../alert-config.ts";

/**
 * The headers of a signed message. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * @param at in seconds since 1970
 */
export function signedHeaders(secret: string, id: string, at: number, body: string): Record<string, string> {
  const key = webhookKey(secret);
  if (key === undefined) throw new Error("the webhook's secret is not valid");
  const signature = createHmac("sha256", key).update(`${id}.${at}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": `v1,${signature}` };
}
