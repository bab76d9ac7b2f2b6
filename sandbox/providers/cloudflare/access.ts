/** Zero Trust Access: service tokens, policies, applications, identity providers. Names as in @pulumi/cloudflare 6.22.1. */

import { any, boolean, type Field, list, number, object, string } from "../plugin/fields.ts";
import { isJsonObject, type Json } from "../plugin/wire.ts";
import { type CloudflareResource, cloudflareResource } from "./resource.ts";

const required = () => string({ required: true });
const texts = (...names: string[]): Field => object(Object.fromEntries(names.map((name) => [name, required()])));

/** A rule of a policy: its one key is the kind of match. */
const rule = object({
  anyValidServiceToken: object({}),
  authContext: texts("acId", "id", "identityProviderId"),
  authMethod: texts("authMethod"),
  azureAd: object({ id: required(), identityProviderId: required() }, { wire: "azureAD" }),
  certificate: object({}),
  cloudflareAccountMember: object({ accountId: string() }),
  commonName: texts("commonName"),
  devicePosture: object({ accountId: string(), integrationUid: required() }),
  email: texts("email"),
  emailDomain: texts("domain"),
  emailList: texts("id"),
  everyone: object({}),
  externalEvaluation: texts("evaluateUrl", "keysUrl"),
  geo: texts("countryCode"),
  githubOrganization: object(
    { identityProviderId: required(), name: required(), team: string() },
    { wire: "github-organization" },
  ),
  group: texts("id"),
  gsuite: texts("email", "identityProviderId"),
  ip: texts("ip"),
  ipList: texts("id"),
  linkedAppToken: texts("appUid"),
  loginMethod: texts("id"),
  oidc: texts("claimName", "claimValue", "identityProviderId"),
  okta: texts("identityProviderId", "name"),
  saml: texts("attributeName", "attributeValue", "identityProviderId"),
  serviceToken: texts("tokenId"),
  userRiskScore: object({ userRiskScores: list(string(), { required: true, wire: "user_risk_score" }) }),
});
const rules = (wire: string, watched: boolean) =>
  list(rule, { wire, set: true, ...(watched && { watched: true as const }) });
const decision = { values: ["allow", "deny", "non_identity", "bypass"] };

const serviceToken: CloudflareResource = {
  name: "zeroTrustAccessServiceToken",
  scope: "either",
  path: "access/service_tokens",
  updateMethod: "put",
  inputs: {
    clientSecretVersion: number({ computed: true, needs: ["previousClientSecretExpiresAt"] }),
    duration: string({ computed: true }),
    enabled: boolean({ computed: true }),
    name: required(),
    previousClientSecretExpiresAt: string({ writeOnly: true, needs: ["clientSecretVersion"] }),
  },
  outputs: ["clientId", "clientSecret", "expiresAt"],
  secretOutputs: ["clientSecret"],
  stables: ["clientId"],
  defaults: { client_secret_version: 1, duration: "8760h" },
  // Its default is then sent: a token rotated by hand goes back to version 1.
  notImported: ["clientSecretVersion"],
  changing: (olds, news) => [
    ...(news.clientSecretVersion !== undefined && news.clientSecretVersion !== olds.clientSecretVersion
      ? ["clientSecret"]
      : []),
    "expiresAt", // on every update, whatever it changes
  ],
};

const policy: CloudflareResource = {
  name: "zeroTrustAccessPolicy",
  scope: "account",
  path: "access/policies",
  updateMethod: "put",
  inputs: {
    approvalGroups: list(any()),
    approvalRequired: boolean({ computed: true }),
    connectionRules: any(),
    decision: string({ required: true, ...decision }),
    excludes: rules("exclude", true),
    includes: rules("include", true),
    isolationRequired: boolean({ computed: true }),
    mfaConfig: any(),
    name: required(),
    purposeJustificationPrompt: string(),
    purposeJustificationRequired: boolean({ computed: true }),
    requires: rules("require", true),
    sessionDuration: string({ computed: true }),
  },
  outputs: ["appCount", "createdAt", "reusable", "updatedAt"],
  stables: ["createdAt"],
  defaults: { session_duration: "24h" },
};

/** Kinds of applications whose visibility, cookie and session the official provider always sends. */
const hosted = new Set(["self_hosted", "ssh", "vnc", "rdp"]);

function precedence(value: Json): number {
  return isJsonObject(value) && typeof value.precedence === "number" ? value.precedence : 0;
}

