/**
 * Every resource type that the program declares, and what the policy pack, the permission check, `npm run recover` and
 * `npm run init -- --adopt` have to know about it. Their own tables are keyed by `ResourceKind`, so a type that one of them
 * forgets does not compile; test/components/declared.test.ts holds this table equal to what the program declares. In the sandbox a new type follows in
 * `sandbox/providers/` (the provider) and in `sandbox/cloudflare/` or `sandbox/atlas/` (the API that it calls).
 */

/** What is the same for all uses of one resource type. */
export interface ResourceType {
  /** The engine's type token. It is in the state of deployed stacks and never changes. */
  readonly token: string;
  /** The API token's permission group, as Cloudflare names it; `null` for what is not Cloudflare's. */
  readonly permission: PermissionGroup | null;
  /** Its deletion loses data or changes an address: the policy pack requires `protect` in production. */
  readonly holdsState: boolean;
  /** Inputs that must be marked as secrets. */
  readonly secretInputs: readonly string[];
}

/** Permission groups of a Cloudflare API token, without the level. */
export type PermissionGroup =
  | "Zone"
  | "DNS"
  | "Cloudflare Tunnel"
  | "Access: Apps and Policies"
  | "Access: Service Tokens"
  | "Access: Organizations, Identity Providers, and Groups"
  | "Notifications"
  | "SSL and Certificates";

const cloudflare = <Name extends string>(
  name: Name,
  permission: PermissionGroup,
  more: { holdsState?: boolean; secretInputs?: readonly string[] } = {},
) => ({
  token: `cloudflare:index/${lowerFirst(name)}:${name}` as const,
  permission,
  holdsState: more.holdsState ?? false,
  secretInputs: more.secretInputs ?? [],
});

const lowerFirst = <Name extends string>(name: Name): Uncapitalize<Name> =>
  (name.charAt(0).toLowerCase() + name.slice(1)) as Uncapitalize<Name>;

/** The types by the short name that is used in this project. */
export const resourceTypes = {
  record: cloudflare("DnsRecord", "DNS", { holdsState: true }),
  region: cloudflare("RegionalHostname", "DNS"),
  customHostname: cloudflare("CustomHostname", "SSL and Certificates", { holdsState: true }),
  fallbackOrigin: cloudflare("CustomHostnameFallbackOrigin", "SSL and Certificates"),
  application: cloudflare("ZeroTrustAccessApplication", "Access: Apps and Policies", { holdsState: true }),
  accessPolicy: cloudflare("ZeroTrustAccessPolicy", "Access: Apps and Policies"),
  serviceToken: cloudflare("ZeroTrustAccessServiceToken", "Access: Service Tokens", { holdsState: true }),
  identityProvider: cloudflare(
    "ZeroTrustAccessIdentityProvider",
    "Access: Organizations, Identity Providers, and Groups",
  ),
  notification: cloudflare("NotificationPolicy", "Notifications"),
  tunnel: cloudflare("ZeroTrustTunnelCloudflared", "Cloudflare Tunnel", {
    holdsState: true,
    secretInputs: ["tunnelSecret"],
  }),
  ingress: cloudflare("ZeroTrustTunnelCloudflaredConfig", "Cloudflare Tunnel"),
  databaseUser: {
    token: "mongodbatlas:index/databaseUser:DatabaseUser",
    permission: null,
    holdsState: false,
    secretInputs: ["password"],
  },
  accessListEntry: {
    token: "mongodbatlas:index/projectIpAccessList:ProjectIpAccessList",
    permission: null,
    holdsState: false,
    secretInputs: [],
  },
  cluster: {
    token: "mongodbatlas:index/flexCluster:FlexCluster",
    permission: null,
    holdsState: true,
    secretInputs: [],
  },
  collection: {
    token: "pulumi-nodejs:dynamic/document-store:TtlCollection",
    permission: null,
    holdsState: true,
    secretInputs: ["uri"],
  },
  tunnelConnections: {
    token: "pulumi-nodejs:dynamic/tunnel:Connections",
    permission: null,
    holdsState: false,
    secretInputs: [],
  },
  upload: { token: "command:remote:CopyToRemote", permission: null, holdsState: false, secretInputs: [] },
  mac: {
    token: "pulumi-nodejs:dynamic/mac:Installation",
    permission: null,
    holdsState: false,
    secretInputs: ["input"],
  },
  retiredCommand: { token: "pulumi-nodejs:dynamic/mac:Nothing", permission: null, holdsState: false, secretInputs: [] },
} as const satisfies Readonly<Record<string, ResourceType>>;

/** Short name of a type that the program declares. */
export type ResourceKind = keyof typeof resourceTypes;

/** @returns the engine's type token */
export const typeToken = (kind: ResourceKind): string => resourceTypes[kind].token;

/** The kind of each type token. */
const kinds = new Map<string, ResourceKind>(
  (Object.keys(resourceTypes) as ResourceKind[]).map((kind) => [typeToken(kind), kind]),
);

/** @returns which of the program's resource types a token is, or undefined when the program declares no such type */
export const kindOf = (token: string): ResourceKind | undefined => kinds.get(token);
