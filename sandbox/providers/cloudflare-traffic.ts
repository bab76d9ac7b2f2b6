/** Load balancing and notifications. Names as in @pulumi/cloudflare 6.22.1. */
import { type CloudflareResource, cloudflareResource } from "./cloudflare-resource.ts";
import { any, boolean, type Field, list, map, number, object, string } from "./fields.ts";
import { isJsonObject, type JsonObject } from "./wire.ts";

const required = () => string({ required: true });

const monitor: CloudflareResource = {
  name: "loadBalancerMonitor",
  scope: "account",
  path: "load_balancers/monitors",
  updateMethod: "put",
  inputs: {
    allowInsecure: boolean({ computed: true }),
    consecutiveDown: number({ computed: true }),
    consecutiveUp: number({ computed: true }),
    description: string({ computed: true }),
    expectedBody: string({ computed: true }),
    expectedCodes: string({ computed: true }),
    followRedirects: boolean({ computed: true }),
    header: map(list(string())),
    interval: number({ computed: true }),
    method: string({ computed: true }),
    path: string({ computed: true }),
    port: number({ computed: true }),
    probeZone: string({ computed: true }),
    retries: number({ computed: true }),
    timeout: number({ computed: true }),
    type: string({ computed: true }),
  },
  outputs: ["createdOn", "modifiedOn"],
  stables: ["createdOn"],
  defaults: {
    allow_insecure: false,
    description: "",
    expected_body: "",
    follow_redirects: false,
    interval: 60,
    probe_zone: "",
    retries: 2,
    timeout: 5,
    type: "http",
  },
};

function withOriginDefaults(body: JsonObject): JsonObject {
  if (!Array.isArray(body.origins)) return body;
  const defaults = { enabled: true, flatten_cname: true, weight: 1 };
  return {
    ...body,
    origins: body.origins.map((origin) => (isJsonObject(origin) ? { ...defaults, ...origin } : origin)),
  };
}

const pool: CloudflareResource = {
  name: "loadBalancerPool",
  scope: "account",
  path: "load_balancers/pools",
  updateMethod: "put",
  inputs: {
    checkRegions: list(string(), { computed: true }),
    description: string({ computed: true }),
    enabled: boolean({ computed: true }),
    healthSources: list(string(), { computed: true }),
    latitude: number(),
    loadShedding: any({ computed: true }),
    longitude: number(),
    minimumOrigins: number({ computed: true }),
    monitor: string(),
    monitorGroup: string(),
    name: required(),
    notificationEmail: string({ computed: true }),
    notificationFilter: any({ computed: true }),
    originSteering: any({ computed: true }),
    origins: list(
      object({
        address: string(),
        disabledAt: string(),
        enabled: boolean(),
        flattenCname: boolean(),
        header: object({ hosts: list(string(), { wire: "Host" }) }),
        name: string(),
        port: number(),
        virtualNetworkId: string(),
        weight: number(),
      }),
      { required: true },
    ),
  },
  outputs: ["createdOn", "disabledAt", "modifiedOn", "networks"],
  stables: ["createdOn"],
  defaults: { description: "", enabled: true, minimum_origins: 1, notification_email: "" },
  body: withOriginDefaults,
};

const loadBalancer: CloudflareResource = {
  name: "loadBalancer",
  scope: "zone",
  path: "load_balancers",
  updateMethod: "put",
  inputs: {
    adaptiveRouting: any({ computed: true }),
    countryPools: map(list(string())),
    defaultPools: list(string(), { required: true }),
    description: string(),
    enabled: boolean({ computed: true }),
    fallbackPool: required(),
    locationStrategy: any({ computed: true }),
    name: required(),
    networks: list(string(), { computed: true }),
    popPools: map(list(string())),
    proxied: boolean({ computed: true }),
    randomSteering: any({ computed: true }),
    regionPools: map(list(string())),
    rules: list(any(), { computed: true }),
    sessionAffinity: string({ computed: true }),
    sessionAffinityAttributes: any({ computed: true }),
    sessionAffinityTtl: number(),
    steeringPolicy: string({ computed: true }),
    ttl: number({ computed: true }),
  },
  outputs: ["createdOn", "modifiedOn", "zoneName"],
  stables: ["createdOn", "zoneName"],
  defaults: { enabled: true, proxied: false, session_affinity: "none", steering_policy: "" },
};

/** Pulumi makes plurals of the filters' names; these are plural on the wire as well. */
const pluralOnTheWire = [
  "actions",
  "affectedAsns",
  "affectedComponents",
  "affectedLocations",
  "alertTriggerPreferences",
];
pluralOnTheWire.push("popNames", "selectors", "services", "trafficExclusions", "zones");
/** Plural in Pulumi → the wire's name. Source: the API reference of alerting/v3/policies, `filters`. */
const singularOnTheWire: Record<string, string> = {
  airportCodes: "airport_code",
  alertTriggerPreferencesValues: "alert_trigger_preferences_value",
  enableds: "enabled",
  environments: "environment",
  eventSources: "event_source",
  eventTypes: "event_type",
  events: "event",
  groupBies: "group_by",
  healthCheckIds: "health_check_id",
  incidentImpacts: "incident_impact",
  inputIds: "input_id",
  insightClasses: "insight_class",
  limits: "limit",
  logoTags: "logo_tag",
  megabitsPerSeconds: "megabits_per_second",
  newHealths: "new_health",
  newStatuses: "new_status",
  packetsPerSeconds: "packets_per_second",
  poolIds: "pool_id",
  products: "product",
  projectIds: "project_id",
  protocols: "protocol",
  queryTags: "query_tag",
  requestsPerSeconds: "requests_per_second",
  slos: "slo",
  statuses: "status",
  targetHostnames: "target_hostname",
  targetIps: "target_ip",
  targetZoneNames: "target_zone_name",
  tokenIds: "token_id",
  tunnelIds: "tunnel_id",
  tunnelNames: "tunnel_name",
  types: "type",
  wheres: "where",
};
const filters = Object.fromEntries([
  ...pluralOnTheWire.map((name): [string, Field] => [name, list(string())]),
  ...Object.entries(singularOnTheWire).map(([name, wire]): [string, Field] => [name, list(string(), { wire })]),
]);
const addressees = (wire: string) => list(object({ id: string() }), { wire });

const notificationPolicy: CloudflareResource = {
  name: "notificationPolicy",
  scope: "account",
  path: "alerting/v3/policies",
  updateMethod: "put",
  inputs: {
    alertInterval: string({ computed: true }),
    alertType: required(),
    description: string(),
    enabled: boolean({ computed: true }),
    filters: object(filters, { computed: true }),
    mechanisms: object(
      { emails: addressees("email"), pagerduties: addressees("pagerduty"), webhooks: addressees("webhooks") },
      { required: true },
    ),
    name: required(),
  },
  outputs: ["created", "modified"],
  stables: ["created"],
  defaults: { enabled: true },
  // POST and PUT answer the id alone.
  readBack: true,
};

export const trafficResources = [monitor, pool, loadBalancer, notificationPolicy].map(cloudflareResource);
