/** Alerts that the relay sends itself: their kinds, and the settings that the stack's config and the relay share. */
import { z } from "zod";
import { isLoopback } from "./loopback.ts";

/** What an alert can be about. docs/alerts.md has a heading for each. */
export const ALERT_KINDS = [
  "model_down",
  "queue_wait",
  "disk",
  "quota",
  "token_end",
  "update_waiting",
  "store_down",
  "direct_line_down",
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

/** From when on something is worth an alert. */
export const alertThresholdsSchema = z.strictObject({
  /** The model server has not answered for so long. */
  modelDownSeconds: z.int().min(10).max(86_400).default(60),
  /** A request has been waiting for its slot for so long. */
  queueWaitSeconds: z.int().min(1).max(3600).default(30),
  /** So much of the disk is used. */
  diskPercent: z.int().min(50).max(99).default(90),
  /** A service token ends within so many days. */
  tokenEndDays: z.int().min(1).max(365).default(14),
  /** A store has been unavailable for so long. */
  storeDownSeconds: z.int().min(10).max(86_400).default(60),
  /** A direct line has been down for so long. */
  lineDownSeconds: z.int().min(10).max(86_400).default(300),
});

/** How a webhook is told, without its address. */
export const webhookFormSchema = z.strictObject({
  /** `standard`: Standard Webhooks, signed; `slack`: a text, as Slack's incoming webhooks take it (Mattermost and others, too). */
  format: z.enum(["standard", "slack"]).default("standard"),
  /** Of the text. */
  language: z.enum(["en", "ko"]).default("en"),
  /** Only these kinds; absent: all. */
  events: z.array(z.enum(ALERT_KINDS)).min(1).optional(),
});

/** Where a webhook is, and the key that its messages are signed with. */
export const webhookAddressSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  /** `whsec_…` of Standard Webhooks. */
  secret: z.string().optional(),
});

/** The relay's part of the alerts. */
export const alertsSchema = z.strictObject({
  thresholds: alertThresholdsSchema,
  /** In the order of the secrets' `alertWebhooks`. */
  webhooks: z.array(webhookFormSchema).min(1).max(10),
});

export type AlertThresholds = z.infer<typeof alertThresholdsSchema>;
export type WebhookForm = z.infer<typeof webhookFormSchema>;
export type WebhookAddress = z.infer<typeof webhookAddressSchema>;
export type AlertsConfig = z.infer<typeof alertsSchema>;

/** The key's bytes; undefined unless it is base64 of 24 to 64 bytes after `whsec_`, as Standard Webhooks asks. */
export function webhookKey(secret: string): Buffer | undefined {
  const text = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret)?.[1];
  const key = Buffer.from(text ?? "", "base64");
  return key.length >= 24 && key.length <= 64 ? key : undefined;
}

/** @returns why the address cannot be used, and what to do; undefined when it can. Never contains the address: it may be secret */
export function webhookProblem({ url, secret }: WebhookAddress, { format }: WebhookForm): string | undefined {
  const { protocol, hostname, username, password } = new URL(url);
  if (protocol !== "https:" && !isLoopback(hostname)) {
    return "is not https: the address of a webhook is a secret, so use https:// (http:// only on 127.0.0.1 of the Mac)";
  }
  if (username !== "" || password !== "") {
    return "has a user name or password in its URL: remove them, a receiver checks the signature instead";
  }
  if (format === "standard" && secret === undefined) {
    return 'has no secret to sign with: make one with `echo "whsec_$(openssl rand -base64 32)"` and give it to the receiver too';
  }
  if (secret !== undefined && webhookKey(secret) === undefined) {
    return 'has a secret that is not whsec_ and base64 of 24 to 64 bytes: make one with `echo "whsec_$(openssl rand -base64 32)"`';
  }
  return undefined;
}
