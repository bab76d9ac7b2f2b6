import { NotificationPolicy } from "@pulumi/cloudflare/notificationPolicy.js";
import * as pulumi from "@pulumi/pulumi";

/** Arguments of the alerts. */
export interface AlertsArgs {
  readonly accountId: pulumi.Input<string>;
  readonly hostname: string;
  /** Alerts are about this tunnel only. */
  readonly tunnelId: pulumi.Input<string>;
  /** Says who made the notifications. */
  readonly description: string;
  /** Recipients; at least one. */
  readonly emails: readonly string[];
}

/**
 * E-mails from Cloudflare about what the Mac cannot report itself: that the tunnel is down (no power or no line in the office)
 * or back, and that a service token is about to expire.
 * https://developers.cloudflare.com/notifications/notification-available/
 *
 * @example
 * new Alerts("slm", { accountId, hostname: "slm.example.com", tunnelId: tunnel.tunnelId, emails: ["ops@example.com"] });
 */
export class Alerts extends pulumi.ComponentResource {
  constructor(name: string, args: AlertsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:alerts:Alerts", name, {}, opts);
    const common = {
      accountId: args.accountId,
      enabled: true,
      description: args.description,
      mechanisms: { emails: args.emails.map((id) => ({ id })) },
    };

    new NotificationPolicy(
      `${name}-alert-tunnel`,
      {
        ...common,
        name: `${args.hostname}: tunnel down or back`,
        alertType: "tunnel_health_event",
        filters: { tunnelIds: [args.tunnelId] },
      },
      { parent: this },
    );
    // The API has no filter for it: it is about every service token of the account.
    new NotificationPolicy(
      `${name}-alert-token`,
      { ...common, name: `${args.hostname}: service token about to end`, alertType: "expiring_service_token_alert" },
      { parent: this },
    );
    this.registerOutputs({});
  }
}
