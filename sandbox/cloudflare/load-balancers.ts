/**
 * Load balancers, their pools and monitors.
 * @see https://developers.cloudflare.com/api/resources/load_balancers/
 */
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { collectionRoutes, others } from "./collection.ts";
import { conflict, refusals, refuse } from "./errors.ts";
import { hexId, hostname, now, optional, type Route, withoutUndefined } from "./route.ts";
import type { PlainKind } from "./state.ts";
import { inZone } from "./zone-name.ts";

const style = refusals.balancer;
const pools = "Load Balancing: Monitors and Pools";
const object = z.record(z.string(), z.unknown());
const hostHeader = z.record(z.string(), z.array(z.string()));

function dated(sent: Record<string, unknown>, old: Record<string, unknown> | undefined): Record<string, unknown> {
  return { id: old?.id ?? hexId(), ...sent, created_on: old?.created_on ?? now(), modified_on: now() };
}

function mustExist(account: CloudflareAccount, kind: PlainKind, id: unknown, field: string): void {
  if (account.state[kind][String(id)] === undefined) {
    throw refuse(style, field, `${String(id)} does not exist: create it first`);
  }
}

function mustBeFree(
  account: CloudflareAccount,
  kind: PlainKind,
  id: string,
  uses: (one: Record<string, unknown>) => unknown[],
) {
  const user = others(account, kind, undefined).find((one) => uses(one).includes(id));
  if (user !== undefined) throw conflict(1005, `${id} is referenced by ${String(user.name)}: change that first`, 412);
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

const monitorRoutes = collectionRoutes({
  kind: "monitors",
  path: "/accounts/:account/load_balancers/monitors",
  groups: [pools],
  style,
  create: z.strictObject({
    type: optional(z.enum(["http", "https", "tcp", "udp_icmp", "icmp_ping", "smtp"])),
    allow_insecure: optional(z.boolean()),
    consecutive_down: optional(z.int().min(0)),
    consecutive_up: optional(z.int().min(0)),
    description: optional(z.string()),
    expected_body: optional(z.string()),
    expected_codes: optional(z.string()),
    follow_redirects: optional(z.boolean()),
    header: optional(hostHeader),
    interval: optional(z.int().min(5).max(3600)),
    method: optional(z.string()),
    path: optional(z.string()),
    port: optional(z.int().min(0).max(65_535)),
    probe_zone: optional(z.string()),
    retries: optional(z.int().min(0).max(5)),
    timeout: optional(z.int().min(1)),
  }),
  methods: ["PUT", "PATCH"],
  build: (_account, sent, old) => dated(sent, old),
  checkRemoval: (account, id) => mustBeFree(account, "pools", id, (pool) => [pool.monitor]),
});

const origin = z
  .strictObject({
    name: z.string().min(1),
    address: z.string().min(1),
    enabled: optional(z.boolean()),
    flatten_cname: optional(z.boolean()),
    header: optional(z.strictObject({ Host: z.array(z.string()) })),
    port: optional(z.int().min(0).max(65_535)),
    virtual_network_id: optional(z.string()),
    weight: optional(z.number().min(0).max(1)),
  })
  .transform(withoutUndefined);

const poolShape = {
  name: z.string().regex(/^[A-Za-z0-9_-]+$/, "only letters, digits, - and _"),
  origins: z.array(origin).min(1),
  description: optional(z.string()),
  enabled: optional(z.boolean()),
  latitude: optional(z.number()),
  longitude: optional(z.number()),
  load_shedding: optional(object),
  minimum_origins: optional(z.int().min(0)),
  monitor: optional(z.string()),
  notification_email: optional(z.string()),
  notification_filter: optional(object),
  origin_steering: optional(object),
};

const poolRoutes = collectionRoutes({
  kind: "pools",
  path: "/accounts/:account/load_balancers/pools",
  groups: [pools],
  style,
  create: z.strictObject(poolShape),
  change: z.strictObject({ ...poolShape, name: optional(poolShape.name), origins: optional(poolShape.origins) }),
  methods: ["PUT", "PATCH"],
  build: (_account, sent, old) => dated(sent, old),
  check: (account, next) => {
    if (next.monitor) mustExist(account, "monitors", next.monitor, "monitor");
    if (others(account, "pools", next.id).some((one) => one.name === next.name)) {
      throw conflict(1006, `A pool named ${String(next.name)} already exists`);
    }
  },
  checkRemoval: (account, id) =>
    mustBeFree(account, "loadBalancers", id, (one) => [one.fallback_pool, ...list(one.default_pools)]),
});

const balancerShape = {
  name: hostname,
  default_pools: z.array(z.string()).min(1),
  fallback_pool: z.string(),
  description: optional(z.string()),
  enabled: optional(z.boolean()),
  proxied: optional(z.boolean()),
  networks: optional(z.array(z.string())),
  session_affinity: optional(z.enum(["none", "cookie", "ip_cookie", "header", ""])),
  session_affinity_attributes: optional(object),
  session_affinity_ttl: optional(z.int()),
  steering_policy: optional(
    z.enum([
      "off",
      "geo",
      "random",
      "dynamic_latency",
      "proximity",
      "least_outstanding_requests",
      "least_connections",
      "",
    ]),
  ),
  adaptive_routing: optional(object),
  location_strategy: optional(object),
  random_steering: optional(object),
  country_pools: optional(hostHeader),
  pop_pools: optional(hostHeader),
  region_pools: optional(hostHeader),
  rules: optional(z.array(object)),
  ttl: optional(z.int()),
};

const balancerRoutes = collectionRoutes({
  kind: "loadBalancers",
  path: "/zones/:zone/load_balancers",
  groups: ["Load Balancers"],
  style,
  create: z.strictObject(balancerShape),
  change: z.strictObject({
    ...balancerShape,
    name: optional(balancerShape.name),
    default_pools: optional(balancerShape.default_pools),
    fallback_pool: optional(balancerShape.fallback_pool),
  }),
  methods: ["PUT", "PATCH"],
  build: (account, sent, old) => ({ ...dated(sent, old), zone_name: account.zone.name }),
  check: (account, next) => {
    if (!inZone(String(next.name), account.zone.name)) {
      throw refuse(style, "name", `"${String(next.name)}" is not in the zone ${account.zone.name}`);
    }
    for (const id of list(next.default_pools)) mustExist(account, "pools", id, "default_pools");
    mustExist(account, "pools", next.fallback_pool, "fallback_pool");
    if (others(account, "loadBalancers", next.id).some((one) => one.name === next.name)) {
      throw conflict(1006, `A load balancer named ${String(next.name)} already exists`);
    }
  },
});

/** Routes of load balancing. */
export const loadBalancerRoutes: Route[] = [...monitorRoutes, ...poolRoutes, ...balancerRoutes];
