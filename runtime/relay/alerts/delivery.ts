/** Sends messages to one webhook, in their order, each until it is taken or its tries are used up. */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import type { WebhookAddress, WebhookForm } from "../../alert-config.ts";
import type { AlertMessage } from "./alerts.ts";
import { textOf, WORDS } from "./messages/text.ts";
import { signedHeaders } from "./signature.ts";
import type { Delivery, Pending } from "./state-file.ts";

/** Pauses after a failed try, in seconds; after the last one the message is dropped. Together about eight hours. */
const RETRIES = [5, 30, 120, 600, 1800, 7200, 18_000] as const;
const TIMEOUT_MS = 10_000;
/** Longest `Retry-After` that is heeded, in seconds. */
const LONGEST_PAUSE = 3600;
/** Messages that wait, at most: the oldest is dropped for a new one. */
const MAX_PENDING = 100;
/** Deliveries that are shown. */
const SHOWN = 10;

/** How a try ended. */
export interface Outcome {
  readonly isDelivered: boolean;
  readonly status?: number;
  readonly reason?: string;
  /** No other try is worthwhile. */
  readonly isFinal?: boolean;
  readonly retryAfter?: number;
}

/** A webhook as the status shows it. Its address is a secret: only the host's name is shown. */
export interface WebhookStatus {
  readonly host: string;
  readonly format: WebhookForm["format"];
  readonly pending: number;
  /** Newest first. */
  readonly last: readonly Delivery[];
}

export interface Webhook {
  /** See `webhookName`. */
  readonly name: string;
  readonly status: WebhookStatus;
  readonly pending: readonly Pending[];
  readonly last: readonly Delivery[];
  takes(message: AlertMessage): boolean;
  send(message: AlertMessage): void;
  /** Sends once, without a retry. Never rejects. */
  trySend(id: string, body: string): Promise<Outcome>;
  /** Stops; what is pending stays so. */
  close(): Promise<void>;
}

export interface WebhookOptions {
  /** Of the last run. */
  readonly pending?: readonly Pending[] | undefined;
  readonly last?: readonly Delivery[] | undefined;
  readonly hostname: string;
  readonly onChange: () => void;
  readonly onResult: (result: "delivered" | "failed" | "dropped") => void;
  /** Pauses after a failed try, in seconds. @default RETRIES */
  readonly retries?: readonly number[] | undefined;
}

/** The body of a message, and its type: `disk`, `disk.resolved`. */
export function bodyOf(message: AlertMessage, { format, language }: WebhookForm, hostname: string) {
  const { kind, isResolved, subject, since, at, detail } = message;
  const type = isResolved ? `${kind}.resolved` : kind;
  const text = textOf(message, language);
  return { type, body: envelope(format, { type, at, hostname, text, about: { subject, since }, detail }) };
}

/** Of the test that `npm run alerts -- --test` sends. */
export const testBody = ({ format, language }: WebhookForm, hostname: string): string =>
  envelope(format, { type: "test", at: new Date().toISOString(), hostname, text: WORDS[language].test });

interface Content {
  readonly type: string;
  readonly at: string;
  readonly hostname: string;
  readonly text: string;
  readonly about?: Readonly<Record<string, string>>;
  readonly detail?: AlertMessage["detail"];
}

function envelope(format: WebhookForm["format"], { type, at, hostname, text, about, detail }: Content): string {
  if (format === "slack") return JSON.stringify({ text: slackEscaped(`[${hostname}] ${text}`) });
  return JSON.stringify({ type, timestamp: at, data: { hostname, ...about, text, ...detail } });
}

/** Slack reads these three as markup: a company's name could mention everybody. Source: https://docs.slack.dev/messaging/formatting-message-text */
function slackEscaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Names a webhook in the file of alerts, which has no addresses: they are secret. */
export const webhookName = (address: string): string => createHash("sha256").update(address).digest("hex").slice(0, 16);

