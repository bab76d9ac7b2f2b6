/**
 * Access applications: self-hosted and WARP enrolment.
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/access/subresources/applications/
 */
import { randomBytes, randomUUID } from "node:crypto";
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { checkBody, conflict, invalidBodyStyles, notFound, refuse } from "./errors.ts";
import { policyWire } from "./policies.ts";
import {
  type Call,
  canRead,
  canWrite,
  goDuration,
  keepEqual,
  now,
  optional,
  page,
  type Route,
  textFilters,
  withoutUndefined,
} from "./route.ts";
import type { StoredApplication } from "./state.ts";
import { inZone } from "./zone-name.ts";

const group = "Access: Apps and Policies";

const destination = z.strictObject({
  type: z.literal("public", { error: 'the sandbox has destinations of type "public" only' }),
  uri: z.string().min(1),
});

const policyLink = z.strictObject(
  { id: z.string().min(1), precedence: optional(z.int().min(1)) },
  { error: "expected {id, precedence} of a reusable policy; a policy written inline is not taken here" },
);

const schema = z
  .strictObject({
    type: z.enum(["self_hosted", "warp"], { error: 'the sandbox has applications of type "self_hosted" and "warp"' }),
    name: optional(z.string().min(1)),
    domain: optional(z.string().min(1)),
    destinations: optional(z.array(destination)),
    self_hosted_domains: optional(z.array(z.string().min(1))),
    policies: optional(z.array(z.union([policyLink, z.string().transform((id) => ({ id, precedence: undefined }))]))),
    session_duration: optional(goDuration),
    allowed_idps: optional(z.array(z.string())),
    auto_redirect_to_identity: optional(z.boolean()),
    app_launcher_visible: optional(z.boolean()),
    service_auth_401_redirect: optional(z.boolean()),
    http_only_cookie_attribute: optional(z.boolean()),
    same_site_cookie_attribute: optional(z.enum(["", "none", "lax", "strict"])),
    enable_binding_cookie: optional(z.boolean()),
    path_cookie_attribute: optional(z.boolean()),
    options_preflight_bypass: optional(z.boolean()),
    skip_interstitial: optional(z.boolean()),
    allow_authenticate_via_warp: optional(z.boolean()),
    allow_iframe: optional(z.boolean()),
    read_service_tokens_from_header: optional(z.string()),
    custom_deny_message: optional(z.string()),
    custom_deny_url: optional(z.string()),
    custom_non_identity_deny_url: optional(z.string()),
    custom_pages: optional(z.array(z.string())),
    logo_url: optional(z.string()),
    tags: optional(z.array(z.string())),
    cors_headers: optional(z.record(z.string(), z.unknown())),
  })
  .transform(withoutUndefined);

type Sent = z.infer<typeof schema>;

/** `host` or `host/path`: host in lower case, no slash at the end. */
export function normaliseDestination(uri: string): string {
  const slash = uri.indexOf("/");
  if (slash < 0) return uri.toLowerCase();
  return uri.slice(0, slash).toLowerCase() + uri.slice(slash).replace(/\/+$/, "");
}

/**
 * An active custom hostname of the zone can be a destination too, a pending one cannot:
 * https://developers.cloudflare.com/cloudflare-for-platforms/cloudflare-for-saas/security/secure-with-access/
 */
