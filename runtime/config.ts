/**
 * Configuration of the relay and input of the installer, as zod schemas. `components/` imports this file (and of the rest
 * of `runtime/` only `installer/mac-state.ts`), so that what Pulumi writes and what the Mac reads cannot drift apart.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { alertsSchema, webhookAddressSchema, webhookProblem } from "./alert-config.ts";
import { directCredentialsSchema, directLineSchema, directListenersSchema } from "./direct-config.ts";
import { MODEL_SERVER_KINDS } from "./model-servers.ts";
import { quotasSchema, usageSchema } from "./usage-config.ts";

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

/** How much work is taken at once, and what happens to the rest. */
export const limitsSchema = z.strictObject({
  /** With `chatAuto`: its `max`. */
  chat: z.int("must be a whole number from 1 to 256, auto, or { min, max }").min(1).max(256).default(4),
  /** The relay finds the number for chat by itself within these bounds; absent: `chat` stands. `limits.chat: auto` in the stack's config. */
  chatAuto: z
    .strictObject({ min: z.int().min(1).max(256), max: z.int().min(1).max(256) })
    .refine(({ min, max }) => min <= max, { path: ["min"], error: "is over max: set it to max or less" })
    .optional(),
  embeddings: z.int().min(1).max(256).default(2),
  waiting: z.int().min(0).max(100_000).default(256),
  /** Bodies of waiting requests, together; 256 if it is not there. */
  waitingMiB: z.int().min(1).max(16_384).optional(),
  /** Memory that requests may hold in the relay, all together (docs/relay.md); 1024 if it is not there. */
  memoryMiB: z.int().min(64).max(65_536).optional(),
  waitSeconds: z.int().min(1).max(75).default(60),
  bodyMiB: z.int().min(1).max(100).default(64),
  whenBusy: z.enum(["queue", "reject"]).default("queue"),
  /** Quotas of callers, by name; absent: none. */
  callers: quotasSchema.optional(),
  /** Quotas of companies, by name; absent: none. */
  companies: quotasSchema.optional(),
});

/**
 * What contradicts itself in the limits, given how many callers there are.
 * @returns the field of the limits and, in words, the problem and its fix
 */
export function limitsProblems(limits: Limits, callers: number): { field: keyof Limits; problem: string }[] {
  const { memoryMiB, bodyMiB, waitingMiB } = limits;
  if (memoryMiB === undefined) return [];
  const problems: { field: keyof Limits; problem: string }[] = [];
  const field = "memoryMiB";
  // A body without a length takes twice its size while it is read, a caller gets half of the budget at least, and an
  // eighth of it is not the callers'.
  if (memoryMiB < 5 * bodyMiB) {
    problems.push({
      field,
      problem: `is under 5 × bodyMiB (${bodyMiB}), so that one caller could not send the largest body: set it to ${5 * bodyMiB} or more, or lower bodyMiB`,
    });
  }
  if (waitingMiB !== undefined && memoryMiB < waitingMiB) {
    problems.push({
      field,
      problem: `is under waitingMiB (${waitingMiB}), which could never be reached: set it higher, or lower waitingMiB`,
    });
  }
  if (memoryMiB < 4 * callers) {
    problems.push({
      field,
      problem: `is too little for ${callers} callers, each of which is guaranteed an equal part of it: set it to ${4 * callers} or more`,
    });
  }
  return problems;
}

/** Durable jobs, see docs/jobs.md. */
export const jobsSchema = z.strictObject({
  /** Days a finished job's answer is kept, and the longest a job may wait. */
  retentionDays: z.int().min(1).max(90).default(7),
  /** Bound on what the jobs take on the disk. */
  maxDiskMiB: z.int().min(64).max(1_048_576).default(4096),
  /** With less than this free on the disk no new job is taken. */
  minFreeMiB: z.int().min(0).max(1_048_576).default(2048),
  /** A job whose runs ended badly this often has failed. */
  maxAttempts: z.int().min(1).max(10).default(3),
  /** One run of a job may take this long. */
  attemptMinutes: z.int().min(1).max(1440).default(30),
  /** Slots of a lane that jobs and other background work can hold at a time. Absent: all but one, at least one. */
  slots: z.int().min(1).max(256).optional(),
});

