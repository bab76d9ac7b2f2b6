/** What is found in a Cloudflare account, as far as it matters here. */

export interface TokenState {
  readonly id: string;
  readonly status: "active" | "disabled" | "expired";
  /** RFC 3339; undefined: it does not end. */
  readonly expiresOn?: string | undefined;
  /** `user` tokens are made under My Profile, `account` tokens under Manage Account. */
  readonly owner: "user" | "account";
}
/** What a token may do with which resources, as far as it may read that itself. */
export interface TokenPolicy {
  readonly effect: "allow" | "deny";
  /** Names as the dashboard shows them, e.g. `DNS Write`. */
  readonly permissions: readonly string[];
  /** e.g. `com.cloudflare.api.account.zone.<id>`; a `*` in place of the id is all of them. */
  readonly resources: readonly string[];
}
export interface Account {
  readonly id: string;
  readonly name: string;
}
export interface Zone {
  readonly id: string;
  readonly name: string;
  /** Answers callers only when `active`: `pending` waits for the registrar to name Cloudflare's name servers. */
  readonly status: "initializing" | "pending" | "active" | "moved" | "unknown";
  readonly paused: boolean;
  /** `full`, or `partial` (CNAME set-up). */
  readonly type: string;
  /** `Free Website`, `Pro Website`, … */
  readonly plan: string;
  readonly nameServers: readonly string[];
  readonly account: Account;
}
export interface Organization {
  readonly name: string;
  /** `<team>.cloudflareaccess.com` */
  readonly authDomain: string;
  /** How long a person stays signed in, e.g. `24h`; undefined: not set. */
  readonly sessionDuration?: string | undefined;
}
export interface IdentityProvider {
  readonly id: string;
  readonly name: string;
  /** `onetimepin`, `google`, `azureAD`, … */
  readonly type: string;
}
export interface DnsRecord {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly content: string;
  readonly proxied: boolean;
  readonly comment?: string | undefined;
}
export interface Tunnel {
  readonly id: string;
  readonly name: string;
  /** `local`: configured by a file beside its connector, not by Cloudflare. */
  readonly configuredBy: "cloudflare" | "local";
  readonly status: "inactive" | "degraded" | "healthy" | "down" | "unknown";
  readonly createdAt?: string | undefined;
}
export interface AccessApplication {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  /** `host` or `host/path`. */
  readonly destinations: readonly string[];
  readonly sessionDuration?: string | undefined;
}
export interface AccessPolicy {
  readonly id: string;
  readonly name: string;
  readonly decision: string;
}
export interface ServiceToken {
  readonly id: string;
  readonly name: string;
  readonly clientId: string;
  readonly enabled: boolean;
  readonly expiresAt?: string | undefined;
  /** How many secrets it has had, where the API says so. */
  readonly secretVersion?: number | undefined;
}
export interface NotificationPolicy {
  readonly id: string;
  readonly name: string;
}
/** Settings that block callers other than browsers. */
export interface BotManagement {
  /** Bot Fight Mode (Free plan). */
  readonly fightMode: boolean;
  /** Super Bot Fight Mode blocks or challenges what is surely automated (Pro and up). */
  readonly definitelyAutomated?: string | undefined;
}
/** A region of Regional Services. */
export interface Region {
  readonly key: string;
  readonly label: string;
}

/** How many custom hostnames a zone has, and the number from which Cloudflare refuses more (Enterprise plans excepted). */
export interface CustomHostnameQuota {
  readonly used: number;
  readonly hardCap: number;
}
