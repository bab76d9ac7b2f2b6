/** The Cloudflare API token that a stack needs, as a link to a prefilled form and a list to compare with. */
import { dashboardName, type Permission } from "../../accounts/permissions.ts";

/**
 * Keys of the form's parameter, by permission. The tunnel's and the service tokens' are not in Cloudflare's table: the tunnel's
 * is known to work, the service tokens' is unknown, so the user ticks that one.
 * @see https://developers.cloudflare.com/fundamentals/api/how-to/account-owned-token-template/
 */
const keys: Readonly<Record<string, string>> = {
  "Cloudflare Tunnel": "argotunnel",
  "Access: Apps and Policies": "access",
  "Access: Organizations, Identity Providers, and Groups": "access_acct",
  DNS: "dns",
  Zone: "zone",
  "SSL and Certificates": "ssl_and_certificates",
};

const level = ({ level: wanted }: Permission): "Edit" | "Read" => (wanted === "Write" ? "Edit" : "Read");

/**
 * @returns the form for a token that belongs to the account, with the account's permissions ticked. One link cannot tick a
 * zone's as well: the form has one scope per policy, and drops what is not of it.
 */
export function tokenFormUrl(permissions: readonly Permission[], name = "slm-network"): string {
  const ticked = permissions.flatMap((permission) => {
    const key = keys[permission.group];
    return permission.scope === "Account" && key !== undefined ? [{ key, type: level(permission).toLowerCase() }] : [];
  });
  const query = `permissionGroupKeys=${encodeURIComponent(JSON.stringify(ticked))}&name=${encodeURIComponent(name)}`;
  return `https://dash.cloudflare.com/?to=/:account/api-tokens&${query}`;
}

/** @returns what to do, line by line */
export function tokenInstructions(permissions: readonly Permission[]): string[] {
  const zone = permissions.filter(({ scope }) => scope === "Zone");
  const account = permissions.filter(({ scope }) => scope === "Account");
  const unticked = account.filter(({ group }) => keys[group] === undefined);
  return [
    "Create an API token that belongs to the account, so that it outlives the person who makes it:",
    `  1. Open ${tokenFormUrl(permissions)}`,
    `     It ticks ${account
      .filter((one) => !unticked.includes(one))
      .map(dashboardName)
      .join(", ")}.`,
    ...(unticked.length > 0 ? [`     Tick as well: ${unticked.map(dashboardName).join(", ")}.`] : []),
    `  2. "Add policy", for your domain only: ${zone.map(dashboardName).join(", ")}.`,
    "  3. Set an expiration date, and allow this office's public address only (Client IP Address Filtering).",
    "  4. Create it and copy the value.",
  ];
}
