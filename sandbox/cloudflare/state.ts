/** The state of the emulated account as zod schemas, in memory and in the state file. */
import { z } from "zod";

const object = z.record(z.string(), z.unknown());

const tunnelSchema = z.object({
  id: z.string(),
  name: z.string(),
  config_src: z.enum(["local", "cloudflare"]),
  /** Base64 of at least 32 bytes. */
  tunnel_secret: z.string(),
  created_at: z.string(),
  deleted_at: z.string().nullable(),
  conns_active_at: z.string().nullable(),
  conns_inactive_at: z.string().nullable(),
});

const configurationSchema = z.object({
  version: z.int(),
  created_at: z.string(),
  config: z.object({
    ingress: z.array(
      z.object({
        hostname: z.string().optional(),
        path: z.string().optional(),
        service: z.string(),
        originRequest: object.optional(),
      }),
    ),
    originRequest: object.optional(),
    "warp-routing": object.optional(),
  }),
});

const dnsRecordSchema = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string(),
  content: z.string(),
  ttl: z.number(),
  proxied: z.boolean(),
  priority: z.number().optional(),
  comment: z.string().nullable(),
  tags: z.array(z.string()),
  settings: object,
  created_on: z.string(),
  modified_on: z.string(),
});

const serviceTokenSchema = z.object({
  id: z.string(),
  name: z.string(),
  client_id: z.string(),
  /** SHA-256 of the secret in hex; the secret itself is shown once and not stored. */
  secret_hash: z.string(),
  client_secret_version: z.int(),
  previous_secret_hash: z.string().nullable(),
  previous_client_secret_expires_at: z.string().nullable(),
  duration: z.string(),
  enabled: z.boolean(),
  created_at: z.string(),
  updated_at: z.string(),
  expires_at: z.string().nullable(),
});

const accessRuleSchema = z.record(z.string(), object);

const policySchema = z.object({
  id: z.string(),
  name: z.string(),
  decision: z.enum(["allow", "deny", "non_identity", "bypass"]),
  include: z.array(accessRuleSchema),
  exclude: z.array(accessRuleSchema),
  require: z.array(accessRuleSchema),
  session_duration: z.string().nullable(),
  /** Further fields of the body, unchanged. */
  rest: object,
  created_at: z.string(),
  updated_at: z.string(),
});

const applicationSchema = z.object({
  id: z.string(),
  aud: z.string(),
  /** The body, unchanged except for `policies`. */
  body: object,
  type: z.string(),
  /** Public destinations, normalised. */
  domains: z.array(z.string()),
  policies: z.array(z.object({ id: z.string(), precedence: z.number() })),
  created_at: z.string(),
  updated_at: z.string(),
});

/** Objects stored in their wire form. */
const plain = z.record(z.string(), object).default({});

/** The whole account. Keys of the records are the ids; their order is the order of creation. */
export const stateSchema = z.object({
  format: z.literal(1),
  tunnels: z.record(z.string(), tunnelSchema),
  configurations: z.record(z.string(), configurationSchema),
  dnsRecords: z.record(z.string(), dnsRecordSchema),
  serviceTokens: z.record(z.string(), serviceTokenSchema),
  policies: z.record(z.string(), policySchema),
  applications: z.record(z.string(), applicationSchema),
  identityProviders: plain,
  regionalHostnames: plain,
  customHostnames: plain,
  fallbackOrigin: object.nullable().default(null),
  notificationPolicies: plain,
  hostnameRoutes: plain,
});

export type AccountState = z.infer<typeof stateSchema>;
export type StoredTunnel = z.infer<typeof tunnelSchema>;
export type StoredDnsRecord = z.infer<typeof dnsRecordSchema>;
export type StoredServiceToken = z.infer<typeof serviceTokenSchema>;
export type StoredPolicy = z.infer<typeof policySchema>;
export type StoredApplication = z.infer<typeof applicationSchema>;
/** The kinds stored in their wire form. */
export type PlainKind =
  | "identityProviders"
  | "regionalHostnames"
  | "customHostnames"
  | "notificationPolicies"
  | "hostnameRoutes";

/** An empty account. */
export function emptyState(): AccountState {
  return {
    format: 1,
    tunnels: {},
    configurations: {},
    dnsRecords: {},
    serviceTokens: {},
    policies: {},
    applications: {},
    identityProviders: {},
    regionalHostnames: {},
    customHostnames: {},
    fallbackOrigin: null,
    notificationPolicies: {},
    hostnameRoutes: {},
  };
}
