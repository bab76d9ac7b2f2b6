/** What the policy pack must stop when `wrong` is set, and what it must let through otherwise. All of it new. */
import * as cloudflare from "@pulumi/cloudflare";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

const wrong = new pulumi.Config().getBoolean("wrong") ?? false;
const accountId = "a".repeat(32);
const zoneId = "b".repeat(32);
const protect = !wrong;

class TtlCollection extends pulumi.dynamic.Resource {
  constructor(name: string, ttlSeconds: number) {
    const provider: pulumi.dynamic.ResourceProvider = { create: async (outs) => ({ id: "1", outs }) };
    super(provider, name, { ttlSeconds, uri: pulumi.secret("x") }, { protect }, "document-store", "TtlCollection");
  }
}

const tunnel = new cloudflare.ZeroTrustTunnelCloudflared("tunnel", { accountId, name: "t" }, { protect });
// The address of a tunnel that is new is not known in the preview.
const content = pulumi.interpolate`${tunnel.id}.cfargotunnel.com`;
const name = "slm.example.com";
new cloudflare.DnsRecord("record", { zoneId, name, type: "CNAME", content, proxied: !wrong, ttl: 1 }, { protect });

const token = new cloudflare.ZeroTrustAccessServiceToken("token", { accountId, name: "t" }, { protect });
const policy = new cloudflare.ZeroTrustAccessPolicy("policy", {
  accountId,
  name: "who",
  decision: "allow",
  includes: [wrong ? { everyone: {} } : { serviceToken: { tokenId: token.id } }],
});
new cloudflare.ZeroTrustAccessApplication(
  "application",
  {
    accountId,
    type: "self_hosted",
    name: "a",
    destinations: [{ type: "public", uri: wrong ? `${name}/status` : name }],
    policies: [{ id: policy.id, precedence: 1 }],
  },
  { protect },
);

new TtlCollection("collection", wrong ? 3600 : 30 * 86_400);

const stdin = pulumi.interpolate`${tunnel.id} hunter2`;
new command.remote.Command("install", {
  connection: { host: "127.0.0.1", user: "nobody" },
  create: wrong ? "connect mongodb://relay:hunter2@db.example.com/" : "connect",
  stdin: wrong ? stdin : pulumi.secret(stdin),
});
