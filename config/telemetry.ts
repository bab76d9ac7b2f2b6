/** The part of the stack's config about what the relay tells others: `telemetry`, `alerts`, and their secrets. */
import { z } from "zod";
import { alertThresholdsSchema, webhookFormSchema, webhookProblem } from "../runtime/alert-config.ts";
import { otlpSchema, telemetrySchema } from "../runtime/config.ts";
import { isLoopback } from "../runtime/loopback.ts";
import { withMessage } from "./rule-helpers.ts";

const otlpConfigSchema = otlpSchema.extend({
  endpoint: z
    .url({ protocol: /^https?$/, error: "is not the collector's base URL, e.g. https://otlp.example.com" })
    .refine(
      (url) => !/\/v1\/traces\/*$/.test(URL.parse(url)?.pathname ?? ""),
      withMessage("ends with /v1/traces: leave it out, the relay adds it"),
    ),
  samplingRatio: z
    .number(withMessage("must be a number from 0 to 1: the part of the traces that is kept"))
    .min(0, withMessage("is under 0: the part of the traces that is kept, from 0 to 1"))
    .max(1, withMessage("is over 1: the part of the traces that is kept, from 0 to 1"))
    .default(1),
});

/** `telemetry` of the stack's config. */
export const telemetryConfigSchema = telemetrySchema.extend({ otlp: otlpConfigSchema.optional() });

/**
 * Headers for the collector, as OpenTelemetry's own variable has them: `name=value,name=value`, values percent-encoded.
 * Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables
 * @returns undefined for a text of another form
 */
export function parseOtlpHeaders(text: string): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  for (const part of text.split(",")) {
    const [, name, value] = /^\s*([!#$%&'*+.^_`|~A-Za-z0-9-]+)=(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined) return undefined;
    try {
      headers[name.toLowerCase()] = decodeURIComponent(value);
    } catch {
      return undefined;
    }
  }
  return Object.values(headers).every((value) => /^[\x20-\x7e]+$/.test(value)) ? headers : undefined;
}

/** The secret `otlpHeaders`. */
export const otlpHeadersSchema = z
  .string(withMessage("is not text: headers for the collector, e.g. authorization=Bearer%20…"))
  .refine(
    (text) => parseOtlpHeaders(text) !== undefined,
    withMessage("is not name=value,name=value with percent-encoded values, e.g. authorization=Bearer%20…"),
  );

/** @returns why headers must not be sent to the collector; undefined when they may */
export function otlpProblem(endpoint: string | undefined, headers: string | undefined): string | undefined {
  const url = URL.parse(endpoint ?? "");
  if (headers === undefined || url === null || url.protocol === "https:" || isLoopback(url.hostname)) return undefined;
  return "is not https, so anyone on the way could read the secret otlpHeaders: use https://, or remove otlpHeaders";
}

const webhookSchema = webhookFormSchema
  .extend({
    /** Secret: `pulumi config set --secret --path 'alerts.webhooks[0].url' …`. */
    url: z.url({ protocol: /^https?$/, error: "is not a URL: the receiver's address, https://…" }),
    secret: z.string(withMessage("is not text: whsec_…, which the receiver knows too")).optional(),
  })
  .superRefine((webhook, { addIssue }) => {
    const problem = URL.parse(webhook.url) && webhookProblem(webhook, webhook);
    if (problem) addIssue({ code: "custom", message: problem });
  });

/** `alerts` of the stack's config: Cloudflare's mails, and the relay's own webhooks with what is worth a message. */
export const alertsConfigSchema = z
  .object({
    emails: z
      .array(z.email(withMessage("is not an e-mail address: alerts about the tunnel are sent there")))
      .default([]),
    webhooks: z.array(webhookSchema).max(10, withMessage("has over 10 entries: remove some")).default([]),
    ...alertThresholdsSchema.shape,
  })
  .strict();
