/** The schema of the stack's config (namespace `slm-network`). Each rule says why a value can not be used and what to do. */
import { z } from "zod";
import {
  fallbackSchema,
  jobsSchema,
  limitsSchema,
  modelSchema,
  documentsSchema as relayDocumentsSchema,
} from "../runtime/config.ts";
import { isDnsLabel, isHostname } from "./host-name.ts";
import { routeSchema } from "./route-config.ts";

/** Says why a value can not be used and what to do; used by every rule below instead of zod's own words. */
const because = (text: string) => ({ error: text });
/** How a secret of the stack's is made. */
const howToMake = (key: string) => `make one with \`openssl rand -base64 32 | pulumi config set --secret ${key}\``;
/** Rules over several values are asked also when one of the values has a fault of its own, so that all faults show at once. */
const always = (payload: { value: unknown }): boolean => typeof payload.value === "object" && payload.value !== null;
const hex32 = /^[0-9a-f]{32}$/;
const tokenName = /^[a-z][a-z0-9-]{0,40}$/;
const goDuration = /^(\d+(\.\d+)?(h|m|s))+$/;
const tokenLife = /^(forever|(\d+(\.\d+)?(h|m|s))+)$/;

const cloudflareId = (what: string, where: string) =>
  z
    .string(because(`${what} is missing or no text: set the 32 hex digits shown at ${where}`))
    .regex(hex32, because(`is not ${what} (32 lower-case hex digits): copy it from ${where}`));

const serverSchema = z
  .object({
    name: z
      .string(because("a server needs a name, e.g. backend"))
      .regex(
        tokenName,
        because("is no name for a server: lower-case letters, digits and -, beginning with a letter, at most 41"),
      )
      .refine(
        (name) => name !== "tunnel",
        because("is taken: `npm run rotate -- tunnel` means the tunnel's own secret"),
      ),
    companies: z
      .array(z.string().min(1, because("a company's name is empty: take it out or name it")))
      .min(1, because('no company: list those whose documents the server may use, or ["*"] for all'))
      .default(["*"]),
    weight: z
      .number()
      .positive(because("must be over 0: its share of the slots relative to the other servers, e.g. 1"))
      .default(1),
    secretVersion: z
      .int(because("must be a whole number, 1 or more"))
      .min(1, because("must be 1 or more; each rotation adds 1"))
      .default(1),
    previousSecretExpiresAt: z.iso
      .datetime({ offset: true, error: 'is no RFC 3339 time: write it in quotes, e.g. "2026-12-01T00:00:00Z"' })
      .optional(),
    enabled: z.boolean(because("must be true or false")).default(true),
    duration: z
      .string()
      .regex(tokenLife, because("is no duration, e.g. 8760h for a year, or forever"))
      .default("8760h"),
  })
  .strict()
  .refine((server) => server.secretVersion <= 1 || server.previousSecretExpiresAt !== undefined, {
    path: ["previousSecretExpiresAt"],
    error:
      "is missing: from the second secret on (secretVersion over 1) say until when the previous one works, e.g. 2026-12-01T00:00:00Z, and keep both values ever after",
    when: always,
  })
  .refine((server) => server.secretVersion > 1 || server.previousSecretExpiresAt === undefined, {
    path: ["previousSecretExpiresAt"],
    error:
      "stands beside secretVersion 1, and there is no previous secret yet: take it out, or raise secretVersion to rotate",
    when: always,
  });

const macSchema = z
  .object({
    name: z
      .string()
      .regex(tokenName, because("is no name for a Mac: lower-case letters, digits and -, e.g. studio"))
      .default("studio"),
    host: z
      .string(because("is missing: the Mac's address or name in the office's network"))
      .min(1, because("is empty: the Mac's address or name in the office's network")),
    port: z.int().min(1).max(65535, because("is no port (1 to 65535)")).default(22),
    user: z
      .string(because("is missing: the account on the Mac that may use `sudo -n`, e.g. deploy"))
      .min(1, because("is empty: the account on the Mac that may use `sudo -n`, e.g. deploy")),
    hostKey: z
      .string(
        because(
          "is missing: without it anybody could pose as the Mac. Run `ssh-keyscan -t ed25519 <host>` and copy `ssh-ed25519 AAAA…`",
        ),
      )
      .regex(
        /^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$/,
        because("is no public host key: run `ssh-keyscan -t ed25519 <host>` and copy the part from `ssh-ed25519` on"),
      ),
    ports: z
      .object({
        relay: z.int().min(1024).max(65535).default(8790),
        admin: z.int().min(1024).max(65535).default(8791),
        connector: z.int().min(1024).max(65535).default(8792),
      })
      .strict()
      .prefault({}),
  })
  .strict();

const ipv4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}\/(3[0-2]|[12]?\d)$/;
const cidrSchema = z
  .string()
  .regex(ipv4, because("is no IPv4 network: write an address and a length, e.g. 203.0.113.7/32"));