/** Kinds of applications; from the provider's schema of cloudflare_zero_trust_access_application. */
const applicationTypes = ["self_hosted", "saas", "ssh", "vnc", "app_launcher", "warp", "biso", "bookmark", "dash_sso"];
applicationTypes.push("infrastructure", "rdp", "mcp", "mcp_portal", "proxy_endpoint");

const application: CloudflareResource = {
  name: "zeroTrustAccessApplication",
  scope: "either",
  path: "access/apps",
  updateMethod: "put",
  inputs: {
    allowAuthenticateViaWarp: boolean({ computed: true }),
    allowIframe: boolean({ computed: true }),
    allowedIdps: list(string(), { set: true, computed: true }),
    appLauncherLogoUrl: string(),
    appLauncherVisible: boolean({ computed: true }),
    autoRedirectToIdentity: boolean({ computed: true }),
    bgColor: string(),
    corsHeaders: any(),
    customDenyMessage: string(),
    customDenyUrl: string(),
    customNonIdentityDenyUrl: string(),
    customPages: list(string()),
    destinations: list(
      object({
        cidr: string(),
        hostname: string(),
        l4Protocol: string(),
        mcpServerId: string(),
        portRange: string(),
        type: string(),
        uri: string(),
        vnetId: string(),
        workerId: string(),
      }),
      { computed: true },
    ),
    domain: string({ computed: true }),
    enableBindingCookie: boolean({ computed: true }),
    footerLinks: list(any()),
    headerBgColor: string(),
    httpOnlyCookieAttribute: boolean({ computed: true }),
    landingPageDesign: any(),
    logoUrl: string(),
    mfaConfig: any(),
    name: string({ computed: true }),
    oauthConfiguration: any(),
    optionsPreflightBypass: boolean({ computed: true }),
    pathCookieAttribute: boolean({ computed: true }),
    policies: list(
      object({
        connectionRules: any(),
        decision: string(decision),
        excludes: rules("exclude", false),
        id: string(),
        includes: rules("include", false),
        mfaConfig: any(),
        name: string(),
        precedence: number(),
        requires: rules("require", false),
      }),
      { watched: true },
    ),
    readServiceTokensFromHeader: string(),
    saasApp: any(),
    sameSiteCookieAttribute: string(),
    scimConfig: any(),
    selfHostedDomains: list(string(), { set: true, computed: true }),
    serviceAuth401Redirect: boolean({ computed: true, wire: "service_auth_401_redirect" }),
    sessionDuration: string({ computed: true }),
    skipAppLauncherLoginPage: boolean({ computed: true }),
    skipInterstitial: boolean({ computed: true }),
    tags: list(string(), { set: true }),
    targetCriterias: list(any(), { wire: "target_criteria" }),
    type: string({ computed: true, values: applicationTypes }),
  },
  outputs: ["aud"],
  stables: ["aud"],
  defaults: ({ type }) =>
    hosted.has(String(type))
      ? { app_launcher_visible: true, http_only_cookie_attribute: true, session_duration: "24h" }
      : {},
  body: (body) =>
    Array.isArray(body.policies)
      ? {
          ...body,
          policies: body.policies.map((entry, i) => (isJsonObject(entry) ? { precedence: i + 1, ...entry } : entry)),
        }
      : body,
  result: (result) =>
    Array.isArray(result.policies)
      ? { ...result, policies: result.policies.toSorted((a, b) => precedence(a) - precedence(b)) }
      : result,
  changing: (olds, news) =>
    JSON.stringify(olds.destinations) === JSON.stringify(news.destinations)
      ? []
      : ["domain", "selfHostedDomains"].filter((name) => news[name] === undefined),
};

/** Kinds of identity providers; from the provider's schema of cloudflare_zero_trust_access_identity_provider. */
const providerTypes = ["onetimepin", "azureAD", "saml", "centrify", "facebook", "github", "google-apps", "google"];
providerTypes.push("linkedin", "oidc", "okta", "onelogin", "pingone", "yandex");

const identityProvider: CloudflareResource = {
  name: "zeroTrustAccessIdentityProvider",
  scope: "either",
  path: "access/identity_providers",
  updateMethod: "put",
  inputs: {
    // The API returns it without its secrets.
    config: any({ required: true, writeOnly: true }),
    name: required(),
    readOnly: boolean({ computed: true }),
    samlCertificateSetId: string(),
    scimConfig: any({ computed: true }),
    type: string({ required: true, replace: true, values: providerTypes }),
  },
  outputs: ["samlCertificateSet"],
};

export const accessResources = [serviceToken, policy, application, identityProvider].map(cloudflareResource);