/**
 * Says, after the value, why `jobs.slots` does not fit the lanes, and what to do; undefined when it does. Used for the stack's config and for
 * the file on the Mac alike.
 */
export function jobSlotsProblem(
  { chat, embeddings }: { readonly chat: number; readonly embeddings: number },
  slots: number | undefined,
): string | undefined {
  const most = Math.max(1, Math.max(chat, embeddings) - 1);
  if (slots === undefined || slots <= most) return undefined;
  return `leaves no slot for direct calls (limits.chat is ${chat}, limits.embeddings ${embeddings}): set it to ${most} or less, or leave it out for all but one`;
}

const loadOptionRange = z.strictObject({ min: z.int().min(-1), max: z.int() });

/** Options that load the model again, so for all callers: which of them a caller may send, and from what to what. */
export const loadOptionsSchema = z.strictObject({
  num_ctx: loadOptionRange.optional(),
  num_batch: loadOptionRange.optional(),
  num_gpu: loadOptionRange.optional(),
  main_gpu: loadOptionRange.optional(),
  num_thread: loadOptionRange.optional(),
  use_mmap: z.literal(true).optional(),
  use_mlock: z.literal(true).optional(),
  /** Of LM Studio: seconds until an idle model is unloaded. */
  ttl: loadOptionRange.optional(),
});

/** The local model server. */
export const modelSchema = z.strictObject({
  kind: z.enum(MODEL_SERVER_KINDS),
  url: z.url({ protocol: /^https?$/ }),
  embeddingModel: z.string().min(1),
  /** Reranker for searches with `rerank`; absent: the name is left out, for a server that has one only. */
  rerankModel: z.string().min(1).optional(),
  /** Names of the models that may be called; absent means all that the server has. */
  allowed: z.array(z.string().min(1)).min(1).optional(),
  /** Load options that callers may send; absent means none. */
  options: loadOptionsSchema.optional(),
  /** In seconds. How long the relay waits for the model server before it gives a request up. */
  timeouts: z
    .strictObject({
      /** For the connection; 5 if it is not there. */
      connect: z.number().positive().max(60).optional(),
      /** For the answer's first byte, so for the whole of an answer that is not streamed; 900. */
      firstByte: z.number().positive().max(86_400).optional(),
      /** Between two pieces of an answer; 300. */
      silence: z.number().positive().max(86_400).optional(),
    })
    .optional(),
});

/** Another server that may take what would be turned away: any that speaks OpenAI's paths. */
export const fallbackSchema = z.strictObject({
  /** Without the /v1. */
  url: z.url({ protocol: /^https?$/ }),
  /** Takes the place of the model's name in the request; absent leaves the name as it is. */
  model: z.string().min(1).optional(),
  /** Companies that have agreed to have requests sent off-premises; `["*"]` is all. */
  companies: z.array(z.string().min(1)).min(1),
});

/** `documents.ttlDays` of a stack that does not set it. */
export const DEFAULT_TTL_DAYS = 30;