const clusterName = (text: string) =>
  z
    .string(because(text))
    .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/, because("is no cluster name: letters, digits and -"));

/** An existing cluster by its name, or a Flex cluster to make. */
const clusterSchema = z.union(
  [
    clusterName("is missing: the name of an existing cluster, as Atlas shows it"),
    z
      .object({
        create: z
          .object({
            name: clusterName("must be a name, e.g. slm").default("slm"),
            provider: z
              .enum(["AWS", "GCP", "AZURE"], because("must be AWS, GCP or AZURE; Seoul is AWS AP_NORTHEAST_2"))
              .default("AWS"),
            region: z
              .string()
              .regex(/^[A-Z][A-Z0-9_]+$/, because("is no region as Atlas names them, e.g. AP_NORTHEAST_2 for Seoul"))
              .default("AP_NORTHEAST_2"),
          })
          .strict(),
      })
      .strict(),
  ],
  because("is neither the name of an existing cluster nor { create: { name: slm } } for a new Flex cluster in Seoul"),
);

const runtimeDocuments = relayDocumentsSchema.shape;

const documentsSchema = z
  .object({
    store: z.enum(["atlas", "embedded"], because("must be atlas or embedded")).default("embedded"),
    ttlDays: z
      .int(because("must be a whole number of days, 1 to 365"))
      .min(1, because("would forget a document at once: 1 to 365 days after its last use, e.g. 30"))
      .max(365, because("is over a year: 1 to 365 days after its last use, e.g. 30"))
      .default(30),
    dropData: z.boolean(because("must be true or false")).default(false),
    atlas: z
      .object({
        projectId: z
          .string(because("is missing: the project's 24 hex digits, Atlas → Project Settings"))
          .regex(
            /^[0-9a-f]{24}$/,
            because("is no Atlas project id (24 lower-case hex digits): Atlas → Project Settings"),
          ),
        cluster: clusterSchema,
        database: z
          .string()
          .regex(/^[A-Za-z0-9_-]{1,38}$/, because("is no database name: letters, digits, _ and -, at most 38"))
          .default("slm"),
        collection: z
          .string()
          .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, because("is no collection name: letters, digits, _ and -"))
          .default("documents"),
        allowFrom: z
          .array(
            cidrSchema,
            because(
              "is missing: the networks that may reach the database, the office's and the one where `pulumi up` runs, e.g. [203.0.113.7/32]",
            ),
          )
          .min(
            1,
            because(
              "is empty: then nobody reaches the database. List the office's address and the one where `pulumi up` runs, e.g. 203.0.113.7/32",
            ),
          ),
        allowAnywhere: z.boolean(because("must be true or false")).default(false),
      })
      .strict()
      .superRefine(({ allowFrom, allowAnywhere }, context) => {
        for (const [i, cidr] of allowFrom.entries()) {
          if (allowAnywhere || !cidr.endsWith("/0")) continue;
          context.addIssue({
            code: "custom",
            path: ["allowFrom", i],
            message:
              "lets the whole internet at the database: list the office's address and the one `pulumi up` runs at, each with /32, or set allowAnywhere: true",
          });
        }
      })
      .optional(),
    embedding: runtimeDocuments.embedding,
    chunk: runtimeDocuments.chunk,
    tokensPerCompanyPerDay: runtimeDocuments.tokensPerCompanyPerDay,
  })
  .strict()
  .refine((documents) => documents.store !== "atlas" || documents.atlas !== undefined, {
    path: ["atlas"],
    error: "is missing while store is atlas: give projectId, cluster and allowFrom, or set store to embedded",
    when: always,
  });

const artifactSchema = z
  .object({
    url: z.url({ protocol: /^https?$/, error: "is no http(s) address" }),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, because("is no sha256 (64 lower-case hex digits)")),
  })
  .strict();

/** What the Mac downloads. Defaults are the vendors' own builds for Apple silicon, with the hashes they publish. */
const artifactsSchema = z
  .object({
    node: artifactSchema.default({
      // https://nodejs.org/dist/v24.18.0/SHASUMS256.txt
      url: "https://nodejs.org/dist/v24.18.0/node-v24.18.0-darwin-arm64.tar.gz",
      sha256: "e1a97e14c99c803e96c7339403282ea05a499c32f8d83defe9ef5ec66f979ed1",
    }),
    cloudflared: artifactSchema.default({
      // https://github.com/cloudflare/cloudflared/releases/tag/2026.7.2
      url: "https://github.com/cloudflare/cloudflared/releases/download/2026.7.2/cloudflared-darwin-arm64.tgz",
      sha256: "2086e51c61d6565781d84117a5007d0c826d03ffdc74acb91c08c167f9f8cd7c",
    }),
  })
  .strict();

const emailDomain = z
  .string()
  .refine(
    (domain) => domain.split(".").length >= 2 && domain.split(".").every(isDnsLabel),
    because("is no e-mail domain, e.g. example.com"),
  );

