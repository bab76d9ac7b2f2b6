/**
 * Host names outside DNS records: Regional Services, Cloudflare for SaaS, and routes of private host names.
 * @see https://developers.cloudflare.com/api/resources/addressing/subresources/regional_hostnames/
 * @see https://developers.cloudflare.com/api/resources/custom_hostnames/
 * @see https://developers.cloudflare.com/api/resources/zero_trust/subresources/networks/subresources/hostname_routes/
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { collectionRoutes, others } from "./collection.ts";
import { checkBody, conflict, invalidBodyStyles, notFound, refuse } from "./errors.ts";
import { type Call, canRead, canWrite, hostname, now, optional, type Route, withoutUndefined } from "./route.ts";
import { inZone } from "./zone-name.ts";

const saas = "SSL and Certificates";

const regional = collectionRoutes({
  kind: "regionalHostnames",
  path: "/zones/:zone/addressing/regional_hostnames",
  groups: ["DNS"],
  style: invalidBodyStyles.zone,
  create: z.strictObject({ hostname, region_key: z.string().min(1), routing: optional(z.literal("dns")) }),
  change: z.strictObject({ region_key: z.string().min(1) }),
  methods: ["PATCH"],
  key: "hostname",
  build: (_account, sent, old) => ({ routing: "dns", ...sent, created_on: old?.created_on ?? now() }),
  check: (account, next) => {
    const name = String(next.hostname);
    if (!inZone(name, account.zone.name)) {
      throw refuse(invalidBodyStyles.zone, "hostname", `"${name}" is not in the zone ${account.zone.name}`);
    }
    const keys = account.regions.map((region) => region.key);
    if (!keys.includes(String(next.region_key))) {
      const hint = `the account's list has ${keys.join(", ") || "no region (Regional Services is an add-on)"}`;
      throw refuse(invalidBodyStyles.zone, "region_key", `"${String(next.region_key)}" is unknown: ${hint}`);
    }
  },
});

/** A second POST of a host name is a conflict; PATCH carries the name in its path. */
const createRegional = regional.map((route): Route => {
  if (route.method !== "POST") return route;
  return {
    ...route,
    handle: (call) => {
      const name = z.object({ hostname }).safeParse(call.body).data?.hostname ?? "";
      if (call.account.state.regionalHostnames[name] !== undefined) {
        throw conflict(1007, `A regional hostname ${name} already exists: PATCH it instead`);
      }
      return route.handle(call);
    },
  };
});

const sslSchema = z
  .strictObject({
    method: optional(z.enum(["http", "txt", "email"])),
    type: optional(z.literal("dv")),
    bundle_method: optional(z.enum(["ubiquitous", "optimal", "force"])),
    certificate_authority: optional(z.enum(["digicert", "google", "lets_encrypt", "ssl_com"])),
    cloudflare_branding: optional(z.boolean()),
    wildcard: optional(z.boolean()),
    settings: optional(
      z
        .strictObject({
          ciphers: optional(z.array(z.string())),
          early_hints: optional(z.enum(["on", "off"])),
          http2: optional(z.enum(["on", "off"])),
          min_tls_version: optional(z.enum(["1.0", "1.1", "1.2", "1.3"])),
          tls_1_3: optional(z.enum(["on", "off"])),
        })
        .transform(withoutUndefined),
    ),
  })
  .transform(withoutUndefined);

const customShape = {
  ssl: optional(sslSchema),
  custom_origin_server: optional(hostname),
  custom_origin_sni: optional(z.string()),
  custom_metadata: optional(z.record(z.string(), z.string())),
};

const custom = collectionRoutes({
  kind: "customHostnames",
  path: "/zones/:zone/custom_hostnames",
  groups: [saas],
  style: invalidBodyStyles.zone,
  create: z.strictObject({ hostname, ...customShape }),
  change: z.strictObject(customShape),
  methods: ["PATCH"],
  filters: ["id", "hostname", "hostname.exact"],
  build: (_account, sent, old) => {
    const name = String(sent.hostname);
    const ssl: Record<string, unknown> = typeof sent.ssl === "object" ? { ...sent.ssl } : {};
    // Pending until the domain's owner has created the records in the external DNS (`outside-dns.ts`).
    return {
      ownership_verification: { type: "txt", name: `_cf-custom-hostname.${name}`, value: randomUUID() },
      id: randomUUID(),
      created_at: now(),
      ...old,
      ...sent,
      ssl: { id: randomUUID(), wildcard: false, ...ssl, status: "pending_validation" },
      status: "pending",
    };
  },
  check: (account, next) => {
    const rest = others(account, "customHostnames", next.id);
    const cap = account.conditions.customHostnameCap;
    if (rest.length >= cap) throw conflict(1414, `The quota of ${cap} custom hostnames is used up`, 403);
    if (rest.some((one) => one.hostname === next.hostname)) {
      throw conflict(1406, `Duplicate custom hostname found: ${String(next.hostname)}`);
    }
  },
});

