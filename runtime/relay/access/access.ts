/** Authenticates callers by the token that Cloudflare Access adds to every request it admits. */
import type { IncomingHttpHeaders } from "node:http";
import { errors, type JWTPayload, type JWTVerifyGetKey } from "jose";
import type { Caller, RelayConfig } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { KeysUnavailable } from "./keys.ts";
import { createTokenVerifier } from "./token.ts";

/** Which of the Access applications a path belongs to. */
export type Audience = keyof RelayConfig["access"]["audiences"];

/** An authenticated caller: a server with its config, a person, or who reads the metrics. */
export type Principal =
  | { readonly kind: "server"; readonly name: string; readonly caller: Caller }
  | { readonly kind: "scraper"; readonly name: string }
  | Person;

/** Somebody who has signed in. */
export interface Person {
  readonly kind: "person";
  /** For the log. */
  readonly name: string;
  /** As the identity provider gave it; undefined for a token that names no person. */
  readonly email: string | undefined;
  /** When the sign-in ends, in ms since 1970. */
  readonly expiresAt: number;
}

/**
 * `/status` and everything below it is for people, `/metrics` for scrapers, the rest for servers. @param path as received,
 * without its query
 */
export function audienceOf(path: string): Audience {
  if (path === "/status" || path.startsWith("/status/")) return "people";
  return path === "/metrics" || path.startsWith("/metrics/") ? "metrics" : "servers";
}

/** Authenticates a request for an audience; see `createAccess`. */
export type CheckAccess = (audience: Audience, headers: IncomingHttpHeaders) => Principal | Promise<Principal>;

/**
 * Creates the check. It throws a RelayError: `access_*` for the token, `caller_*` for a server that is not (or no longer) in
 * the config, `access_keys_unavailable` (503) without a key to verify with. `config.callers` is read for each request, so
 * changes take effect immediately.
 * Source: https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/
 */
export function createAccess(
  config: Pick<RelayConfig, "access" | "callers" | "scrapers">,
  keys: JWTVerifyGetKey,
): CheckAccess {
  const { teamDomain, audiences } = config.access;
  const verify = createTokenVerifier(keys);
  const issuer = `https://${teamDomain}`;
  const rules = {
    servers: { issuer, audience: audiences.servers },
    people: { issuer, audience: audiences.people },
    metrics: { issuer, audience: audiences.metrics ?? "" },
  };
  const principalOf = (audience: Audience, claims: JWTPayload): Principal => {
    checkType(claims);
    if (audience === "people") return person(claims);
    return audience === "metrics" ? scraper(claims, config.scrapers) : server(claims, config.callers);
  };
  const afterVerification = async (audience: Audience, verifying: Promise<JWTPayload>): Promise<Principal> => {
    let claims: JWTPayload;
    try {
      claims = await verifying;
    } catch (cause) {
      throw refusal(cause);
    }
    return principalOf(audience, claims);
  };
  return (asked, headers) => {
    // Without an application for the metrics their path is one that is not served, as any other.
    const audience = asked === "metrics" && audiences.metrics === undefined ? "servers" : asked;
    const token = headers["cf-access-jwt-assertion"];
    if (typeof token !== "string" || token === "") {
      throw new RelayError(
        "access_missing",
        "The request has no token of Cloudflare Access. Call the public hostname, with CF-Access-Client-Id and CF-Access-Client-Secret.",
      );
    }
    const verified = verify(token, rules[audience]);
    return verified instanceof Promise ? afterVerification(audience, verified) : principalOf(audience, verified);
  };
}

function refusal(cause: unknown): RelayError {
  if (cause instanceof KeysUnavailable) {
    return new RelayError("access_keys_unavailable", "The keys of Cloudflare Access cannot be fetched at the moment.", {
      headers: { "Retry-After": "5" },
      detail: cause.message,
      cause,
    });
  }
  const detail = cause instanceof Error ? cause.message : String(cause);
  if (cause instanceof errors.JWTExpired) {
    return new RelayError("access_expired", "The token of Cloudflare Access has expired. Sign in or call again.", {
      detail,
    });
  }
  if (cause instanceof errors.JWTClaimValidationFailed && cause.claim === "aud") {
    return new RelayError("access_wrong_audience", "The token of Cloudflare Access is for another path.", { detail });
  }
  if (cause instanceof errors.JOSEError) {
    return new RelayError("access_invalid", "The token of Cloudflare Access is not valid.", { detail });
  }
  return new RelayError("internal", "The relay failed while checking access.", { detail, cause });
}

/** Access also signs the team's session (`org`), which is for no application. A token without a type is taken. */
function checkType({ type }: JWTPayload): void {
  if (type === undefined || type === "app") return;
  throw new RelayError("access_invalid", "The token of Cloudflare Access is not valid.", {
    detail: `its type is ${JSON.stringify(type)}, not "app"`,
  });
}

/** The claim `common_name` of a service token is its client id. */
function server(claims: JWTPayload, callers: readonly Caller[]): Principal {
  const { common_name: id } = claims;
  const caller = callers.find(({ clientId }) => clientId === id);
  if (caller === undefined) {
    throw new RelayError("caller_unknown", "This service token is not among the callers of this network.", {
      detail: `client id ${JSON.stringify(id ?? null)}`,
    });
  }
  if (!caller.enabled) throw new RelayError("caller_disabled", `The caller "${caller.name}" is switched off.`);
  return { kind: "server", name: caller.name, caller };
}

/** As for servers; a token of a server is not one of a scraper. */
function scraper({ common_name: id }: JWTPayload, scrapers: RelayConfig["scrapers"] = []): Principal {
  const found = scrapers.find(({ clientId }) => clientId === id);
  if (found === undefined) {
    throw new RelayError("caller_unknown", "This service token is not among those that may read the metrics.", {
      detail: `client id ${JSON.stringify(id ?? null)}`,
    });
  }
  if (!found.enabled) throw new RelayError("caller_disabled", `The scraper "${found.name}" is switched off.`);
  return { kind: "scraper", name: found.name };
}

/** A service token's claims have `common_name`: it is nobody's, whatever else it says. */
function person({ email, common_name: serviceToken, exp = 0 }: JWTPayload): Person {
  const address = typeof email === "string" && email !== "" && !serviceToken ? email : undefined;
  return { kind: "person", name: address ?? "someone without an address", email: address, expiresAt: exp * 1000 };
}
