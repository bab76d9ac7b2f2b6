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
import { type ResourceKind, typeToken } from "../../../config/resource-types.ts";

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

const recreated = "`up` creates it again without loss";

/** Whether a resource made by hand can be imported into the stack; a text says why not. */
const adoption = {
  tunnel: true,
  ingress: true,
  record: true,
  application: true,
  accessPolicy: true,
  notification: true,
  serviceToken: true,
  databaseUser: true,
  region: recreated,
  customHostname: "its validation belongs to whoever made it: remove it by hand and let `up` create it",
  fallbackOrigin: "a zone has one, and the route's check refuses a foreign one",
  identityProvider: "used as it is, never owned",
  accessListEntry: "used as it is, never owned",
  cluster: "named in documents.atlas.cluster instead",
  collection: "the program adopts it by itself",
  tunnelConnections: recreated,
  upload: recreated,
  mac: "the installer adopts what is on the Mac",
  retiredCommand: recreated,
} as const satisfies Readonly<Record<ResourceKind, true | string>>;

/** Kinds of which something can be adopted. */
export type AdoptableKind = {
  [Kind in ResourceKind]: (typeof adoption)[Kind] extends true ? Kind : never;
}[ResourceKind];

/** @returns the engine's type token */
export const adoptableType = (kind: AdoptableKind): string => typeToken(kind);

/** The lookups: what exists in the accounts. */
export interface Lookups {
  /** `slm-network-<stack>` */
  readonly tunnelName: string;
  readonly config: Pick<
    StackConfig,
    "accountId" | "zoneId" | "hostname" | "access" | "alerts" | "documents" | "metrics"
  >;
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
