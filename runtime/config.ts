/**
 * Configuration of the relay, as zod schemas; sections of their own are in the `*-config.ts` next to it, the installer's input
 * in `install-input-schema.ts`. `components/` imports these (and of the rest of `runtime/` only `installer/mac-state.ts`), so that
 * what Pulumi writes and what the Mac reads cannot drift apart.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { alertsSchema, webhookAddressSchema, webhookProblem } from "./alert-config.ts";
import { directCredentialsSchema, directListenersSchema } from "./direct-config.ts";
import { documentsSchema } from "./documents-config.ts";
import { jobsSchema, limitsSchema } from "./limits-config.ts";
import { fallbackSchema, modelSchema } from "./model-config.ts";
import { usageSchema } from "./usage-config.ts";

const port = z.int().min(1).max(65535);

/**
 * What is known of a service token besides its secret, for the status page and alerts. Nothing that a rotation changes: a
 * rotation does not need the Mac.
 */
export const tokenInfoSchema = z.strictObject({
  /** End of the token's own life, RFC 3339; absent: it has none. */
  expiresAt: z.string().optional(),
  /** How long a life is, as a Go duration; with the end it says when it began. */
  duration: z.string().optional(),
});

/** A server that may call: the service token's client id, which Access puts into the JWT's `common_name`, and its name. */
export const callerSchema = z.strictObject({
  name: z.string().min(1),
  /** `<32 hex>.access`, as Cloudflare issues it. */
  clientId: z.string().min(1),
  /** Companies whose documents this caller may use; `["*"]` is all. */
  companies: z.array(z.string().min(1)).min(1),
  /** Share of the slots under load, relative to the other callers. */
  weight: z.number().positive(),
  enabled: z.boolean(),
});

/** Where traces go, by OTLP/HTTP. */
export const otlpSchema = z.strictObject({
  /** Base URL of the collector, without /v1/traces. */
  endpoint: z.url({ protocol: /^https?$/ }),
  /** Part of the traces that is kept, of those whose caller has not decided; 1 is all. */
  samplingRatio: z.number().min(0).max(1).default(1),
  serviceName: z.string().min(1).max(100).default("slm-network"),
});

/** What the relay tells about itself to others. Absent: nothing. */
export const telemetrySchema = z.strictObject({ otlp: otlpSchema.optional() });

/** `/etc/slm-network/relay.json`: the relay's configuration, without secrets. */
export const relayConfigSchema = z.strictObject({
  /** Public listener, behind the tunnel; always on 127.0.0.1. */
  port,
  /** Admin listener (metrics, details), for the Mac itself; always on 127.0.0.1. */
  adminPort: port,
  /** The hostname people and servers call. */
  hostname: z.string().min(1),
  access: z.strictObject({
    /** `<team>.cloudflareaccess.com`; issuer is `https://` + this. */
    teamDomain: z.string().min(1),
    /** Audience (AUD tag) of the Access application for servers and of the one for people (`/status` and below). */
    audiences: z.strictObject({
      servers: z.string().min(1),
      people: z.string().min(1),
      /** Of the application for `/metrics`; absent: nobody reads the metrics from outside. */
      metrics: z.string().min(1).optional(),
    }),
    /** E-mail addresses, and domains as `@example.com`, of people who may act from the status page; absent: nobody. */
    operators: z.array(z.string().min(3)).optional(),
  }),
  callers: z.array(callerSchema),
  /** Who reads the metrics from outside; absent: nobody. */
  scrapers: z.array(callerSchema.pick({ name: true, clientId: true, enabled: true })).optional(),
  /** What is known of service tokens, by the name of the caller or the scraper. */
  tokens: z.record(z.string(), tokenInfoSchema).optional(),
  /** Listeners for direct lines; absent: none. */
  direct: directListenersSchema.optional(),
  /** Who signs in on them, by server. */
  directCredentials: directCredentialsSchema.optional(),
  model: modelSchema,
  /** Absent: nothing ever leaves the Mac. */
  fallback: fallbackSchema.optional(),
  limits: limitsSchema,
  documents: documentsSchema,
  jobs: jobsSchema.prefault({}),
  /** Absent: no traces. */
  telemetry: telemetrySchema.optional(),
  /** Absent: the relay sends no alerts. */
  alerts: alertsSchema.optional(),
  /** The ledger; absent: its defaults. */
  usage: usageSchema.optional(),
  /** Where the relay keeps data (jobs, the last JWKS). */
  dataDir: z.string().min(1),
  /** Where launchd writes the daemons' logs, which the relay keeps small; absent: it leaves them alone. */
  logDir: z.string().min(1).optional(),
  /** How long running requests may go on after SIGTERM, in seconds; below launchd's ExitTimeOut. */
  graceSeconds: z.int().min(0).max(170),
});