/** Cloudflare validates periodically; the emulator validates before every read. */
const validatedCustom = custom.map((route): Route => {
  if (route.method !== "GET") return route;
  return {
    ...route,
    handle: (call) => {
      call.account.validateCustomHostnames();
      return route.handle(call);
    },
  };
});

const fallbackSchema = z.strictObject({ origin: hostname });
const fallbackPath = "/zones/:zone/custom_hostnames/fallback_origin";

function getFallback({ account }: Call) {
  if (account.state.fallbackOrigin === null) throw notFound(1551, "fallback_origin: none is set for this zone");
  return { result: account.state.fallbackOrigin };
}

function putFallback(call: Call) {
  const { account, body } = call;
  const { origin } = checkBody(fallbackSchema, body, invalidBodyStyles.zone);
  if (!inZone(origin, account.zone.name)) {
    throw refuse(invalidBodyStyles.zone, "origin", `"${origin}" is not in the zone ${account.zone.name}`);
  }
  account.update((state) => {
    const created = state.fallbackOrigin?.created_at ?? now();
    state.fallbackOrigin = { origin, status: "active", errors: [], created_at: created, updated_at: now() };
  });
  return getFallback(call);
}

function removeFallback(call: Call) {
  const { result } = getFallback(call);
  call.account.update((state) => {
    state.fallbackOrigin = null;
  });
  return { result: { ...result, status: "pending_deletion" } };
}

const routeShape = { comment: optional(z.string().max(100)), hostname, tunnel_id: z.uuid() };

const privateRoutes = collectionRoutes({
  kind: "hostnameRoutes",
  path: "/accounts/:account/zerotrust/routes/hostname",
  groups: ["Cloudflare Tunnel", "Cloudflare One Networks"],
  style: invalidBodyStyles.tunnel,
  create: z.strictObject(routeShape),
  change: z.strictObject({ ...routeShape, hostname: optional(hostname), tunnel_id: optional(z.uuid()) }),
  methods: ["PATCH"],
  filters: ["id", "hostname", "tunnel_id", "comment"],
  build: (account, sent, old) => ({
    id: old?.id ?? randomUUID(),
    comment: "",
    ...sent,
    tunnel_name: account.state.tunnels[String(sent.tunnel_id)]?.name,
    tun_type: "cfd_tunnel",
    created_at: old?.created_at ?? now(),
    deleted_at: null,
  }),
  check: (account, next) => {
    if (account.tunnel(String(next.tunnel_id)) === undefined) {
      throw refuse(
        invalidBodyStyles.tunnel,
        "tunnel_id",
        `tunnel ${String(next.tunnel_id)} does not exist in this account`,
      );
    }
    if (others(account, "hostnameRoutes", next.id).some((one) => one.hostname === next.hostname)) {
      throw conflict(1014, `You already have a route for the hostname ${String(next.hostname)}`);
    }
  },
});

/** Routes of host names outside DNS records. The fixed path of the fallback origin comes before the ids. */
export const hostnameRoutes: Route[] = [
  {
    method: "GET",
    path: "/accounts/:account/addressing/regional_hostnames/regions",
    permissions: canRead("DNS"),
    handle: ({ account }) => ({ result: account.regions }),
  },
  { method: "GET", path: fallbackPath, permissions: canRead(saas), handle: getFallback },
  { method: "PUT", path: fallbackPath, permissions: canWrite(saas), handle: putFallback },
  { method: "DELETE", path: fallbackPath, permissions: canWrite(saas), handle: removeFallback },
  {
    method: "GET",
    path: "/zones/:zone/custom_hostnames/quota",
    permissions: canRead(saas),
    handle: ({ account }) => {
      const used = Object.keys(account.state.customHostnames).length;
      const allocated = Math.min(100, account.conditions.customHostnameCap);
      return {
        result: { allocated, used, exceeded: used >= allocated, hard_cap: account.conditions.customHostnameCap },
      };
    },
  },
  ...createRegional,
  ...validatedCustom,
  ...privateRoutes,
];
