import * as cloudflare from "@pulumi/cloudflare";
import * as pulumi from "@pulumi/pulumi";

/** What an SSH entry needs to know. */
export interface SshEntryArgs {
  readonly accountId: pulumi.Input<string>;
  /** A name of its own, one label under the zone. */
  readonly hostname: string;
  /** People who may pass after signing in. */
  readonly emails: readonly string[];
  /** Ids of the service tokens that may pass. */
  readonly tokenIds: readonly pulumi.Input<string>[];
  /** Refuses to delete the application. */
  readonly protect: boolean;
}

/**
 * Access before SSH by way of the tunnel: an application of its own, so that nobody who may call the model reaches the Mac's
 * sign-in. Whoever passes still needs the deploy account's key.
 *
 * @example
 * new SshEntry("slm-mac", { accountId, hostname: "ssh.example.com", emails: ["ops@example.com"], tokenIds: [], protect: true });
 */
export class SshEntry extends pulumi.ComponentResource {
  /** Audience (AUD tag), which cloudflared checks as well. */
  readonly audience: pulumi.Output<string>;
  /** The name it stands in front of. */
  readonly hostnames: ReadonlySet<string>;

  constructor(name: string, args: SshEntryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:ssh-entry:SshEntry", name, {}, opts);
    const { accountId, hostname, emails, tokenIds } = args;
    // Explicit: left out, the provider shows a difference for ever. Short, since it leads to a root account.
    const sessionDuration = "1h";

    const policy = (
      who: "people" | "servers",
      decision: "allow" | "non_identity",
      includes: cloudflare.types.input.ZeroTrustAccessPolicyInclude[],
    ) =>
      includes.length === 0
        ? []
        : [
            new cloudflare.ZeroTrustAccessPolicy(
              `${name}-policy-ssh-${who}`,
              { accountId, name: `${hostname} ${who}`, decision, includes, sessionDuration },
              { parent: this },
            ),
          ];
    const people = emails.map((email) => ({ email: { email } }));
    const servers = tokenIds.map((tokenId) => ({ serviceToken: { tokenId } }));
    const policies = [...policy("people", "allow", people), ...policy("servers", "non_identity", servers)];

    const application = new cloudflare.ZeroTrustAccessApplication(
      `${name}-app-ssh`,
      {
        accountId,
        // Not "ssh", which is rendered in a browser and would want the Mac's private key there.
        type: "self_hosted",
        name: hostname,
        destinations: [{ type: "public", uri: hostname }],
        policies: policies.map((attached, index) => ({ id: attached.id, precedence: index + 1 })),
        sessionDuration,
        appLauncherVisible: false,
        httpOnlyCookieAttribute: true,
      },
      { parent: this, protect: args.protect },
    );

    this.audience = application.aud;
    this.hostnames = new Set([hostname]);
    this.registerOutputs({ audience: this.audience });
  }
}
