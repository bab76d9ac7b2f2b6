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
import { type ResourceKind, typeToken } from "../../../config/resource-types.ts";

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
  /** What the next `pulumi up` makes of it, and what import cannot bring along. */
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

const madeAgain = "an `up` makes it again without loss";

/** Whether something of a type that was made by hand can be brought into the stack; a text says why not. */
const adoption = {
  tunnel: true,
  ingress: true,
  record: true,
  application: true,
  accessPolicy: true,
  notification: true,
  serviceToken: true,
  databaseUser: true,
  region: madeAgain,
  customHostname: "its validation belongs to whoever made it: it is removed by hand and made again",
  fallbackOrigin: "a zone has one, and the check of the route refuses another one's",
  identityProvider: "used as it is, never owned",
  accessListEntry: "used as it is, never owned",
  cluster: "named in documents.atlas.cluster instead",
  collection: "the program takes one over by itself",
  tunnelConnections: madeAgain,
  upload: madeAgain,
  mac: "the installer takes over what is on the Mac",
  retiredCommand: madeAgain,
} as const satisfies Readonly<Record<ResourceKind, true | string>>;

/** The types of which something can be adopted. */
export type AdoptableKind = {
  [Kind in ResourceKind]: (typeof adoption)[Kind] extends true ? Kind : never;
}[ResourceKind];

/** @returns the engine's type token */
export const adoptableType = (kind: AdoptableKind): string => typeToken(kind);

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
