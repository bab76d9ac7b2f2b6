/** Notifications. Names as in @pulumi/cloudflare 6.22.1. */

import { boolean, type Field, list, object, string } from "../plugin/fields.ts";
import { type CloudflareResource, cloudflareResource } from "./resource.ts";

const required = () => string({ required: true });

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
  // POST and PUT return only the id.
  readBack: true,
};

export const notificationResources = [cloudflareResource(notificationPolicy)];
