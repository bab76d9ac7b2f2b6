/**
 * What the providers, the engine and SSH say when something that is known goes wrong, and what to do about it. Pulumi prints
 * their raw words and cannot be made to say more; this is read after it has.
 */

import type { KnownError } from "./known-error.ts";
import { providerErrors } from "./provider-errors.ts";

/** `POST "https://api.cloudflare.com/client/v4/accounts/…": 403 …`, with and without the host, as the providers write it. */
const call = (statuses: string) =>
  new RegExp(
    `\\b(GET|POST|PUT|PATCH|DELETE) "?(?:https?://[^\\s"/]+(?:/client/v4)?)?(/(?:accounts|zones)/[^\\s":]*)"?: (?:${statuses})\\b`,
  );

const groups: readonly (readonly [RegExp, string])[] = [
  [/\/cfd_tunnel/, "Account · Cloudflare Tunnel"],
  [/\/access\/(apps|policies)/, "Account · Access: Apps and Policies"],
  [/\/access\/service_tokens/, "Account · Access: Service Tokens"],
  [/\/access\//, "Account · Access: Organizations, Identity Providers, and Groups"],
  [/\/alerting\//, "Account · Notifications"],
  [/\/load_balancers\/(monitors|pools)/, "Account · Load Balancing: Monitors and Pools"],
  [/\/load_balancers/, "Zone · Load Balancers"],
  [/\/custom_hostnames/, "Zone · SSL and Certificates"],
  [/\/dns_records|\/regional_hostnames/, "Zone · DNS"],
  [/^\/zones\//, "Zone · Zone"],
];

/** The permission that a call needs, as the dashboard shows it. */
export function permissionFor(method: string, path: string): string | undefined {
  const group = groups.find(([pattern]) => pattern.test(path))?.[1];
  return group && `${group} · ${method === "GET" ? "Read" : "Edit"}`;
}

const tokensPage = "dash.cloudflare.com → My Profile → API Tokens → Edit";
const preflight = "`npm run preflight` names everything else that is missing";
const adopt = "`npm run preflight` shows what is there; `npm run init -- --adopt` says what can be taken over";

/** In no order: all that fit are shown. */
export const knownErrors: readonly KnownError[] = [
  ...providerErrors,
  // Cloudflare
  {
    id: "cloudflare.not-enabled",
    pattern: /access\.api\.error\.not_enabled/,
    says: () => "Zero Trust is not set up in the Cloudflare account",
    todo: () => "Open https://one.dash.cloudflare.com once and choose a team name and a plan, then run it again",
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
    says: () => "Cloudflare does not know the API token, or there is none",
    todo: () => "export CLOUDFLARE_API_TOKEN=<the token's value>, without spaces",
  },
  {
    id: "cloudflare.global-key",
    pattern: /Unknown X-Auth-Key or X-Auth-Email|Invalid format for X-Auth-(?:Key|Email)/,
    says: () => "Cloudflare refuses a global API key that goes out beside the API token",
    todo: () => "unset CLOUDFLARE_API_KEY CLOUDFLARE_EMAIL CLOUDFLARE_API_USER_SERVICE_KEY: the API token is enough",
  },
  {
    id: "cloudflare.record-taken",
    pattern:
      /\b(81053|81054|81057|81058)\b|record with that host already exists|record already exists|identical record/i,
    says: () => "the hostname has a DNS record already, made by somebody else",
    todo: () => `Take another hostname, or delete that record (dash.cloudflare.com → the zone → DNS). ${adopt}`,
  },
  {
    id: "cloudflare.tunnel-taken",
    pattern: /\b1013\b.{0,80}tunnel|already have a tunnel with this name/i,
    says: () => "there is a tunnel of this name already, which this stack did not make",
    todo: () =>
      `Rename or delete it (one.dash.cloudflare.com → Networks → Tunnels); after a killed \`up\`: \`npm run recover\`. ${adopt}`,
  },
  {
    id: "cloudflare.application-taken",
    pattern: /application_already_exists/,
    says: () => "an Access application of somebody else's has the hostname already",
    todo: () => `Delete it (one.dash.cloudflare.com → Access → Applications). ${adopt}`,
  },
  {
    id: "cloudflare.in-use",
    pattern: /tunnel.{0,120}active connections/i,
    says: () => "the tunnel cannot be deleted while a connector holds connections",
    todo: () => "Stop cloudflared on the Mac (or wherever it runs) and run it again",
  },
  {
    id: "cloudflare.plan",
    pattern:
      /not (?:entitled|allowed|available|permitted).{0,60}\bplan\b|entitlement|upgrade (?:your|the) plan|requires? (?:an? )?(?:Enterprise|Business|Pro|paid) plan|not entitled/i,
    says: () => "the account's or zone's plan does not have this",
    todo: () =>
      "docs/routes.md says what each route needs; route.mode: proxied works on every plan. Or buy the add-on, and run it again",
  },
  {
    id: "cloudflare.quota",
    pattern:
      /quota (?:has been )?exceeded|exceeded.{0,30}quota|\b81045\b|maximum number of|limit (?:has been )?reached/i,
    says: () => "a quota of the account is used up",
    todo: () => "Remove what is not used any more (dashboard), or ask for more; then run it again",
  },
  {
    id: "cloudflare.rate",
    pattern: /More than 1200 requests|\b971\b.{0,60}wait|: 429\b|429 Too Many Requests|RATE_LIMITED/i,
    says: () => "too many calls in a short time",
    todo: () => "Wait five minutes and run it again: it goes on where it stopped",
  },
  {
    id: "cloudflare.browser-check",
    pattern: /error code: ?1010|Error 1010\b|"error_code": ?1010/i,
    says: () =>
      "Cloudflare refuses the caller by its User-Agent (error 1010, Browser Integrity Check), before Access sees the token",
    todo: () =>
      "Switch Browser Integrity Check off for the hostname (dash.cloudflare.com → the zone → Rules → Configuration Rules), or have the caller send another User-Agent",
  },
  // Atlas
  {
    id: "atlas.address",
    pattern:
      /IP_ADDRESS_NOT_ON_ACCESS_LIST|ORG_REQUIRES_ACCESS_LIST|IP address ([0-9a-f.:]+) is not allowed to access this resource/i,
    says: (match) => `the Atlas API key may not be used from this machine's address${addressIn(match)}`,
    todo: () =>
      "Add the address to the key's own API Access List (cloud.mongodb.com → Project Access → Applications → API Keys → Edit); the database's list is another",
  },
  {
    id: "atlas.permission",
    pattern: /USER_UNAUTHORIZED|USER_CANNOT_ACCESS_(?:GROUP|ORG)|not authorized to perform this action/i,
    says: () => "the Atlas API key may not do this",
    todo: () => "Give it the role Project Owner in the project (Project Access → Applications → API Keys → Edit)",
  },
  {
    id: "atlas.key",
    pattern: /\bUNAUTHORIZED\b.{0,120}not authorized for this resource|You are not authorized for this resource/i,
    says: () => "Atlas does not know the API key",
    todo: () => "export MONGODB_ATLAS_PUBLIC_KEY=… MONGODB_ATLAS_PRIVATE_KEY=…; make a new one if need be",
  },
  {
    id: "atlas.half-key",
    pattern: /API Key (?:will be|is being) used but (Public|Private) Key is required/,
    says: ([, half = ""]) => `the ${half.toLowerCase()} half of the Atlas API key is missing where the other half is`,
    todo: () =>
      "Both halves in the environment (MONGODB_ATLAS_PUBLIC_KEY, MONGODB_ATLAS_PRIVATE_KEY), or both in the stack's config",
  },
  {
    id: "atlas.user-taken",
    pattern: /USER_ALREADY_EXISTS/,
    says: () => "a database user of this name is there already, which this stack did not make",
    todo: () => `Use another documents.atlas.database, or delete that user (Atlas → Database Access). ${adopt}`,
  },
  {
    id: "atlas.cluster-taken",
    pattern: /DUPLICATE_CLUSTER_NAME/,
    says: () => "a cluster of this name is there already",
    todo: () => "Use it (documents.atlas.cluster: <its name>), or take another name",
  },
  {
    id: "atlas.cluster-missing",
    pattern: /CLUSTER_NOT_FOUND/,
    says: () => "the project has no cluster of this name",
    todo: () => "Correct documents.atlas.cluster: `npm run preflight` lists those that are there",
  },
  {
    id: "atlas.project",
    pattern: /GROUP_NOT_FOUND|INVALID_GROUP_ID/,
    says: () => "the Atlas API key sees no such project",
    todo: () => "Correct documents.atlas.projectId (Atlas → Project Settings), or invite the key to the project",
  },
  {
    id: "atlas.payment",
    pattern: /NO_PAYMENT_INFORMATION_FOUND|payment (?:information|method)/i,
    says: () => "Atlas wants a way to pay before it makes this cluster",
    todo: () => "Add one (Atlas → Billing), or use an existing cluster",
  },
  // The Mac
  {
    id: "ssh.host-key",
    pattern:
      /host key mismatch|knownhosts: key mismatch|HOST IDENTIFICATION HAS CHANGED|is not the host whose key the config has|presented a host key that differs from the config/i,
    says: () =>
      "the Mac showed another host key than the config's (another machine at that address, or macOS was reinstalled)",
    todo: () =>
      "Compare `ssh-keyscan -t ed25519 <host>` with what the Mac itself shows (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) before macs[0].hostKey is changed",
  },
  {
    id: "ssh.refused",
    pattern:
      /unable to authenticate|All configured authentication methods failed|Permission denied \(publickey|does not let \S+ in with this key|refused \S+ with this key/i,
    says: () => "the Mac does not take the SSH key",
    todo: () =>
      "`ssh-add -l` shows the agent's keys; put the public one into ~/.ssh/authorized_keys of macs[0].user on the Mac (`ssh-copy-id`)",
  },
  {
    id: "ssh.agent",
    pattern: /SSH agent.{0,80}(?:does not answer|not found)|SSH_AUTH_SOCK/,
    says: () => "there is no SSH agent with a key",
    todo: () => '`eval "$(ssh-agent)" && ssh-add` in this terminal',
  },
  {
    id: "ssh.unreachable",
    general: true,
    pattern:
      /dial tcp \S+:\d+: (?:connect: |i\/o )?(.{0,60})|connect (?:ECONNREFUSED|EHOSTUNREACH|ETIMEDOUT) (\S+)|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)/,
    says: ([text = ""]) => `a host does not answer (${text.trim()})`,
    todo: () =>
      "When it is the Mac: is it on, in this network, and is Remote Login on? `npm run preflight` shows which step fails",
  },
  {
    id: "mac.former",
    pattern:
      /former one at (\S+).{0,40} (?:cannot be reached to take it out of service|could not be taken out of service)/,
    says: ([, where = ""]) => `the Mac that was moved away from (${where}) does not answer, so it may go on serving`,
    todo: () =>
      "Switch it on and run it again; if it is gone for good: `previous: gone` in macs[0] of the stack file, run it again, then take that line out",
  },
  {
    id: "mac.removal",
    pattern: /the Mac at (\S+).{0,40} cannot be reached, so nothing can be removed from it/,
    says: ([, where = ""]) => `the Mac (${where}) does not answer, so it cannot be uninstalled`,
    todo: () =>
      "Switch it on and run it again; if it is gone for good: `skipRemoval: true` in macs[0], `pulumi up`, then `pulumi destroy`",
  },
  {
    id: "mac.read-only-key",
    pattern: /the key that signs in as (\S+) on (\S+) runs a forced command there/,
    says: ([, user = "", where = ""]) => `the key for ${user} on ${where} can only read the Mac's state`,
    todo: () => "Use the deploy key: SLM_NETWORK_SSH_KEY=<file>, or the SSH agent with SLM_NETWORK_SSH_KEY unset",
  },
  {
    id: "mac.sudo",
    pattern: /sudo: a password is required|sudo: (?:a )?terminal is required|may not run sudo|may not use `sudo -n`/i,
    says: () => "the account on the Mac may not use `sudo -n`",
    todo: () => "On the Mac, once: `echo '<user> ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/slm-network`",
  },
  // Pulumi
  {
    id: "pulumi.passphrase",
    pattern: /incorrect passphrase|passphrase must be set/,
    says: () => "the stack's passphrase is missing or another one",
    todo: () =>
      "export PULUMI_CONFIG_PASSPHRASE=… (or PULUMI_CONFIG_PASSPHRASE_FILE): the one that the stack was made with",
  },
  {
    id: "pulumi.locked",
    pattern: /currently locked by \d+ lock|\[409\] Conflict: Another update is currently in progress/,
    says: () => "another run holds the stack, or one was killed",
    todo: () => "See that nobody else deploys; then `pulumi cancel`, `npm run recover`, and run it again",
  },
  {
    id: "pulumi.pending",
    pattern: /pending (?:operations|creates?)|interrupted while (?:creating|updating)/i,
    says: () => "an earlier run was killed while it made something",
    todo: () => "`npm run recover` shows what it may have left in the accounts; then run it again",
  },
  {
    id: "pulumi.protected",
    pattern: /cannot be deleted.{0,40}protected|marked for protection/i,
    says: () => "what would be deleted holds state and is protected",
    todo: () => "When it is meant: `pulumi config set protect false`, `npm run up`, and then again",
  },
  {
    id: "pulumi.plugin",
    pattern: /no resource plugin|could not (?:find|download) plugin|failed to (?:install|download) plugin/i,
    says: () => "a provider's plugin is missing and could not be downloaded",
    todo: () => "`pulumi install` with a way to get.pulumi.com and github.com",
  },
  {
    id: "network",
    pattern:
      /fetch failed|no such host|network is unreachable|TLS handshake timeout|\b50[234] (?:Bad Gateway|Service Unavailable|Gateway Time)/i,
    general: true,
    says: () => "an account's API did not answer",
    todo: () =>
      "Run it again: it goes on where it stopped. https://www.cloudflarestatus.com and https://status.mongodb.com say whether it is them",
  },
];

function addressIn(match: RegExpExecArray): string {
  const address = match[1] ?? /IP address ([0-9a-f.:]+) is not allowed/i.exec(match.input)?.[1];
  return address ? ` (${address})` : "";
}
