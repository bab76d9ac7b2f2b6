/** What `up` and `preview` look at by themselves before anything is declared: the cheap part of `npm run preflight`. */
import * as pulumi from "@pulumi/pulumi";
import type { CloudflareAccess } from "./cloudflare.ts";
import type { Wanted } from "./cloudflare-ready.ts";
import { type Owned, resourceTypes } from "./collisions.ts";
import { signsInByGlobalKey } from "./credentials.ts";
import type { DeployedResource } from "./deployed.ts";
import { faultOf } from "./finding.ts";

/**
 * Asks the account at once for everything that would make the first resource fail, and those after it. In a preview only
 * for what a preview needs, so that a token which may only read is enough.
 * @returns a fault for each, with what to do; and the zone's name, when the token may read it. What the account did not
 * answer is logged and left to the provider.
 */
export async function accountFaults(
  wanted: Wanted,
  access: CloudflareAccess,
  deployed: readonly DeployedResource[],
): Promise<{ faults: string[]; zoneName?: string | undefined }> {
  if (signsInByGlobalKey(access)) return { faults: [] };
  const { cloudflareReady } = await import("./cloudflare-ready.ts"); // the client takes a moment to load
  // The outputs that the engine shows of a state have no ids: what is there of a kind counts as the stack's own.
  const owned: Owned = (kind) => deployed.some(({ type }) => type === resourceTypes[kind]);
  const { findings, zone } = await cloudflareReady(wanted, { access, owned, readOnly: pulumi.runtime.isDryRun() });
  for (const finding of findings) if (finding.level === "warn") await pulumi.log.warn(faultOf(finding));
  return { faults: findings.filter(({ level }) => level === "fail").map(faultOf), zoneName: zone?.name };
}
