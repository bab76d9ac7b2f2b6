/** What `up` and `preview` look at by themselves before anything is declared: the cheap part of `npm run preflight`. */
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import type { CloudflareAccess } from "../scripts/accounts/cloudflare.ts";
import type { Wanted } from "../scripts/accounts/cloudflare-ready.ts";
import type { Owned } from "../scripts/accounts/collisions.ts";
import { faultOf } from "../scripts/accounts/finding.ts";

const stateSchema = z.object({ outputs: z.record(z.string(), z.object({ type: z.string() })) });

const types: Partial<Record<Parameters<Owned>[0], string>> = {
  record: "cloudflare:index/dnsRecord:DnsRecord",
  application: "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication",
  tunnel: "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared",
};

/**
 * Asks the account at once for everything that would make the first resource fail, and those after it. In a preview only
 * for what a preview needs, so that a token which may only read is enough.
 * @returns a fault for each, with what to do; and the zone's name, when the token may read it. What the account did not
 * answer is logged and left to the provider.
 */
export async function accountFaults(
  wanted: Wanted,
  access: CloudflareAccess,
): Promise<{ faults: string[]; zoneName?: string | undefined }> {
  // Signed in in another way (a global key): then only the provider can ask.
  if (!access.apiToken && process.env.CLOUDFLARE_API_KEY) return { faults: [] };
  const [deployed, { cloudflareReady }] = await Promise.all([
    deployedTypes(),
    import("../scripts/accounts/cloudflare-ready.ts"), // the client takes a moment to load
  ]);
  // The outputs that the engine shows of a state have no ids: what is there of a kind counts as the stack's own.
  const owned: Owned = (kind) => deployed.has(types[kind] ?? "");
  const { findings, zone } = await cloudflareReady(wanted, { access, owned, readOnly: pulumi.runtime.isDryRun() });
  for (const finding of findings) if (finding.level === "warn") await pulumi.log.warn(faultOf(finding));
  return { faults: findings.filter(({ level }) => level === "fail").map(faultOf), zoneName: zone?.name };
}

/** The types of what this stack's last deployment left. */
async function deployedTypes(): Promise<Set<string>> {
  const stackName = `${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}`;
  const answer: unknown = await pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", { stackName });
  return new Set(Object.values(stateSchema.parse(answer).outputs).map(({ type }) => type));
}
