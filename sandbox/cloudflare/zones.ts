/**
 * Resources that exist without being declared (account, zone, Zero Trust organisation), and identity providers.
 * @see https://developers.cloudflare.com/api/resources/zones/
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/organizations/
 * @see https://developers.cloudflare.com/api/resources/bot_management/
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { collectionRoutes } from "./collection.ts";
import { conflict, invalidBodyStyles } from "./errors.ts";
import { canRead, keepEqual, optional, page, type Route } from "./route.ts";

const identity = "Access: Organizations, Identity Providers, and Groups";
const since = "2026-01-01T00:00:00.000000Z";

function accountWire(account: CloudflareAccount): Record<string, unknown> {
  return { id: account.accountId, name: "sandbox", type: "standard", settings: {}, created_on: since };
}

function zoneWire(account: CloudflareAccount): Record<string, unknown> {
  return {
    id: account.zone.id,
    name: account.zone.name,
    status: account.conditions.zoneStatus,
    paused: account.conditions.zonePaused,
    type: "full",
    development_mode: 0,
    account: { id: account.accountId, name: "sandbox" },
    owner: { id: account.accountId, name: "sandbox", type: "organization" },
    plan: { id: "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", name: "Free Website", legacy_id: "free", price: 0 },
    meta: { page_rule_quota: 3, phishing_detected: false, step: 4 },
    name_servers: ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"],
    original_name_servers: [],
    original_dnshost: null,
    original_registrar: null,
    permissions: [],
    tenant: { id: null, name: null },
    tenant_unit: { id: null },
    created_on: since,
    modified_on: since,
    activated_on: since,
  };
}

function organizationWire(account: CloudflareAccount): Record<string, unknown> {
  return {
    auth_domain: account.teamDomain(),
    name: account.teamDomain().split(".")[0],
    is_ui_read_only: false,
    session_duration: account.conditions.sessionDuration,
    auto_redirect_to_identity: false,
    allow_authenticate_via_warp: false,
    login_design: {},
    created_at: since,
    updated_at: since,
  };
}

/** As for a zone on the Free plan. */
function botManagementWire(account: CloudflareAccount): Record<string, unknown> {
  return {
    fight_mode: account.conditions.fightMode,
    enable_js: account.conditions.fightMode,
    using_latest_model: true,
    ai_bots_protection: "disabled",
    crawler_protection: "disabled",
    is_robots_txt_managed: false,
  };
}

const providerTypes = [
  "onetimepin",
  "azureAD",
  "saml",
  "centrify",
  "facebook",
  "github",
  "google-apps",
  "google",
  "linkedin",
  "oidc",
  "okta",
  "onelogin",
  "pingone",
  "yandex",
  "cloudflare",
] as const;

const providerRoutes = collectionRoutes({
  kind: "identityProviders",
  path: "/accounts/:account/access/identity_providers",
  groups: [identity],
  style: invalidBodyStyles.access,
  create: z.strictObject({
    name: z.string(),
    type: z.enum(providerTypes),
    config: z.record(z.string(), z.unknown()),
    scim_config: optional(z.record(z.string(), z.unknown())),
  }),
  methods: ["PUT"],
  build: (_account, sent, old) => ({ id: old?.id ?? randomUUID(), ...sent }),
  checkRemoval: (account, id) => {
    const user = Object.values(account.state.applications).find(
      ({ body }) => Array.isArray(body.allowed_idps) && body.allowed_idps.includes(id),
    );
    if (user !== undefined) {
      throw conflict(12132, `access.api.error.conflict: identity provider ${id} is used by the application ${user.id}`);
    }
  },
});

const zoneRead = [...canRead("Zone"), ...canRead("Zone Settings")];

/** Routes of these resources. */
export const zoneRoutes: Route[] = [
  {
    method: "GET",
    path: "/accounts",
    permissions: [],
    handle: ({ account, query }) => page(keepEqual([accountWire(account)], query, { name: (one) => one.name }), query),
  },
  {
    method: "GET",
    path: "/accounts/:account",
    permissions: [],
    handle: ({ account }) => ({ result: accountWire(account) }),
  },
  {
    method: "GET",
    path: "/zones",
    permissions: zoneRead,
    handle: ({ account, query }) => {
      const filters = {
        name: () => account.zone.name,
        status: () => account.conditions.zoneStatus,
        "account.id": () => account.accountId,
      };
      return page(keepEqual([zoneWire(account)], query, filters), query);
    },
  },
  {
    method: "GET",
    path: "/zones/:zone",
    permissions: zoneRead,
    handle: ({ account }) => ({ result: zoneWire(account) }),
  },
  {
    method: "GET",
    path: "/accounts/:account/access/organizations",
    permissions: canRead(identity),
    handle: ({ account }) => ({ result: organizationWire(account) }),
  },
  {
    method: "GET",
    path: "/zones/:zone/bot_management",
    permissions: canRead("Bot Management"),
    handle: ({ account }) => ({ result: botManagementWire(account) }),
  },
  ...providerRoutes,
];
