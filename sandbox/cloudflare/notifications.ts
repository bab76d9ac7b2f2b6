/**
 * Notification policies.
 * @see https://developers.cloudflare.com/api/resources/alerting/subresources/policies/
 */
import { z } from "zod";
import { collectionRoutes } from "./collection.ts";
import { invalidBodyStyles } from "./errors.ts";
import { hexId, now, optional, type Route } from "./route.ts";

/** The alert types for resources emulated here; the API has about seventy more for other products. */
const alertTypes = [
  "expiring_service_token_alert",
  "health_check_status_notification",
  "incident_alert",
  "load_balancing_health_alert",
  "load_balancing_pool_enablement_alert",
  "maintenance_event_notification",
  "tunnel_health_event",
  "tunnel_update_event",
  "universal_ssl_event_type",
] as const;

const filterNames = ["tunnel_id", "tunnel_name", "token_id", "new_status", "pool_id", "new_health", "event_source"];
const target = <T extends z.ZodType>(id: T) => z.array(z.strictObject({ id }));

const shape = {
  name: z.string().min(1),
  alert_type: z.enum(alertTypes),
  enabled: z.boolean(),
  mechanisms: z.strictObject({
    email: target(z.email()).optional(),
    pagerduty: target(z.string()).optional(),
    webhooks: target(z.string()).optional(),
  }),
  alert_interval: optional(z.string()),
  description: optional(z.string()),
  filters: optional(z.partialRecord(z.enum(filterNames), z.array(z.string()))),
};

/** Routes of notification policies. */
export const notificationRoutes: Route[] = collectionRoutes({
  kind: "notificationPolicies",
  path: "/accounts/:account/alerting/v3/policies",
  groups: ["Notifications"],
  style: invalidBodyStyles.alerting,
  create: z.strictObject(shape),
  methods: ["PUT"],
  build: (_account, sent, old) => ({
    id: old?.id ?? hexId(),
    ...sent,
    created: old?.created ?? now(),
    modified: now(),
  }),
});