/** Storage, lifetime and creation of document vectors. */
export const documentsSchema = z.strictObject({
  store: z.enum(["atlas", "embedded"]),
  /** Days after its last use when a document is forgotten. */
  ttlDays: z.int().min(1).max(365),
  database: z.string().min(1).optional(),
  collection: z.string().min(1).optional(),
  /** How the embedding model is asked. Another value of any of these makes every stored vector a miss. */
  embedding: z
    .strictObject({
      /** Names the model's state where the model server has no digest (kind `openai`): change it with the model. */
      revision: z.string().min(1).max(100).optional(),
      /** Asks the model for this many dimensions; absent means its own. */
      dimensions: z.int().min(1).max(16_384).optional(),
      /** Many models want "query: " before what is searched for and "passage: " before what is searched in. */
      queryPrefix: z.string().max(1000).optional(),
      documentPrefix: z.string().max(1000).optional(),
      /** Brings vectors to length one. On unless said otherwise. */
      normalize: z.boolean().optional(),
    })
    .optional(),
  /** How a text is cut; 1,000 characters with an overlap of 120 unless said otherwise. */
  chunk: z
    .strictObject({ characters: z.int().min(100).max(20_000), overlap: z.int().min(0).max(10_000) })
    .refine(({ characters, overlap }) => overlap <= characters / 2, {
      path: ["overlap"],
      error: "is over half of characters: most of a text would be embedded twice",
    })
    .optional(),
  /** Bound on the embedded store's file; 4096 if it is not there. */
  maxDiskMiB: z.int().min(64).max(1_048_576).optional(),
  /** The older name of `limits.companies.default.embeddingTokensPerDay`, which counts if both are set. */
  tokensPerCompanyPerDay: z.int().min(1).optional(),
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
export type FallbackConfig = z.infer<typeof fallbackSchema>;
export type Limits = z.infer<typeof limitsSchema>;
export type JobsConfig = z.infer<typeof jobsSchema>;
export type DocumentsConfig = z.infer<typeof documentsSchema>;
export type ModelConfig = z.infer<typeof modelSchema>;
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
export function restartPart(relay: InstallInput["relay"]): string {
  const names: readonly string[] = RELOADABLE;
  return JSON.stringify(Object.fromEntries(Object.entries(relay).filter(([name]) => !names.includes(name))));
}

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** Power settings of the Mac. */
export const powerSchema = z.strictObject({
  /** False: `pmset` is only asked, and what differs is a warning. */
  set: z.boolean(),
  /** When a Mac that runs on its UPS shuts itself down; absent: nothing of it is touched. */
  ups: z
    .strictObject({
      /** At this charge of the UPS, in percent. */
      haltLevel: z.int().min(0).max(99).optional(),
      /** After so many minutes on the UPS. */
      haltAfter: z.int().min(0).max(999).optional(),
      /** With so many minutes left. */
      haltRemain: z.int().min(0).max(999).optional(),
    })
    .optional(),
});

/** How launchd starts the model server. All of it is in a plist that every user of the Mac can read. */
export const modelServiceSchema = z.strictObject({
  program: z.string().startsWith("/"),
  args: z.array(z.string()),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()),
  /** The account it runs as: the one whose home has the models. */
  user: z.string().min(1),
  /** Absent: that account's home. */
  workingDirectory: z.string().startsWith("/").optional(),
});

export type PowerConfig = z.infer<typeof powerSchema>;
export type ModelService = z.infer<typeof modelServiceSchema>;

/** What the installer gets through its standard input; secret as a whole. */
export const installInputSchema = z.strictObject({
  /** Without the folder for data, which the installer knows. */
  relay: relayConfigSchema.omit({ dataDir: true, logDir: true }),
  secrets: relaySecretsSchema,
  /** For cloudflared's `--token-file`. */
  connectorToken: z.string().min(1),
  /** Port of cloudflared's own metrics and `/ready`, on 127.0.0.1. */
  connectorPort: port,
  /** IP version of cloudflared's connections to Cloudflare; absent: IPv4, as is its default. */
  edgeIpVersion: z.enum(["4", "6", "auto"]).optional(),
  /** The archive with the `cloudflared` program that the Mac downloads, or finds in /tmp when it was uploaded there. */
  cloudflared: z.strictObject({ url: z.url(), sha256, uploaded: z.boolean().optional() }),
  power: powerSchema,
  /** Absent: the model server is started by somebody else, and the installer looks by whom. */
  modelService: modelServiceSchema.optional(),
  /** SSH connections of the direct lines; absent: none. */
  direct: z.array(directLineSchema).max(32).optional(),
});

export type InstallInput = z.infer<typeof installInputSchema>;
