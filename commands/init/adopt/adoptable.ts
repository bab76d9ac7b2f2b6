/** What can be adopted, and the lookups that decide it. */

import type { DatabaseUser } from "../../../accounts/atlas.ts";
import type {
  AccessApplication,
  AccessPolicy,
  DnsRecord,
  NotificationPolicy,
  ServiceToken,
  Tunnel,
} from "../../../accounts/cloudflare.ts";
import type { StackConfig } from "../../../config/config.ts";

/** A resource that can be imported into the stack. */
export interface Adoptable {
  /** For a person: `the tunnel "studio" (…)`. */
  readonly shown: string;
  /** The engine's type token. */
  readonly type: string;
  /** The resource's name in the program. */
  readonly name: string;
  readonly parent: keyof typeof parents;
  /** As the provider imports it. */
  readonly id: string;
  /** What the next `pulumi up` changes, and what an import cannot carry over. */
  readonly means: readonly string[];
}

/** What can be adopted, and what remains to be done by hand. */
export interface Found {
  readonly adoptable: readonly Adoptable[];
  /** Sentences, each with what to do. */
  readonly left: readonly string[];
}

/** The program's components that are parents of adopted resources. */
export const parents = {
  tunnel: "slm-network:tunnel:Tunnel",
  route: "slm-network:route:Route",
  access: "slm-network:access:Access",
  alerts: "slm-network:alerts:Alerts",
  documents: "slm-network:document-store:DocumentStore",
} as const;

/** The name of the program's components, and the prefix of their children's names. */
export const programName = "slm";

/** The engine's type tokens. */
export const types = {
  tunnel: "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared",
  ingress: "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig",
  record: "cloudflare:index/dnsRecord:DnsRecord",
  application: "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication",
  policy: "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy",
  notification: "cloudflare:index/notificationPolicy:NotificationPolicy",
  token: "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken",
  user: "mongodbatlas:index/databaseUser:DatabaseUser",
} as const;

/** The lookups: what exists in the accounts. */
export interface Lookups {
  /** `slm-network-<stack>` */
  readonly tunnelName: string;
  readonly config: Pick<StackConfig, "accountId" | "zoneId" | "hostname" | "access" | "alerts" | "documents">;
  /** Records of exactly the hostname. */
  readonly records: readonly DnsRecord[];
  readonly tunnels: readonly Tunnel[];
  readonly applications: readonly AccessApplication[];
  /** Reusable ones. */
  readonly policies: readonly AccessPolicy[];
  readonly notifications: readonly NotificationPolicy[];
  readonly tokens: readonly ServiceToken[];
  readonly users: readonly DatabaseUser[];
  /** Ids or names of tokens, by the server that uses them now. */
  readonly tokensOf: ReadonlyMap<string, string>;
}
