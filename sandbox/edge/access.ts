/**
 * Access's decision for one request: a pure function. Sources: developers.cloudflare.com, "Access policies" (rule types
 * and the order of execution) and "Service tokens" (strict authentication).
 */
import { BlockList, isIPv6 } from "node:net";
import type { AccessApplicationView, AccessPolicyView, AccessRule } from "../cloudflare/edge-view.ts";

/** The credentials and origin of a request. */
export interface Caller {
  /** Its service token, valid or invalid; undefined without one. */
  serviceToken?: { clientId: string; tokenId: string } | "invalid";
  /** The person proven by its session cookie for this application. */
  email?: string;
  ip: string;
  /** Two letters, e.g. `KR`. */
  country: string;
}

/** The decision for a request. */
export type Decision =
  /** Forwarded without a token: no application covers it, or a policy bypasses Access. */
  | { outcome: "open" }
  /** Forwarded with a token for a service; `clientId` is "" when a rule admitted it without one. */
  | { outcome: "service"; application: AccessApplicationView; clientId: string }
  | { outcome: "person"; application: AccessApplicationView; email: string }
  /** Redirected to the team's sign-in page. */
  | { outcome: "sign-in"; application: AccessApplicationView }
  | { outcome: "refused"; application: AccessApplicationView; status: 401 | 403; reason: string };

/** Settings outside of an application's policies. */
export interface AccessOptions {
  /**
   * "Strict service token authentication" of the organisation: 401 for a wrong token, 403 for a token without a policy,
   * never a sign-in page. The default of organisations made since 2026-10-05.
   * @default false
   */
  strictServiceTokens?: boolean;
}

/** `undefined`: a rule of a kind that the sandbox does not implement. */
type Match = boolean | undefined;

function addressMatches(ip: string, range: string): Match {
  const [network, prefix] = range.split("/");
  const family = isIPv6(network ?? "") ? "ipv6" : "ipv4";
  try {
    const list = new BlockList();
    list.addSubnet(network ?? "", Number(prefix ?? (family === "ipv6" ? 128 : 32)), family);
    return list.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
  } catch {
    return undefined;
  }
}

function field(rule: AccessRule, kind: string, name: string): string | undefined {
  const value = rule[kind]?.[name];
  return typeof value === "string" ? value : undefined;
}

/** Whether one rule, such as `{"email": {"email": "…"}}`, matches the caller. */
function ruleMatches(rule: AccessRule, caller: Caller): Match {
  const kind = Object.keys(rule)[0] ?? "";
  const valid = typeof caller.serviceToken === "object" ? caller.serviceToken : undefined;
  const email = caller.email?.toLowerCase();
  switch (kind) {
    case "everyone":
      return true;
    case "any_valid_service_token":
      return valid !== undefined;
    case "service_token":
      return valid !== undefined && valid.tokenId === field(rule, kind, "token_id");
    case "email":
      return email !== undefined && email === field(rule, kind, "email")?.toLowerCase();
    case "email_domain":
      return email !== undefined && email.split("@").at(-1) === field(rule, kind, "domain")?.toLowerCase();
    case "ip":
      return addressMatches(caller.ip, field(rule, kind, "ip") ?? "");
    case "geo":
      return caller.country === field(rule, kind, "country_code")?.toUpperCase();
    default:
      return undefined;
  }
}

/**
 * Include is OR, require is AND, exclude is NOT. A rule that cannot be evaluated counts against the caller: it does not
 * match in an allow policy and matches in a deny policy.
 */
function policyMatches(policy: AccessPolicyView, caller: Caller): boolean {
  const unknown = policy.decision === "deny";
  return (
    policy.include.some((rule) => ruleMatches(rule, caller) ?? unknown) &&
    policy.require.every((rule) => ruleMatches(rule, caller) ?? unknown) &&
    !policy.exclude.some((rule) => ruleMatches(rule, caller) ?? !unknown)
  );
}

/** The first matching bypass or service policy. These precede the policies for people. */
function withoutIdentity(application: AccessApplicationView, caller: Caller): Decision | undefined {
  for (const policy of application.policies) {
    if (policy.decision === "bypass" && policyMatches(policy, caller)) return { outcome: "open" };
    if (policy.decision === "non_identity" && policyMatches(policy, caller)) {
      const clientId = typeof caller.serviceToken === "object" ? caller.serviceToken.clientId : "";
      return { outcome: "service", application, clientId };
    }
  }
  return undefined;
}

/** No policy admits the request without an identity, and nobody has signed in. */
function withoutPerson(application: AccessApplicationView, caller: Caller, strict: boolean): Decision {
  const refused = (status: 401 | 403, reason: string): Decision => ({
    outcome: "refused",
    application,
    status,
    reason,
  });
  if (strict && caller.serviceToken === "invalid") return refused(401, "the service token is not valid");
  if (strict && caller.serviceToken) return refused(403, "no policy names this service token");
  const forServices = application.policies.some((policy) => policy.decision === "non_identity");
  const forPeople = application.policies.some((policy) => policy.decision === "allow");
  if (forServices && application.serviceAuth401Redirect) return refused(401, "no valid service token");
  if (forPeople) return { outcome: "sign-in", application };
  if (!forServices) return refused(403, "the application has no policy that lets anybody in");
  return refused(403, caller.serviceToken === "invalid" ? "the service token is not valid" : "no valid service token");
}

/** Decides a request for `application` (undefined: no application covers it). */
export function decide(
  application: AccessApplicationView | undefined,
  caller: Caller,
  options: AccessOptions = {},
): Decision {
  if (!application) return { outcome: "open" };
  const early = withoutIdentity(application, caller);
  if (early) return early;
  const strict = options.strictServiceTokens ?? false;
  if (caller.email === undefined || (strict && caller.serviceToken)) return withoutPerson(application, caller, strict);
  for (const policy of application.policies) {
    if (policy.decision !== "allow" && policy.decision !== "deny") continue;
    if (!policyMatches(policy, caller)) continue;
    if (policy.decision === "allow") return { outcome: "person", application, email: caller.email };
    break;
  }
  return { outcome: "refused", application, status: 403, reason: `no policy lets ${caller.email} in` };
}
