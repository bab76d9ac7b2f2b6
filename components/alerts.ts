import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";

/** What the alerts need to know. */
export interface AlertsArgs {
  readonly accountId: pulumi.Input<string>;
  readonly hostname: string;
  /** Only this tunnel's state is told. */
  readonly tunnelId: pulumi.Input<string>;
  /** Who gets the mails; at least one. */
  readonly emails: readonly string[];
}

/**
 * Mails by Cloudflare, which see what the Mac itself can not tell: that the tunnel is down (the office has no power, or no
 * line) or back, and that a service token is about to end.
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
      mechanisms: { emails: args.emails.map((id) => ({ id })) },
    };

    new cloudflare.NotificationPolicy(
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
    new cloudflare.NotificationPolicy(
      `${name}-alert-token`,
      { ...common, name: `${args.hostname}: service token about to end`, alertType: "expiring_service_token_alert" },
      { parent: this },
    );
    this.registerOutputs({});
  }
}
