/**
 * What the edge may know of the emulated account: exactly what was declared through the API, nothing else. The account
 * (`account.ts`) implements it; the edge's tests use an object of their own.
 */

/** One ingress rule as the API stores it (wire names). */
export interface IngressRule {
  hostname?: string;
  path?: string;
  service: string;
  originRequest?: Record<string, unknown>;
}

/** The remote configuration of a tunnel, as PUT to `…/configurations`. */
export interface TunnelConfiguration {
  /** Rises with every PUT; int32. */
  version: number;
  config: { ingress: IngressRule[]; originRequest?: Record<string, unknown> };
}

/** A tunnel that has not been deleted. */
export interface TunnelView {
  id: string;
  accountTag: string;
  /** Raw bytes of `tunnel_secret` (the wire carries base64). */
  secret: Buffer;
}

/** One rule of an Access policy, as on the wire, e.g. `{"service_token": {"token_id": "…"}}`. */
export type AccessRule = Record<string, Record<string, unknown>>;

/** A policy as attached to an application, in order of precedence. */
export interface AccessPolicyView {
  id: string;
  name: string;
  decision: "allow" | "deny" | "non_identity" | "bypass";
  include: AccessRule[];
  exclude: AccessRule[];
  require: AccessRule[];
}

/** A self-hosted Access application. */
export interface AccessApplicationView {
  id: string;
  name: string;
  aud: string;
  /** Public destinations, `host` or `host/path`, lower-case host. */
  destinations: string[];
  /** `true`: a service-token failure answers 401 instead of a login page. */
  serviceAuth401Redirect: boolean;
  /** Go duration, e.g. `24h`. */
  sessionDuration: string;
  policies: AccessPolicyView[];
  /** Ids of the identity providers that people may take; none named: every one of the account. */
  allowedIdps: string[];
}

/** A login method of the team's sign-in page. */
export interface IdentityProviderView {
  id: string;
  /** "" for one that has none; the page then shows its type. */
  name: string;
  /** e.g. `onetimepin`, `google`. */
  type: string;
}

/** What the account knows of one live connector connection; the API shows it under `…/connections`. */
export interface ConnectorConnection {
  connectorId: string;
  clientVersion: string;
  arch: string;
  /** e.g. `icn01` */
  coloName: string;
  openedAt: string;
  originIp: string;
  isPendingReconnect: boolean;
}

/** The edge's read-only view of the account. */
export interface EdgeView {
  /** The Zero Trust organisation's auth domain, `<team>.cloudflareaccess.com`. */
  teamDomain(): string;
  tunnel(id: string): TunnelView | undefined;
  configuration(tunnelId: string): TunnelConfiguration | undefined;
  /** The tunnel id that a proxied CNAME to `<id>.cfargotunnel.com` gives for this host name, if such a record exists. */
  tunnelFor(hostname: string): string | undefined;
  /** Hostnames with a proxied record, in order of creation: the first is what the bare loopback address stands for. */
  hostnames(): string[];
  accessApplications(): AccessApplicationView[];
  /** The account's, in order of creation. */
  identityProviders(): IdentityProviderView[];
  /**
   * Checks a service token's client id and secret (current, or previous until its expiry; not when disabled or expired).
   * @returns the token's id, or undefined when it is not valid
   */
  verifyServiceToken(clientId: string, clientSecret: string): string | undefined;
  /** Tells the account which connections a tunnel has now. */
  setConnections(tunnelId: string, connections: ConnectorConnection[]): void;
  /** Calls `listener` after every change of a configuration, a tunnel or a DNS record. @returns a function that stops it */
  onChange(listener: (tunnelId: string | undefined) => void): () => void;
}
