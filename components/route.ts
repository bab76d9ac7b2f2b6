import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";

/** What a route needs to know. */
export interface RouteArgs {
  readonly zoneId: pulumi.Input<string>;
  /** The name callers use, one label under the zone. */
  readonly hostname: string;
  /** Where the record leads: `<tunnel id>.cfargotunnel.com`. */
  readonly target: pulumi.Input<string>;
  /** Refuses to delete the record. */
  readonly protect: boolean;
}

/**
 * @returns why the hostname does not fit the zone, or undefined when it does.
 * Universal SSL covers the zone and one label under it: https://developers.cloudflare.com/ssl/edge-certificates/universal-ssl/limitations/
 */
export function hostnameFault(hostname: string, zoneName: string): string | undefined {
  if (!hostname.endsWith(`.${zoneName}`)) {
    return `slm-network:hostname: ${JSON.stringify(hostname)} is not under the zone ${zoneName} (slm-network:zoneId): use e.g. slm.${zoneName}, or the id of the zone it belongs to`;
  }
  if (hostname.slice(0, -zoneName.length - 1).includes(".")) {
    return `slm-network:hostname: ${JSON.stringify(hostname)} has more than one label under ${zoneName}, and Cloudflare's Universal SSL certificate covers one: use e.g. ${hostname.slice(0, -zoneName.length - 1).replaceAll(".", "-")}.${zoneName}`;
  }
  return undefined;
}

/**
 * The DNS record that leads callers to the tunnel through Cloudflare's proxy. Which location they enter at follows their
 * provider's peering and the zone's plan; no plan promises one, so it is measured, not assumed.
 *
 * @example
 * new Route("slm", { zoneId, hostname: "slm.example.com", target: tunnel.cname, protect: true });
 */
export class Route extends pulumi.ComponentResource {
  readonly hostname: pulumi.Output<string>;

  constructor(name: string, args: RouteArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:route:Route", name, {}, opts);

    // No `settings`: the provider shows a difference for ever once it is given.
    const record = new cloudflare.DnsRecord(
      `${name}-dns`,
      {
        zoneId: args.zoneId,
        name: args.hostname,
        type: "CNAME",
        content: args.target,
        proxied: true,
        ttl: 1, // automatic, the only value for a proxied record
      },
      { parent: this, protect: args.protect },
    );

    this.hostname = record.name;
    this.registerOutputs({ hostname: this.hostname });
  }
}
