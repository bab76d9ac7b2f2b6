/** What `up` and `preview` check in the Cloudflare account before anything is declared: the cheap part of `npm run preflight`. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../config/resource-types.ts";
import type { CloudflareAccess, CloudflareLookups } from "./cloudflare.ts";
import { cloudflareReadiness, type WantedStack } from "./cloudflare-readiness.ts";
import type { Owned } from "./collisions.ts";
import type { DeployedResource } from "./deployed.ts";
import { problemText } from "./finding.ts";

/** What the account said. */
export interface AccountCheck {
  /** Each with its fix. What the account did not answer is logged and left to the provider. */
  readonly problems: readonly string[];
  /** When the token may read it. */
  readonly zoneName?: string | undefined;
  /** `<team>.cloudflareaccess.com`, when the token may read it. */
  readonly authDomain?: string | undefined;
}

/**
 * Looks at once for everything that would make the first resource fail, and those after it. In a preview only for what a
 * preview needs, so that a token which may only read is enough.
 */
export async function checkAccount(
  wanted: WantedStack,
  { access, lookups }: { readonly access: CloudflareAccess; readonly lookups: CloudflareLookups },
  deployed: readonly DeployedResource[],
): Promise<AccountCheck> {
  // The engine shows a state's outputs without ids: every resource of a kind counts as the stack's own.
  const owned: Owned = (kind) => deployed.some(({ type }) => type === typeToken(kind));
  const { findings, zone, organization } = await cloudflareReadiness(wanted, {
    access,
    lookups,
    owned,
    readOnly: pulumi.runtime.isDryRun(),
  });
  for (const finding of findings) if (finding.level === "warn") await pulumi.log.warn(problemText(finding));
  return {
    problems: findings.filter(({ level }) => level === "fail").map(problemText),
    zoneName: zone?.name,
    authDomain: organization?.authDomain,
  };
}
