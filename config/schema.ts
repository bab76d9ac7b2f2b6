/** The schema of the stack's config (namespace `slm-network`). Each rule says why a value cannot be used and what to do. */
import { z } from "zod";
import { HEADER_TEXT } from "../runtime/config.ts";
import { jobSlotsProblem, jobsSchema, limitsProblems } from "../runtime/limits-config.ts";
import { quotaProblems, usageSchema } from "../runtime/usage-config.ts";
import { accessSchema, metricsSchema } from "./access.ts";
import { directProblems } from "./direct-route.ts";
import { documentsSchema } from "./documents.ts";
import { isHostname } from "./host-name.ts";
import { stackLimitsSchema } from "./limits.ts";
import { artifactsSchema, macsSchema } from "./mac.ts";
import { fallbackConfigSchema, modelConfigSchema } from "./model.ts";
import { routeSchema } from "./route.ts";
import { evenIfInvalid, withMessage } from "./rule-helpers.ts";
import { alertsConfigSchema, otlpHeadersSchema, otlpProblem, telemetryConfigSchema } from "./telemetry.ts";

/** The command that creates a secret of the stack. */
const howToMake = (key: string) => `make one with \`openssl rand -base64 32 | pulumi config set --secret ${key}\``;
const hex32 = /^[0-9a-f]{32}$/;

const cloudflareId = (what: string, where: string) =>
  z
    .string(withMessage(`${what} is missing or not text: set the 32 hex digits shown at ${where}`))
    .regex(hex32, withMessage(`is not ${what} (32 lower-case hex digits): copy it from ${where}`));

/** A secret of the stack; the message for a missing one has the command that creates it. */
const secret = (key: string) =>
  z
    .string(withMessage(`is missing: ${howToMake(key)}`))
    .min(16, withMessage(`is shorter than 16 characters: ${howToMake(key)}`));

/** A key that is sent in a header, to the model server or the fallback server. */
const headerKey = (server: "model" | "fallback") =>
  z
    .string(withMessage(`is not text: the ${server} server's key`))
    .regex(
      HEADER_TEXT,
      withMessage("has spaces or characters beyond ASCII: it is sent in a header, so set the key as the server has it"),
    );

/** The stack's config. Keys are those of `Pulumi.<stack>.yaml` without the namespace. */
export const stackConfigSchema = z
  .object({
    hostname: z
      .string(withMessage("is missing: the name callers use, one label under the zone, e.g. slm.example.com"))
      .refine(
        isHostname,
        withMessage(
          "is not a host name: lower-case letters, digits and -, one label under the zone, without https:// and path, e.g. slm.example.com",
        ),
      ),
    zoneId: cloudflareId("the zone's id", "dash.cloudflare.com → the zone → Overview → API"),
    accountId: cloudflareId("the account's id", "dash.cloudflare.com → the zone → Overview → API"),
    protect: z.boolean(withMessage("must be true or false")).default(true),
    /** Parts that may be deleted while the rest stays protected. */
    unprotect: z
      .array(
        z
          .string()
          .regex(
            /^(servers\.[a-z][a-z0-9-]{0,40}|saas|ssh|documents|metrics)$/,
            withMessage("is not a part that can be unprotected: use servers.<name>, saas, ssh, metrics or documents"),
          ),
        withMessage("must be a list, e.g. [servers.backend]"),
      )
      .default([]),
    route: routeSchema.prefault({}),
    access: accessSchema,
    macs: macsSchema,
    model: modelConfigSchema,
    fallback: fallbackConfigSchema.optional(),
    alerts: alertsConfigSchema.prefault({}),
    telemetry: telemetryConfigSchema.prefault({}),
    metrics: metricsSchema.prefault({}),
    limits: stackLimitsSchema.prefault({}),
    jobs: jobsSchema.prefault({}),
    documents: documentsSchema.prefault({}),
    usage: usageSchema.prefault({}),
    artifacts: artifactsSchema.prefault({}),
    tunnelSecret: secret("tunnelSecret").refine(
      (text) => Buffer.from(text, "base64").length >= 32,
      withMessage(`is not base64 of 32 bytes or more: ${howToMake("tunnelSecret")}`),
    ),
    atlasSchemaPassword: secret("atlasSchemaPassword").optional(),
    atlasRelayPassword: secret("atlasRelayPassword").optional(),
    fallbackKey: headerKey("fallback").optional(),
    modelKey: headerKey("model").optional(),
    otlpHeaders: otlpHeadersSchema.optional(),
  })
  .strict()
  .refine((config) => otlpProblem(config.telemetry?.otlp?.endpoint, config.otlpHeaders) === undefined, {
    path: ["telemetry", "otlp", "endpoint"],
    error: "is not https, so anyone on the way could read the secret otlpHeaders: use https://, or remove otlpHeaders",
    when: evenIfInvalid,
  })
  .refine((config) => sharedNames(config).length === 0, {
    path: ["metrics", "scrapers"],
    error: ({ input }) =>
      `has ${sharedNames(input).join(", ")}, which is in access.servers too: give the scraper another name`,
    when: evenIfInvalid,
  })
  .refine((config) => !onAtlas(config) || config.atlasSchemaPassword !== undefined, {
    path: ["atlasSchemaPassword"],
    error: `is missing while documents.store is atlas: ${howToMake("atlasSchemaPassword")}`,
    when: evenIfInvalid,
  })
  .refine((config) => !onAtlas(config) || config.atlasRelayPassword !== undefined, {
    path: ["atlasRelayPassword"],
    error: `is missing while documents.store is atlas: ${howToMake("atlasRelayPassword")}`,
    when: evenIfInvalid,
  })
  .refine((config) => directProblems(config).length === 0, {
    path: ["route", "direct"],
    error: ({ input }) => directProblems(input).join("; "),
    when: evenIfInvalid,
  })
  .refine((config) => slotsProblem(config) === undefined, {
    path: ["jobs", "slots"],
    error: ({ input }) => slotsProblem(input) ?? "",
    when: evenIfInvalid,
  })
  .refine((config) => memoryProblems(config).length === 0, {
    path: ["limits", "memoryMiB"],
    error: ({ input }) => memoryProblems(input as { limits?: unknown }).join("; it "),
    when: evenIfInvalid,
  })
  .refine((config) => quotaFaults(config).length === 0, {
    path: ["limits"],
    error: ({ input }) => quotaFaults(input as { limits?: unknown }).join("; "),
    when: evenIfInvalid,
  });

