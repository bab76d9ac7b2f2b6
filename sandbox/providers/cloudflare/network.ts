/** Tunnels, DNS, regions, custom hostnames. Names as in @pulumi/cloudflare 6.22.1. */

import { any, boolean, list, number, object, string } from "../plugin/fields.ts";
import { isJsonObject, type Json } from "../plugin/wire.ts";
import { type CloudflareResource, cloudflareResource } from "./resource.ts";

const required = () => string({ required: true });
const stringify = (value: Json | undefined) =>
  isJsonObject(value) || Array.isArray(value) ? JSON.stringify(value) : value;

const tunnel: CloudflareResource = {
  name: "zeroTrustTunnelCloudflared",
  scope: "account",
  path: "cfd_tunnel",
  updateMethod: "patch",
  inputs: {
    configSrc: string({ replace: true, computed: true, values: ["local", "cloudflare"] }),
    name: required(),
    tunnelSecret: string({ secret: true, writeOnly: true }),
  },
  outputs: [
    "accountTag",
    "connections",
    "connsActiveAt",
    "connsInactiveAt",
    "createdAt",
    "deletedAt",
    "metadata",
    "remoteConfig",
    "status",
    "tunType",
  ],
  stables: ["accountTag", "createdAt", "tunType"],
  defaults: { config_src: "local" },
  result: (result) => ({ ...result, metadata: stringify(result.metadata) }),
};

/** cloudflared's names, camelCase on the wire too. */
const originRequest = object(
  {
    access: object({
      audTags: list(string(), { required: true, wire: "audTag" }),
      required: boolean(),
      teamName: required(),
    }),
    caPool: string(),
    connectTimeout: number(),
    disableChunkedEncoding: boolean(),
    http2Origin: boolean(),
    httpHostHeader: string(),
    keepAliveConnections: number(),
    keepAliveTimeout: number(),
    matchSniToHost: boolean({ wire: "matchSNItoHost" }),
    noHappyEyeballs: boolean(),
    noTlsVerify: boolean({ wire: "noTLSVerify" }),
    originServerName: string(),
    proxyType: string(),
    tcpKeepAlive: number(),
    tlsTimeout: number(),
  },
  { camel: true, wire: "originRequest" },
);

const tunnelConfig: CloudflareResource = {
  name: "zeroTrustTunnelCloudflaredConfig",
  scope: "account",
  path: ({ tunnelId }) => `cfd_tunnel/${encodeURIComponent(String(tunnelId ?? ""))}/configurations`,
  item: () => "",
  id: (_, { tunnelId }) => String(tunnelId),
  createMethod: "put",
  updateMethod: "put",
  inputs: {
    tunnelId: string({ required: true, replace: true }),
    config: object({
      ingresses: list(object({ hostname: string(), originRequest, path: string(), service: required() }), {
        wire: "ingress",
      }),
      originRequest,
    }),
    source: string({ computed: true, values: ["local", "cloudflare"] }),
  },
  outputs: ["createdAt", "version"],
  body: ({ tunnel_id: _, ...body }) => body,
  noDelete: true,
  warning:
    "This resource cannot be destroyed at Cloudflare: deleting it here only forgets it; it ends with its tunnel.",
};

const dnsRecord: CloudflareResource = {
  name: "dnsRecord",
  scope: "zone",
  path: "dns_records",
  updateMethod: "put",
  inputs: {
    comment: string({ watched: true }),
    content: string({ computed: true }),
    data: any(),
    includeShadowMetadata: boolean(),
    name: required(),
    priority: number({ computed: true }),
    privateRouting: boolean({ computed: true }),
    proxied: boolean({ computed: true }),
    settings: object({ flattenCname: boolean(), ipv4Only: boolean(), ipv6Only: boolean() }, { computed: true }),
    tags: list(string(), { set: true, computed: true }),
    ttl: number({ required: true }),
    type: string({ required: true, replace: true }),
  },
  outputs: ["commentModifiedOn", "createdOn", "meta", "modifiedOn", "proxiable", "tagsModifiedOn"],
  stables: ["createdOn"],
  // The provider refuses it when creating the record.
  check: ({ proxied, ttl }) =>
    proxied === true && typeof ttl === "number" && ttl !== 1
      ? [{ property: "ttl", reason: `must be 1 (automatic) when proxied is true, not ${ttl}` }]
      : [],
  result: (result) => ({ ...result, meta: stringify(result.meta) }),
};

const regionalHostname: CloudflareResource = {
  name: "regionalHostname",
  scope: "zone",
  path: "addressing/regional_hostnames",
  id: (result, { hostname }) => String(result.hostname ?? hostname),
  updateMethod: "patch",
  inputs: {
    hostname: string({ required: true, replace: true }),
    regionKey: required(),
    routing: string({ replace: true, computed: true }),
  },
  outputs: ["createdOn"],
  stables: ["createdOn"],
  defaults: { routing: "dns" },
};

const customHostname: CloudflareResource = {
  name: "customHostname",
  scope: "zone",
  path: "custom_hostnames",
  updateMethod: "patch",
  inputs: {
    customOriginServer: string(),
    customOriginSni: string(),
    hostname: string({ required: true, replace: true }),
    ssl: object({
      bundleMethod: string(),
      certificateAuthority: string(),
      cloudflareBranding: boolean(),
      customCertBundles: list(any(), { wire: "custom_cert_bundle", writeOnly: true }),
      customCertificate: string(),
      customCsrId: string(),
      customKey: string({ secret: true }),
      method: string(),
      settings: object({
        ciphers: list(string()),
        earlyHints: string(),
        http2: string(),
        minTlsVersion: string(),
        tls13: string({ wire: "tls_1_3" }),
      }),
      type: string(),
      wildcard: boolean({ filledIn: true }),
    }),
  },
  outputs: ["createdAt", "ownershipVerification", "ownershipVerificationHttp", "status", "verificationErrors"],
  stables: ["createdAt"],
  body: (body) => (isJsonObject(body.ssl) ? { ...body, ssl: { bundle_method: "ubiquitous", ...body.ssl } } : body),
};

const fallbackOrigin: CloudflareResource = {
  name: "customHostnameFallbackOrigin",
  scope: "zone",
  path: "custom_hostnames/fallback_origin",
  item: () => "",
  id: (_, { zoneId }) => String(zoneId),
  createMethod: "put",
  updateMethod: "put",
  inputs: { origin: required() },
  outputs: ["createdAt", "errors", "status", "updatedAt"],
};

export const networkResources = [tunnel, tunnelConfig, dnsRecord, regionalHostname, customHostname, fallbackOrigin].map(
  cloudflareResource,
);