function checkDestination(uri: string, account: CloudflareAccount): string {
  const zone = account.zone.name;
  const domain = normaliseDestination(uri);
  const host = domain.split("/")[0] ?? "";
  account.validateCustomHostnames();
  const custom = Object.values(account.state.customHostnames).some(
    ({ hostname, status }) => hostname === host && status === "active",
  );
  if (/[:?#\s]/.test(domain) || !(inZone(host, zone) || custom)) {
    const reason = `"${uri}" is not a host name of the zone ${zone} or an active custom hostname of it, with or without a path, without scheme, port or query`;
    throw refuse(invalidBodyStyles.access, "destinations", `domain does not belong to zone: ${reason}`);
  }
  return domain;
}

function domainsOf(sent: Sent, account: CloudflareAccount): string[] {
  if (sent.type === "warp") return [];
  const declared = sent.destinations?.map((one) => one.uri) ?? sent.self_hosted_domains ?? [];
  const domains = (declared.length > 0 ? declared : sent.domain === undefined ? [] : [sent.domain]).map((uri) =>
    checkDestination(uri, account),
  );
  if (domains.length === 0)
    throw refuse(invalidBodyStyles.access, "destinations", "a self-hosted application needs at least one");
  if (new Set(domains).size < domains.length)
    throw refuse(invalidBodyStyles.access, "destinations", "each may be there once");
  if (sent.domain !== undefined && !domains.includes(normaliseDestination(sent.domain))) {
    throw refuse(
      invalidBodyStyles.access,
      "domain",
      `${sent.domain} must be one of the destinations (${domains.join(", ")})`,
    );
  }
  return domains;
}

function policiesOf(sent: Sent, account: CloudflareAccount) {
  const links = (sent.policies ?? []).map((link, index) => ({ id: link.id, precedence: link.precedence ?? index + 1 }));
  for (const [index, link] of links.entries()) {
    if (account.state.policies[link.id] === undefined) {
      throw refuse(
        invalidBodyStyles.access,
        `policies.${index}.id`,
        `policy ${link.id} does not exist in this account`,
      );
    }
  }
  if (new Set(links.map((link) => link.precedence)).size < links.length) {
    throw refuse(invalidBodyStyles.access, "policies", "policy precedences must be unique");
  }
  return links.sort((a, b) => a.precedence - b.precedence);
}

function wire(account: CloudflareAccount, app: StoredApplication): Record<string, unknown> {
  return {
    id: app.id,
    uid: app.id,
    aud: app.aud,
    domain: app.type === "warp" ? `${account.teamDomain()}/warp` : app.domains[0],
    ...app.body,
    ...(app.type === "warp" ? {} : { self_hosted_domains: app.domains }),
    policies: app.policies.flatMap(({ id, precedence }) => {
      const policy = account.state.policies[id];
      return policy === undefined ? [] : [{ ...policyWire(policy), precedence }];
    }),
    created_at: app.created_at,
    updated_at: app.updated_at,
  };
}

function find({ account, params }: Call): StoredApplication {
  const app = account.state.applications[params.id ?? ""];
  if (app === undefined) throw notFound(11021, `access.api.error.unknown_application: ${params.id} not found`);
  return app;
}

function put({ account, body }: Call, old: { id: string; aud: string; created_at: string }): StoredApplication {
  const sent = checkBody(schema, body, invalidBodyStyles.access);
  const { policies: _links, ...kept } = sent;
  const domains = domainsOf(sent, account);
  const others = Object.values(account.state.applications).filter((app) => app.id !== old.id);
  for (const other of others) {
    const taken = sent.type === "warp" ? other.type === "warp" : domains.some((one) => other.domains.includes(one));
    if (taken) {
      const what = domains.find((one) => other.domains.includes(one)) ?? "the WARP enrolment";
      const message = `access.api.error.application_already_exists: ${what} belongs to the application ${other.id}: change that one, or take another destination`;
      throw conflict(11010, message);
    }
  }
  for (const id of sent.allowed_idps ?? []) {
    if (account.state.identityProviders[id] === undefined) {
      throw refuse(invalidBodyStyles.access, "allowed_idps", `identity provider ${id} does not exist in this account`);
    }
  }
  const app: StoredApplication = {
    id: old.id,
    aud: old.aud,
    type: sent.type,
    body: { ...kept, name: sent.name ?? domains[0] ?? "Warp Login App" },
    domains,
    policies: policiesOf(sent, account),
    created_at: old.created_at,
    updated_at: now(),
  };
  account.update((state) => {
    state.applications[app.id] = app;
  });
  return app;
}

function create(call: Call) {
  const made = put(call, { id: randomUUID(), aud: randomBytes(32).toString("hex"), created_at: now() });
  return { status: 201, result: wire(call.account, made) };
}

function list({ account, query }: Call) {
  const search = (query.get("search") ?? "").toLowerCase();
  const apps = Object.values(account.state.applications).filter((app) => {
    const name = String(app.body.name ?? "");
    const domain = query.get("domain")?.toLowerCase();
    return (
      textFilters(query, "name", name).every(Boolean) &&
      (domain === undefined || app.domains.some((one) => one === domain)) &&
      [name, ...app.domains].some((text) => text.toLowerCase().includes(search))
    );
  });
  const kept = keepEqual(apps, query, { aud: (app) => app.aud });
  return page(
    kept.map((app) => wire(account, app)),
    query,
  );
}

function remove(call: Call) {
  const { id } = find(call);
  call.account.update((state) => {
    delete state.applications[id];
  });
  return { result: { id } };
}

const all = "/accounts/:account/access/apps";
const one = `${all}/:id`;

/** Routes of applications. */
export const applicationRoutes: Route[] = [
  { method: "GET", path: all, permissions: canRead(group), handle: list },
  { method: "POST", path: all, permissions: canWrite(group), handle: create },
  {
    method: "GET",
    path: one,
    permissions: canRead(group),
    handle: (call) => ({ result: wire(call.account, find(call)) }),
  },
  {
    method: "PUT",
    path: one,
    permissions: canWrite(group),
    handle: (call) => ({ result: wire(call.account, put(call, find(call))) }),
  },
  { method: "DELETE", path: one, permissions: canWrite(group), handle: remove },
];
