/** Mode `saas` has two phases: Access and the tunnel take a custom hostname only once it is active. */
import { kindOf } from "../config/resource-types.ts";
import type { RouteConfig } from "../config/route.ts";
import type { DeployedResource } from "./deployed.ts";
import type { RouteLookups } from "./route-check.ts";

/**
 * Access needs an active custom hostname. Until then the name is not in Access and not in the tunnel's ingress, where a
 * request for it would get 404. A name that was deployed stays, whatever its state is now: callers use it.
 * @returns whether Access and the ingress have the custom hostname; false in other modes
 */
export async function servesCustomHostname(
  { mode, saasHostname }: RouteConfig,
  lookups: Pick<RouteLookups, "customHostnameStatus">,
  deployed: readonly DeployedResource[],
): Promise<boolean> {
  if (mode !== "saas" || saasHostname === undefined) return false;
  if (deployed.some((resource) => routes(resource, saasHostname))) return true;
  return (await lookups.customHostnameStatus(saasHostname)) === "active";
}

function routes({ type, outputs }: DeployedResource, hostname: string): boolean {
  if (kindOf(type) !== "ingress") return false;
  const { ingresses } = (outputs.config ?? {}) as { ingresses?: unknown };
  return Array.isArray(ingresses) && ingresses.some((rule: { hostname?: unknown }) => rule.hostname === hostname);
}
