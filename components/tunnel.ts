import { ZeroTrustTunnelCloudflared } from "@pulumi/cloudflare/zeroTrustTunnelCloudflared.js";
import { ZeroTrustTunnelCloudflaredConfig } from "@pulumi/cloudflare/zeroTrustTunnelCloudflaredConfig.js";
import * as pulumi from "@pulumi/pulumi";
import { requireAccess } from "./access.ts";

/** The Mac's SSH, under a name and an Access application of its own. */
export interface SshService {
  readonly hostname: string;
  /** Port of sshd on the Mac's 127.0.0.1. */
  readonly port: number;
  readonly audience: pulumi.Input<string>;
}

/** Arguments of a tunnel. */
export interface TunnelArgs {
  readonly accountId: pulumi.Input<string>;
  /** Shown in the dashboard; unique in the account. */
  readonly tunnelName: pulumi.Input<string>;
  /** The name callers use. */
  readonly hostname: string;
  /** Other names that lead here; the connector sees the name that was called. */
  readonly alsoHostnames?: readonly string[] | undefined;
  /** Names protected by an Access application; any other is refused. */
  readonly behindAccess: ReadonlySet<string>;
  /** base64 of 32 bytes or more, from the stack's secrets: the connector's token is computed from it. */
  readonly tunnelSecret: pulumi.Input<string>;
  /** Port of the relay on the Mac's 127.0.0.1. */
  readonly relayPort: number;
  /** `<team>` of `<team>.cloudflareaccess.com`. */
  readonly teamName: pulumi.Input<string>;
  /** Audiences of the Access applications, which cloudflared checks as well; `metrics` only with scrapers. */
  readonly audiences: {
    readonly servers: pulumi.Input<string>;
    readonly people: pulumi.Input<string>;
    readonly metrics?: pulumi.Input<string> | undefined;
  };
  /** SSH by way of the tunnel, when there is an entry for it. */
  readonly ssh?: SshService | undefined;
  /** Refuses to delete the tunnel. */
  readonly protect: boolean;
}

/**
 * The ingress rules of cloudflared; the first that matches host name and path applies.
 *
 * Each path is checked for its own audience. `/readyz` has no check, so that a monitor without a token can ask; it says
 * only yes or no. https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/configure-tunnels/origin-configuration/
 */
export function ingressRules(args: {
  hostname: string;
  alsoHostnames?: readonly string[] | undefined;
  relayPort: number;
  teamName: pulumi.Input<string>;
  audiences: TunnelArgs["audiences"];
  ssh?: SshService | undefined;
}) {
  const service = `http://127.0.0.1:${args.relayPort}`;
  const checked = (audience: pulumi.Input<string>) => ({
    // The relay keeps idle connections longer than this, so cloudflared never writes into one that is just closing.
    keepAliveTimeout: 90,
    access: { required: true, teamName: args.teamName, audTags: [audience] },
  });
  const { ssh } = args;
  const sshRules = ssh
    ? [
        {
          hostname: ssh.hostname,
          service: `ssh://127.0.0.1:${ssh.port}`,
          originRequest: { access: checked(ssh.audience).access },
        },
      ]
    : [];
  const { metrics } = args.audiences;
  const rules = (hostname: string) => [
    { hostname, path: "^/readyz$", service },
    { hostname, path: "^/status(/|$)", service, originRequest: checked(args.audiences.people) },
    ...(metrics === undefined ? [] : [{ hostname, path: "^/metrics(/|$)", service, originRequest: checked(metrics) }]),
    { hostname, service, originRequest: checked(args.audiences.servers) },
  ];
  return [
    ...[args.hostname, ...(args.alsoHostnames ?? [])].flatMap(rules),
    ...sshRules,
    { service: "http_status:404" },
  ];
}

/**
 * The token with which cloudflared opens the tunnel: base64 of `{"a": account, "t": tunnel, "s": secret}`. Computed, so
 * that a preview needs no right to write (reading it from the API does).
 */
export function connectorToken(accountId: string, tunnelId: string, tunnelSecret: string): string {
  return Buffer.from(JSON.stringify({ a: accountId, t: tunnelId, s: tunnelSecret })).toString("base64");
}

/**
 * A Cloudflare Tunnel and its remotely managed ingress.
 *
 * @example
 * const tunnel = new Tunnel("slm", { accountId, tunnelName: "slm-prod", hostname: "slm.example.com", tunnelSecret, … });
 * tunnel.connectorToken; // a secret, for cloudflared's --token-file
 */
export class Tunnel extends pulumi.ComponentResource {
  readonly tunnelId: pulumi.Output<string>;
  /** For cloudflared's `--token-file`; a secret. */
  readonly connectorToken: pulumi.Output<string>;
  /** Target of the DNS record that leads to the tunnel. */
  readonly cname: pulumi.Output<string>;

  constructor(name: string, args: TunnelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:tunnel:Tunnel", name, {}, opts);
    requireAccess([args.hostname, ...(args.alsoHostnames ?? [])], args.behindAccess);

    const tunnel = new ZeroTrustTunnelCloudflared(
      `${name}-tunnel`,
      {
        accountId: args.accountId,
        name: args.tunnelName,
        // "local" is the default, ignores the ingress below, and changing it replaces the tunnel.
        configSrc: "cloudflare",
        tunnelSecret: pulumi.secret(args.tunnelSecret),
      },
      // An imported tunnel's state lacks configSrc, and what looks like a change of it would replace the tunnel; whether it
      // may be imported is checked before: https://github.com/cloudflare/terraform-provider-cloudflare/issues/5488
      { parent: this, protect: args.protect, ignoreChanges: ["configSrc"] },
    );

    new ZeroTrustTunnelCloudflaredConfig(
      `${name}-ingress`,
      {
        accountId: args.accountId,
        tunnelId: tunnel.id,
        config: {
          // Not in an apply: the preview of a new network then shows all of it but the audiences.
          ingresses: ingressRules(args),
        },
      },
      { parent: this },
    );

    this.tunnelId = tunnel.id;
    this.cname = pulumi.interpolate`${tunnel.id}.cfargotunnel.com`;
    this.connectorToken = pulumi.secret(
      pulumi
        .all([args.accountId, tunnel.id, args.tunnelSecret])
        .apply(([account, id, secret]) => connectorToken(account, id, secret)),
    );
    this.registerOutputs({ tunnelId: this.tunnelId, cname: this.cname, connectorToken: this.connectorToken });
  }
}