/** Opens no connection yet. Proxies of the environment are not used, and redirects not followed. */
export function createWebhook(
  { url: address, secret }: WebhookAddress,
  form: WebhookForm,
  { pending: before = [], last = [], hostname, onChange, onResult, retries = RETRIES }: WebhookOptions,
): Webhook {
  const url = new URL(address);
  const pool = new Pool(url.origin, {
    connections: 1,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    allowH2: false,
  });
  const pending = [...before];
  const shown = [...last];
  const stop = new AbortController();
  let running: Promise<void> | undefined;

  const post = async (id: string, body: string): Promise<Outcome> => {
    const at = Math.floor(Date.now() / 1000);
    const signed = secret === undefined ? {} : signedHeaders(secret, id, at, body);
    const headers = { "content-type": "application/json", "user-agent": "slm-network", ...signed };
    try {
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(2 * TIMEOUT_MS)]);
      const answer = await pool.request({ method: "POST", path: url.pathname + url.search, headers, body, signal });
      await answer.body.dump({ limit: 64 * 1024 }).catch(() => {});
      const { statusCode: status } = answer;
      if (status >= 200 && status < 300) return { isDelivered: true, status };
      const retryAfter = Number(answer.headers["retry-after"]);
      return {
        isDelivered: false,
        status,
        reason: `answered ${status}`,
        isFinal: status === 410, // gone: the receiver wants no more
        ...(retryAfter > 0 && { retryAfter: Math.min(retryAfter, LONGEST_PAUSE) }),
      };
    } catch (cause) {
      return { isDelivered: false, reason: reasonOf(cause) };
    }
  };

  const ended = (delivery: Delivery, result: "delivered" | "dropped") => {
    shown.unshift(delivery);
    shown.length = Math.min(shown.length, SHOWN);
    onResult(result);
    onChange();
  };

  const run = async (): Promise<void> => {
    for (let first = pending[0]; first !== undefined && !stop.signal.aborted; first = pending[0]) {
      const { type, body } = bodyOf(first.message, form, hostname);
      const { isDelivered, status, reason, isFinal, retryAfter } = await post(first.message.id, body);
      if (stop.signal.aborted) return; // it stays pending
      const pause = retries[first.tries];
      const at = new Date().toISOString();
      const delivery = { id: first.message.id, type, at, isDelivered, status, reason };
      if (isDelivered || isFinal === true || pause === undefined) {
        // Not `shift`: the oldest may have been dropped meanwhile.
        const index = pending.indexOf(first);
        if (index >= 0) pending.splice(index, 1);
        ended(delivery, isDelivered ? "delivered" : "dropped");
        continue;
      }
      first.tries += 1;
      onResult("failed");
      onChange();
      const ms = Math.max(pause, retryAfter ?? 0) * 1000;
      await sleep(ms, undefined, { signal: stop.signal, ref: false }).catch(() => {}); // it was stopped
    }
  };
  const wake = () => {
    running ??= run().finally(() => {
      running = undefined;
      if (pending.length > 0 && !stop.signal.aborted) wake();
    });
  };
  if (pending.length > 0) wake();

  return {
    name: webhookName(address),
    pending,
    last: shown,
    get status() {
      return { host: url.host, format: form.format, pending: pending.length, last: shown };
    },
    takes: ({ kind }) => form.events === undefined || form.events.includes(kind),
    send(message) {
      if (pending.length >= MAX_PENDING) {
        pending.shift();
        onResult("dropped");
      }
      pending.push({ message, tries: 0 });
      onChange();
      wake();
    },
    trySend: post,
    async close() {
      stop.abort();
      await running;
      await pool.destroy();
    },
  };
}

/** Without the address, which can be in the message of an error. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown";
  if (cause.name === "TimeoutError" || cause.name === "HeadersTimeoutError") return "no answer in time";
  const code = "code" in cause ? String(cause.code) : "";
  return code || cause.name;
}