/** What a header can carry: printable ASCII without spaces. */
export const HEADER_TEXT = /^[\x21-\x7e]+$/;

/** `/etc/slm-network/secrets.json`, 0640 root:_slmnetwork. */
export const relaySecretsSchema = z.strictObject({
  /** Connection string of the relay's own Atlas user; absent with the embedded store. */
  mongodbUri: z.string().min(1).optional(),
  /** Key of the fallback server, sent as `Authorization: Bearer`. */
  fallbackKey: z.string().regex(HEADER_TEXT).optional(),
  /** Key of the model server, sent as `Authorization: Bearer`. */
  modelKey: z.string().regex(HEADER_TEXT).optional(),
  /** Headers for the collector of traces, by name. */
  otlpHeaders: z.record(z.string(), z.string()).optional(),
  /** Addresses of the webhooks for alerts, in the order of the config's. */
  alertWebhooks: z.array(webhookAddressSchema).max(10).optional(),
});

/** What is wrong with the webhooks, given both files; values of secrets are never shown. */
export function alertProblems({ alerts }: Pick<RelayConfig, "alerts">, { alertWebhooks = [] }: RelaySecrets): string[] {
  const forms = alerts?.webhooks ?? [];
  if (forms.length !== alertWebhooks.length) {
    return [`alerts.webhooks has ${forms.length} and the secrets' alertWebhooks ${alertWebhooks.length} entries`];
  }
  return forms.flatMap((form, index) => {
    const problem = webhookProblem(alertWebhooks[index]!, form);
    return problem === undefined ? [] : [`alerts.webhooks[${index}] ${problem}`];
  });
}

/** Settings that the relay takes over while it runs. */
const RELOADABLE = ["callers", "limits", "jobs", "directCredentials", "tokens"] as const;

export type ReloadableConfig = Pick<RelayConfig, Exclude<(typeof RELOADABLE)[number], "jobs">> &
  Partial<Pick<RelayConfig, "jobs">>;

export type TokenInfo = z.infer<typeof tokenInfoSchema>;
export type Caller = z.infer<typeof callerSchema>;
export type OtlpConfig = z.infer<typeof otlpSchema>;
export type RelayConfig = z.infer<typeof relayConfigSchema>;
export type RelaySecrets = z.infer<typeof relaySecretsSchema>;

/**
 * What the relay takes over while it runs, as text to compare; a change of anything else needs a new start. Both sides
 * have parsed it with the schemas above, so the keys stand in one order.
 */
export function reloadablePart({ callers, limits, jobs, directCredentials, tokens }: ReloadableConfig): string {
  if (directCredentials === undefined) return JSON.stringify({ callers, limits, jobs, tokens });
  // The relay shows this text to every program on the Mac.
  const digest = createHash("sha256").update(JSON.stringify(directCredentials)).digest("hex");
  return JSON.stringify({ callers, limits, jobs, tokens, directCredentials: digest });
}

/** The settings that the relay reads only at its start, as text to compare. */
export function restartPart(relay: Omit<RelayConfig, "dataDir" | "logDir">): string {
  const names: readonly string[] = RELOADABLE;
  return JSON.stringify(Object.fromEntries(Object.entries(relay).filter(([name]) => !names.includes(name))));
}
