/** What the edge finds in an account's state: which tunnel serves a name, which applications guard it, whose token is valid. Pure. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { AccessApplicationView, IdentityProviderView } from "./edge-view.ts";
import type { AccountState } from "./state.ts";

type State = Readonly<AccountState>;

/** `<tunnel id>` of `<tunnel id>.cfargotunnel.com`. */
function tunnelOfContent(content: string): string | undefined {
  return /^([0-9a-f-]{36})\.cfargotunnel\.com$/.exec(content)?.[1];
}

/** The tunnel that the zone's records name for a host name. */
export function tunnelOfName(state: State, name: string): string | undefined {
  const records = Object.values(state.dnsRecords).filter((record) => record.proxied && record.type === "CNAME");
  const exact = records.find((record) => record.name === name);
  if (exact !== undefined) return tunnelOfContent(exact.content);
  // A record of any type under the exact name hides the wildcard (RFC 4592, section 2.2.1).
  if (Object.values(state.dnsRecords).some((record) => record.name === name)) return undefined;
  const wildcard = records.find((record) => record.name === name.replace(/^[^.]+/, "*"));
  return wildcard && tunnelOfContent(wildcard.content);
}

/** Proxied names without wildcards. */
export function proxiedNames(state: State): string[] {
  const proxied = Object.values(state.dnsRecords).filter((record) => record.proxied);
  return [...new Set(proxied.map((record) => record.name).filter((name) => !name.startsWith("*")))];
}

export function applicationViews(state: State): AccessApplicationView[] {
  return Object.values(state.applications)
    .filter((application) => application.type === "self_hosted")
    .map((application) => ({
      id: application.id,
      name: typeof application.body.name === "string" ? application.body.name : "",
      aud: application.aud,
      destinations: application.domains,
      serviceAuth401Redirect: application.body.service_auth_401_redirect === true,
      serviceTokenHeader: headerName(application.body.read_service_tokens_from_header),
      sessionDuration:
        typeof application.body.session_duration === "string" ? application.body.session_duration : "24h",
      policies: application.policies.flatMap(({ id }) => {
        const policy = state.policies[id];
        if (policy === undefined) return [];
        const { name, decision, include, exclude, require } = policy;
        return [{ id, name, decision, include, exclude, require }];
      }),
      allowedIdps: texts(application.body.allowed_idps),
    }));
}

export function identityProviderViews(state: State): IdentityProviderView[] {
  return Object.entries(state.identityProviders).map(([id, { name, type }]) => ({
    id,
    name: typeof name === "string" ? name : "",
    type: typeof type === "string" ? type : "",
  }));
}

/** SHA-256 in hex, stored in place of a service token's secret. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

function sameHash(hash: string | null, secret: string): boolean {
  return hash !== null && timingSafeEqual(Buffer.from(hash, "hex"), Buffer.from(hashSecret(secret), "hex"));
}

/** @returns the id of the service token that these two are of, if it may be used now */
export function validTokenId(state: State, clientId: string, clientSecret: string): string | undefined {
  const token = Object.values(state.serviceTokens).find((candidate) => candidate.client_id === clientId);
  if (token === undefined || !token.enabled) return undefined;
  const now = Date.now();
  if (token.expires_at !== null && Date.parse(token.expires_at) <= now) return undefined;
  if (sameHash(token.secret_hash, clientSecret)) return token.id;
  const until = token.previous_client_secret_expires_at;
  if (until !== null && Date.parse(until) > now && sameHash(token.previous_secret_hash, clientSecret)) return token.id;
  return undefined;
}

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];

function headerName(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.toLowerCase() : undefined;
}
