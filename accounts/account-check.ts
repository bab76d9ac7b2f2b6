/** What `up` and `preview` look at by themselves before anything is declared: the cheap part of `npm run preflight`. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../config/resource-types.ts";
import type { CloudflareAccess } from "./cloudflare.ts";
import type { WantedStack } from "./cloudflare-readiness.ts";
import type { Owned } from "./collisions.ts";
import { signsInByGlobalKey } from "./credentials.ts";
import type { DeployedResource } from "./deployed.ts";
import { problemText } from "./finding.ts";

/**
 * Asks the account at once for everything that would make the first resource fail, and those after it. In a preview only
 * for what a preview needs, so that a token which may only read is enough.
 * @returns a problem for each, with what to do; and the zone's name, when the token may read it. What the account did not
 * answer is logged and left to the provider.
 */
export async function accountProblems(
  wanted: WantedStack,
  access: CloudflareAccess,
  deployed: readonly DeployedResource[],
): Promise<{ problems: string[]; zoneName?: string | undefined }> {
  if (signsInByGlobalKey(access)) return { problems: [] };
  const { cloudflareReadiness: cloudflareReady } = await import("./cloudflare-readiness.ts"); // the client takes a moment to load
  // The outputs that the engine shows of a state have no ids: what is there of a kind counts as the stack's own.
  const owned: Owned = (kind) => deployed.some(({ type }) => type === typeToken(kind));
  const { findings, zone } = await cloudflareReady(wanted, { access, owned, readOnly: pulumi.runtime.isDryRun() });
  for (const finding of findings) if (finding.level === "warn") await pulumi.log.warn(problemText(finding));
  return { problems: findings.filter(({ level }) => level === "fail").map(problemText), zoneName: zone?.name };
}
