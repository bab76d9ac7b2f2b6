/** What can be taken over, and what has to be known to say so. */

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

/** Something that can be brought into the stack. */
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
  /** What the next `pulumi up` makes of it, and what import can not bring along. */
  readonly means: readonly string[];
}

/** What was looked at, and what is to be done by hand. */
export interface Found {
  readonly adoptable: readonly Adoptable[];
  /** In words, each with what to do. */
  readonly left: readonly string[];
}

/** The program's components that such things hang under. */
export const parents = {
  tunnel: "slm-network:tunnel:Tunnel",
  route: "slm-network:route:Route",
  access: "slm-network:access:Access",
  alerts: "slm-network:alerts:Alerts",
  documents: "slm-network:document-store:DocumentStore",
} as const;

/** The name that the program gives its components, and its children's first part. */
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

/** What is in the accounts. */
export interface Facts {
  /** `slm-network-<stack>` */
  readonly tunnelName: string;
  readonly config: Pick<StackConfig, "accountId" | "zoneId" | "hostname" | "access" | "alerts" | "documents">;
  /** Those of exactly the hostname. */
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
