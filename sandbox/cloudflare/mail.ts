/**
 * Emails of notification policies, written as files: which ones an event triggers, and their format.
 * @see https://developers.cloudflare.com/notifications/notification-available/
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { StoredServiceToken, StoredTunnel } from "./state.ts";

/** An email triggered by a policy. */
export interface Mail {
  /** Unique per event; the file name without its extension. */
  key: string;
  to: string[];
  subject: string;
  text: string;
}

const policySchema = z.object({
  name: z.string(),
  alert_type: z.string(),
  enabled: z.boolean(),
  mechanisms: z.object({ email: z.array(z.object({ id: z.string() })).default([]) }),
  filters: z.record(z.string(), z.array(z.string())).optional(),
});

/** Policies in their wire form. */
export type Policies = Record<string, unknown>[];

/** @returns the enabled policies of that type that have email recipients and whose filters match the event */
function asking(policies: Policies, alertType: string, event: Record<string, string>) {
  return policies
    .flatMap((policy) => policySchema.safeParse(policy).data ?? [])
    .filter(({ enabled, alert_type, mechanisms }) => enabled && alert_type === alertType && mechanisms.email.length > 0)
    .filter(({ filters = {} }) =>
      Object.entries(filters).every(([name, wanted]) => wanted.length === 0 || wanted.includes(event[name] ?? "")),
    )
    .map(({ name, mechanisms }) => ({ name, to: mechanisms.email.map(({ id }) => id) }));
}

/** @returns the emails about a tunnel's new status */
export function tunnelMails(
  policies: Policies,
  tunnel: Pick<StoredTunnel, "id" | "name">,
  status: "healthy" | "degraded" | "down",
  at: Date,
): Mail[] {
  const event = {
    tunnel_id: tunnel.id,
    tunnel_name: tunnel.name,
    new_status: `TUNNEL_STATUS_TYPE_${status.toUpperCase()}`,
  };
  return asking(policies, "tunnel_health_event", event).map(({ name, to }, index) => ({
    key: `${at.toISOString().replaceAll(":", "-")}-tunnel-${status}-${index}`,
    to,
    subject: `Tunnel ${tunnel.name} is ${status}`,
    text: `The tunnel ${tunnel.name} (${tunnel.id}) is ${status} since ${at.toISOString()}.\nSent by the notification policy "${name}".`,
  }));
}

const WEEK_MS = 7 * 86_400_000;

/** @returns the emails about service tokens that expire within a week, on every call until then */
export function tokenMails(
  policies: Policies,
  tokens: Pick<StoredServiceToken, "id" | "name" | "expires_at">[],
  at: Date,
): Mail[] {
  const ending = tokens.flatMap(({ id, name, expires_at }) => {
    const left = expires_at === null ? Number.POSITIVE_INFINITY : Date.parse(expires_at) - at.getTime();
    return left > 0 && left <= WEEK_MS ? [{ id, name, expires_at: String(expires_at) }] : [];
  });
  return ending.flatMap((token) =>
    asking(policies, "expiring_service_token_alert", { token_id: token.id }).map(({ name, to }, index) => ({
      key: `token-${token.id}-${token.expires_at.replaceAll(":", "-")}-${index}`,
      to,
      subject: `Access service token ${token.name} ends soon`,
      text: `The service token ${token.name} ends at ${token.expires_at}.\nSent by the notification policy "${name}".`,
    })),
  );
}

/** Writes an email (RFC 5322) into the folder, once per key. */
export function writeMail(folder: string, mail: Mail, at: Date): void {
  const path = join(folder, `${mail.key}.eml`);
  if (existsSync(path)) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lines = [
    "From: Cloudflare (sandbox) <noreply@notify.cloudflare.example>",
    `To: ${mail.to.join(", ")}`,
    `Date: ${at.toUTCString().replace("GMT", "+0000")}`,
    `Subject: ${mail.subject}`,
    "Content-Type: text/plain; charset=utf-8",
    "",
    mail.text,
    "",
  ];
  // A watcher of the folder never sees a partial email.
  writeFileSync(`${path}.new`, lines.join("\n").replaceAll("\n", "\r\n"), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
