import type { types } from "@pulumi/cloudflare";
import { ZeroTrustAccessApplication } from "@pulumi/cloudflare/zeroTrustAccessApplication.js";
import { ZeroTrustAccessPolicy } from "@pulumi/cloudflare/zeroTrustAccessPolicy.js";
import * as pulumi from "@pulumi/pulumi";

/** Arguments of an SSH entry. */
export interface SshEntryArgs {
  readonly accountId: pulumi.Input<string>;
  /** A name of its own, one label under the zone. */
  readonly hostname: string;
  /** People who are admitted after signing in. */
  readonly emails: readonly string[];
  /** Ids of the identity providers to sign in with. */
  readonly identityProviders: readonly pulumi.Input<string>[];
  /** Ids of the service tokens that are admitted. */
  readonly tokenIds: readonly pulumi.Input<string>[];
  /** Refuses to delete the application. */
  readonly protect: boolean;
}

/**
 * Access in front of SSH through the tunnel: a separate application, so that callers of the model cannot reach the Mac's sshd.
 * Anyone who passes still needs the deploy account's key.
 *
 * @example
 * new SshEntry("slm-mac", { accountId, hostname: "ssh.example.com", emails: ["ops@example.com"], tokenIds: [], protect: true });
 */
export class SshEntry extends pulumi.ComponentResource {
  /** Audience (AUD tag), which cloudflared checks as well. */
  readonly audience: pulumi.Output<string>;
  /** The name it protects. */
  readonly hostnames: ReadonlySet<string>;

  constructor(name: string, args: SshEntryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:ssh-entry:SshEntry", name, {}, opts);
    const { accountId, hostname, emails, identityProviders, tokenIds } = args;
    // Explicit: without it the provider reports a difference on every run. Short, since it leads to a root account.
    const sessionDuration = "1h";

    const policy = (
      who: "people" | "servers",
      decision: "allow" | "non_identity",
      includes: types.input.ZeroTrustAccessPolicyInclude[],
    ) =>
      includes.length === 0
        ? []
        : [
            new ZeroTrustAccessPolicy(
              `${name}-policy-ssh-${who}`,
              { accountId, name: `${hostname} ${who}`, decision, includes, sessionDuration },
              { parent: this },
            ),
          ];
    const people = emails.map((email) => ({ email: { email } }));
    const servers = tokenIds.map((tokenId) => ({ serviceToken: { tokenId } }));
    const policies = [...policy("people", "allow", people), ...policy("servers", "non_identity", servers)];

    const application = new ZeroTrustAccessApplication(
      `${name}-app-ssh`,
      {
        accountId,
        // Not "ssh", which is rendered in a browser and would want the Mac's private key there.
        type: "self_hosted",
        name: hostname,
        destinations: [{ type: "public", uri: hostname }],
        policies: policies.map((attached, index) => ({ id: attached.id, precedence: index + 1 })),
        sessionDuration,
        // Without a list every identity provider of the account could sign in.
        ...(emails.length > 0 && { allowedIdps: [...identityProviders] }),
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
