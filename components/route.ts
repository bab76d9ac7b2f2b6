import { CustomHostnameFallbackOrigin } from "@pulumi/cloudflare/customHostnameFallbackOrigin.js";
import { DnsRecord } from "@pulumi/cloudflare/dnsRecord.js";
import { RegionalHostname } from "@pulumi/cloudflare/regionalHostname.js";
import * as pulumi from "@pulumi/pulumi";
import { requireAccess } from "./access.ts";

/** Arguments of a route. */
export interface RouteArgs {
  readonly zoneId: pulumi.Input<string>;
  /** The name callers use, one label under the zone. */
  readonly hostname: string;
  /** Names protected by an Access application; any other is refused. */
  readonly behindAccess: ReadonlySet<string>;
  /** Where the record leads: `<tunnel id>.cfargotunnel.com`. */
  readonly target: pulumi.Input<string>;
  /** Mode `regional`: a key of the account's region list. */
  readonly regionKey?: string | undefined;
  /** Mode `saas`: custom hostnames of the zone lead to this name, too. */
  readonly fallbackOrigin?: boolean | undefined;
  /** Says who created the record; at most 100 characters. @default none */
  readonly comment?: string | undefined;
  /** Refuses to delete the record. */
  readonly protect: boolean;
}

/**
 * The DNS record that leads callers to the tunnel through Cloudflare's proxy, and what a mode adds to it. The record is the
 * same in every mode, so a change of mode never takes the name away. Which location callers enter at follows their provider's
 * peering and the zone's plan; no plan promises one, so it is measured, not assumed.
 *
 * @example
 * new Route("slm", { zoneId, hostname: "slm.example.com", behindAccess: access.hostnames, target: tunnel.cname, protect: true });
 */
export class Route extends pulumi.ComponentResource {
  readonly hostname: pulumi.Output<string>;

  constructor(name: string, args: RouteArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:route:Route", name, {}, opts);
    requireAccess([args.hostname], args.behindAccess);

    // No `settings`: with it the provider reports a difference on every run.
    const record = new DnsRecord(
      `${name}-dns`,
      {
        zoneId: args.zoneId,
        name: args.hostname,
        type: "CNAME",
        content: args.target,
        proxied: true,
        comment: args.comment,
        ttl: 1, // automatic, the only value for a proxied record
      },
      { parent: this, protect: args.protect },
    );

    if (args.regionKey !== undefined) {
      new RegionalHostname(
        `${name}-region`,
        { zoneId: args.zoneId, hostname: record.name, regionKey: args.regionKey },
        { parent: this },
      );
    }
    if (args.fallbackOrigin) {
      new CustomHostnameFallbackOrigin(
        `${name}-fallback-origin`,
        { zoneId: args.zoneId, origin: record.name },
        { parent: this },
      );
    }

    this.hostname = record.name;
    this.registerOutputs({ hostname: this.hostname });
  }
}
