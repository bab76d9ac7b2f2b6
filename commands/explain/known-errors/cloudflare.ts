/** Errors of Cloudflare's API, as the provider prints them. */
import type { PermissionGroup } from "../../../config/resource-types.ts";
import { adopt, type KnownError } from "../known-error.ts";

/** `POST "https://api.cloudflare.com/client/v4/accounts/…": 403 …`, with or without the host, as the providers print it. */
const call = (statuses: string) =>
  new RegExp(
    `\\b(GET|POST|PUT|PATCH|DELETE) "?(?:https?://[^\\s"/]+(?:/client/v4)?)?(/(?:accounts|zones)/[^\\s":]*)"?: (?:${statuses})\\b`,
  );

/** Groups of resources that this program does not declare, but that a program built on it may. */
type OtherGroup = "Load Balancing: Monitors and Pools" | "Load Balancers";

/** The permission group of a path; the first pattern that fits counts. */
const groups: readonly (readonly [RegExp, "Account" | "Zone", PermissionGroup | OtherGroup])[] = [
  [/\/cfd_tunnel/, "Account", "Cloudflare Tunnel"],
  [/\/access\/(apps|policies)/, "Account", "Access: Apps and Policies"],
  [/\/access\/service_tokens/, "Account", "Access: Service Tokens"],
  [/\/access\//, "Account", "Access: Organizations, Identity Providers, and Groups"],
  [/\/alerting\//, "Account", "Notifications"],
  [/\/load_balancers\/(monitors|pools)/, "Account", "Load Balancing: Monitors and Pools"],
  [/\/load_balancers/, "Zone", "Load Balancers"],
  [/\/custom_hostnames/, "Zone", "SSL and Certificates"],
  [/\/dns_records|\/regional_hostnames/, "Zone", "DNS"],
  [/^\/zones\//, "Zone", "Zone"],
];

/** @returns the permission that a call needs, as the dashboard names it */
export function permissionFor(method: string, path: string): string | undefined {
  const found = groups.find(([pattern]) => pattern.test(path));
  return found && `${found[1]} · ${found[2]} · ${method === "GET" ? "Read" : "Edit"}`;
}

const tokensPage = "dash.cloudflare.com → Manage Account (or My Profile) → API Tokens → Edit";
const preflight = "`npm run preflight` lists everything else that is missing";

export const cloudflareErrors: readonly KnownError[] = [
  {
    id: "cloudflare.not-enabled",
    pattern: /access\.api\.error\.not_enabled/,
    says: () => "Zero Trust is not set up in the Cloudflare account",
    todo: () => "Open https://one.dash.cloudflare.com, choose a team name and a plan, then run it again",
  },
  {
    id: "cloudflare.permission",
    pattern: new RegExp(`${call("401|403").source}(?!.{0,400}(?:not_enabled|9109|9103|entitle|plan|quota))`),
    says: ([, method = "", path = ""]) =>
      `the Cloudflare API token lacks a permission: ${permissionFor(method, path) ?? `to ${method} ${path}`}`,
    todo: () => `Add it (${tokensPage}); ${preflight}`,
  },
  {
    id: "cloudflare.no-access",
    pattern: new RegExp(`${call("403").source}.{0,300}9109`),
    says: ([, , path = ""]) =>
      `the Cloudflare API token is for other accounts or zones than ${path.split("/").slice(0, 3).join("/")}`,
    todo: () =>
      `Add it under Account Resources or Zone Resources (${tokensPage}), or correct accountId and zoneId in the stack's config`,
  },
  {
    id: "cloudflare.token",
    pattern:
      /Invalid access token|Invalid API Token|Invalid request headers|"code": ?6003|credentials are not set correctly/i,
    says: () => "Cloudflare does not accept the API token, or none is set",
    todo: () =>
      "Put CLOUDFLARE_API_TOKEN=<its value> into .env, without spaces; `npm run init` links to a form for a new one",
  },
  {
    id: "cloudflare.global-key",
    pattern: /Unknown X-Auth-Key or X-Auth-Email|Invalid format for X-Auth-(?:Key|Email)/,
    says: () => "Cloudflare refuses the global API key that is sent beside the API token",
    todo: () => "unset CLOUDFLARE_API_KEY CLOUDFLARE_EMAIL CLOUDFLARE_API_USER_SERVICE_KEY: the API token is enough",
  },
  {
    id: "cloudflare.record-taken",
    pattern:
      /\b(81053|81054|81057|81058)\b|record with that host already exists|record already exists|identical record/i,
    says: () => "the hostname already has a DNS record that this stack did not create",
    todo: () => `Take another hostname, or delete that record (dash.cloudflare.com → the zone → DNS). ${adopt}`,
  },
  {
    id: "cloudflare.tunnel-taken",
    pattern: /\b1013\b.{0,80}tunnel|already have a tunnel with this name/i,
    says: () => "a tunnel with this name exists already, and this stack did not create it",
    todo: () =>
      `Rename or delete it (one.dash.cloudflare.com → Networks → Tunnels); after a killed \`up\`: \`npm run recover\`. ${adopt}`,
  },
  {
    id: "cloudflare.application-taken",
    pattern: /application_already_exists/,
    says: () => "an Access application outside this stack already covers the hostname",
    todo: () => `Delete it (one.dash.cloudflare.com → Access → Applications). ${adopt}`,
  },
  {
    id: "cloudflare.in-use",
    pattern: /tunnel.{0,120}active connections/i,
    says: () => "the tunnel cannot be deleted while a connector is connected",
    todo: () => "Stop cloudflared on the Mac (or wherever it runs), then run it again",
  },
  {
    id: "cloudflare.plan",
    pattern:
      /not (?:entitled|allowed|available|permitted).{0,60}\bplan\b|entitlement|upgrade (?:your|the) plan|requires? (?:an? )?(?:Enterprise|Business|Pro|paid) plan|not entitled/i,
    says: () => "the plan of the account or zone does not include this",
    todo: () =>
      "docs/routes.md lists what each route needs; route.mode: proxied works on every plan. Or buy the add-on and run it again",
  },
  {
    id: "cloudflare.quota",
    pattern:
      /quota (?:has been )?exceeded|exceeded.{0,30}quota|\b81045\b|maximum number of|limit (?:has been )?reached/i,
    says: () => "a quota of the account is exhausted",
    todo: () => "Delete what is no longer used (dashboard), or request a higher quota; then run it again",
  },
  {
    id: "cloudflare.rate",
    pattern: /More than 1200 requests|\b971\b.{0,60}wait|: 429\b|429 Too Many Requests|RATE_LIMITED/i,
    says: () => "too many calls in a short time",
    todo: () => "Wait five minutes and run it again: it continues where it stopped",
  },
  {
    id: "cloudflare.browser-check",
    pattern: /error code: ?1010|Error 1010\b|"error_code": ?1010/i,
    says: () =>
      "Cloudflare refuses the caller by its User-Agent (error 1010, Browser Integrity Check), before Access sees the token",
    todo: () =>
      "Turn Browser Integrity Check off for the hostname (dash.cloudflare.com → the zone → Rules → Configuration Rules), or have the caller send another User-Agent",
  },
];
