/**
 * The edge's view of the emulated account: exactly what was declared through the API. The account (`account.ts`)
 * implements it; the edge's tests use their own object.
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
  /** Incremented by every PUT; int32. */
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
  /** Header that may carry a whole service token as JSON, besides the usual two; lower case. */
  serviceTokenHeader?: string | undefined;
  /** Go duration, e.g. `24h`. */
  sessionDuration: string;
  policies: AccessPolicyView[];
  /** Ids of the allowed identity providers; empty: all of the account. */
  allowedIdps: string[];
}

/** A login method of the team's sign-in page. */
export interface IdentityProviderView {
  id: string;
  /** "" without a name; the page then shows its type. */
  name: string;
  /** e.g. `onetimepin`, `google`. */
  type: string;
}

/** One live connector connection, as the API shows it under `…/connections`. */
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
  /** The tunnel id of this host name's proxied CNAME to `<id>.cfargotunnel.com`, if there is one. */
  tunnelFor(hostname: string): string | undefined;
  /** Host names with a proxied record, in order of creation. The bare loopback address serves the first one. */
  hostnames(): string[];
  accessApplications(): AccessApplicationView[];
  /** The account's applications, in order of creation. */
  identityProviders(): IdentityProviderView[];
  /**
   * Checks a service token's client id and secret (current, or previous until its expiry; not when disabled or expired).
   * @returns the token's id, or undefined when it is not valid
   */
  verifyServiceToken(clientId: string, clientSecret: string): string | undefined;
  /** Reports a tunnel's current connections to the account. */
  setConnections(tunnelId: string, connections: ConnectorConnection[]): void;
  /** Calls `listener` after every change of a configuration, tunnel or DNS record. @returns a function that unsubscribes */
  onChange(listener: (tunnelId: string | undefined) => void): () => void;
}