/** A secret of the stack's; absent ones are named with the command that makes them. */
const secret = (key: string) =>
  z
    .string(because(`is missing: ${howToMake(key)}`))
    .min(16, because(`is shorter than 16 characters: ${howToMake(key)}`));

/** The stack's config. Keys are those of `Pulumi.<stack>.yaml` without the namespace. */
export const stackConfigSchema = z
  .object({
    hostname: z
      .string(because("is missing: the name callers use, one label under the zone, e.g. slm.example.com"))
      .refine(
        isHostname,
        because(
          "is no host name: lower-case letters, digits and -, one label under the zone, without https:// and path, e.g. slm.example.com",
        ),
      ),
    zoneId: cloudflareId("the zone's id", "dash.cloudflare.com → the zone → Overview → API"),
    accountId: cloudflareId("the account's id", "dash.cloudflare.com → the zone → Overview → API"),
    protect: z.boolean(because("must be true or false")).default(true),
    route: routeSchema.prefault({}),
    access: z
      .object({
        servers: z
          .array(serverSchema, because("is missing: list at least one server that may call, e.g. [{ name: backend }]"))
          .min(1, because("is empty: list at least one server that may call, e.g. [{ name: backend }]"))
          .refine((servers) => new Set(servers.map((server) => server.name)).size === servers.length, {
            error: "two servers have one name: each needs its own",
            when: always,
          }),
        people: z
          .object({
            emails: z.array(z.email(because("is no e-mail address"))).default([]),
            emailDomains: z.array(emailDomain).default([]),
            sessionDuration: z.string().regex(goDuration, because("is no duration, e.g. 24h")).default("24h"),
          })
          .strict()
          .prefault({}),
      })
      .strict(),
    macs: z
      .array(
        macSchema,
        because(
          "is missing: say how the Mac is reached, e.g. [{ host: 192.168.0.20, user: deploy, hostKey: ssh-ed25519 AAAA… }]",
        ),
      )
      .min(1, because("is empty: one Mac is needed"))
      .refine((macs) => macs.length <= 1, {
        error:
          "two or more Macs: this version runs one, since a job's queue lives on the Mac that took it. Keep one entry",
        when: always,
      }),
    model: z
      .object({
        kind: modelSchema.shape.kind.default("ollama"),
        url: z
          .url({ protocol: /^https?$/, error: "is no http(s) address, e.g. http://127.0.0.1:11434" })
          .default("http://127.0.0.1:11434"),
        embeddingModel: z
          .string(because("is missing: the embedding model's name on the model server, e.g. bge-m3"))
          .min(1, because("is empty: e.g. bge-m3")),
        allowed: modelSchema.shape.allowed,
        timeouts: modelSchema.shape.timeouts,
      })
      .strict(),
    fallback: fallbackSchema
      .extend({
        url: z
          .url({ protocol: /^https?$/, error: "is no http(s) address, e.g. https://api.openai.com" })
          .refine(
            (url) => !/\/v1\/*$/.test(url),
            because("ends with /v1: leave that out, the relay adds it, e.g. https://api.openai.com"),
          ),
        companies: z
          .array(
            z.string().min(1, because("a company's name is empty: take it out or name it")),
            because("is missing: list the companies that agreed that their requests leave the house"),
          )
          .min(1, because("is empty: list the companies that agreed, or take the whole of `fallback` out")),
      })
      .optional(),
    alerts: z
      .object({
        emails: z
          .array(z.email(because("is no e-mail address: who shall be told when the tunnel is down")))
          .default([]),
      })
      .strict()
      .prefault({}),
    limits: limitsSchema.prefault({}),
    jobs: jobsSchema.prefault({}),
    documents: documentsSchema.prefault({}),
    artifacts: artifactsSchema.prefault({}),
    tunnelSecret: secret("tunnelSecret").refine(
      (text) => Buffer.from(text, "base64").length >= 32,
      because(`is not base64 of 32 bytes or more: ${howToMake("tunnelSecret")}`),
    ),
    atlasSchemaPassword: secret("atlasSchemaPassword").optional(),
    atlasRelayPassword: secret("atlasRelayPassword").optional(),
    fallbackKey: z.string(because("is no text: the fallback server's key")).min(1).optional(),
  })
  .strict()
  .refine((config) => !onAtlas(config) || config.atlasSchemaPassword !== undefined, {
    path: ["atlasSchemaPassword"],
    error: `is missing while documents.store is atlas: ${howToMake("atlasSchemaPassword")}`,
    when: always,
  })
  .refine((config) => !onAtlas(config) || config.atlasRelayPassword !== undefined, {
    path: ["atlasRelayPassword"],
    error: `is missing while documents.store is atlas: ${howToMake("atlasRelayPassword")}`,
    when: always,
  });

const onAtlas = (config: { documents?: { store?: string } }): boolean => config.documents?.store === "atlas";

/** A stack's config that has passed. */
export type StackConfig = z.infer<typeof stackConfigSchema>;