/** Also evaluated while other parts of the config are invalid, so that all problems show at once. */
function slotsProblem(config: unknown): string | undefined {
  const read = z
    .object({ limits: stackLimitsSchema.prefault({}), jobs: jobsSchema.prefault({}) })
    .safeParse(config).data;
  return read && jobSlotsProblem(read.limits, read.jobs.slots);
}

/** Names of scrapers that servers have, too: both name a service token. */
function sharedNames(config: unknown): string[] {
  const named = z.array(z.looseObject({ name: z.string() })).catch([]);
  const read = z
    .object({
      access: z.object({ servers: named }).catch({ servers: [] }),
      metrics: z.object({ scrapers: named }).catch({ scrapers: [] }),
    })
    .safeParse(config).data;
  const servers = new Set(read?.access.servers.map(({ name }) => name));
  return read?.metrics.scrapers.flatMap(({ name }) => (servers.has(name) ? [name] : [])) ?? [];
}

const onAtlas = (config: { documents?: { store?: string } }): boolean => config.documents?.store === "atlas";

/** Values of the limits that contradict each other; none while one of them has a problem of its own. */
function memoryProblems(config: { limits?: unknown; access?: unknown }): string[] {
  const limits = stackLimitsSchema.safeParse(config.limits);
  const servers = serversSchema.safeParse(config.access);
  const callers = servers.data?.servers.filter(({ enabled }) => enabled !== false).length ?? 0;
  return limits.success ? limitsProblems(limits.data, callers).map(({ problem }) => problem) : [];
}

/** Quotas that contradict each other, or are for nobody; none while the limits have a problem of their own. */
function quotaFaults(config: { limits?: unknown; access?: unknown }): string[] {
  const limits = stackLimitsSchema.safeParse(config.limits ?? {}).data;
  const servers = serversSchema.safeParse(config.access).data?.servers;
  if (limits === undefined || servers === undefined) return [];
  const names = servers.map(({ name }) => String(name));
  return quotaProblems(limits, names).map(
    ({ path, value, problem }) => `${path.join(".")} is ${JSON.stringify(value)}, which ${problem}`,
  );
}

const serversSchema = z.object({ servers: z.array(z.looseObject({ name: z.unknown(), enabled: z.unknown() })) });

/** A valid stack config. */
export type StackConfig = z.infer<typeof stackConfigSchema>;
