/**
 * `npm run init -- --adopt`: lists what exists under the names that the stack needs, and imports it into the stack's state
 * (`pulumi import`). That changes nothing in the accounts; the next `pulumi preview` shows what will change.
 *
 * The resource option `import` is not enough: it refuses anything that differs from the program, and what was made by hand
 * always does.
 */
import Cloudflare from "cloudflare";
import type { AtlasLookups } from "../../../accounts/atlas.ts";
import { type CloudflareAccess, cloudflareLookups } from "../../../accounts/cloudflare.ts";
import type { LookupResult } from "../../../accounts/lookup-result.ts";
import type { StackConfig } from "../../../config/config.ts";
import { Refusal } from "../../errors.ts";
import { runPulumi } from "../../pulumi-cli.ts";
import { answerOf } from "../cloudflare.ts";
import type { Asker } from "../prompts.ts";
import { findAdoptable } from "./find.ts";
import { importResources, packageVersions, readDeployed } from "./import.ts";
import { type Deployed, importFile, notYetOurs } from "./import-file.ts";
import { type TokenVersions, tokenVersions } from "./token-versions.ts";

/** What is needed to search and to import. */
export interface Adoption {
  readonly stack: string;
  readonly config: StackConfig;
  readonly cloudflare: CloudflareAccess;
  readonly atlas: AtlasLookups;
  /** `--token` */
  readonly tokensOf: ReadonlyMap<string, string>;
  readonly asker: Asker;
}

const todo = "README.md lists the permissions that are needed";

/**
 * @returns how many were adopted, and what the stack file must say of the tokens among them
 * @throws Refusal when an account cannot be read, the user declines, or the engine fails
 */
export async function adopt(adoption: Adoption): Promise<{ count: number; versions: TokenVersions }> {
  const { stack, config, asker } = adoption;
  const { accountId, zoneId, hostname, documents } = config;
  const lookups = cloudflareLookups(adoption.cloudflare);
  const ask = async <T>(question: Promise<LookupResult<T>>): Promise<T> => answerOf(await question, todo);
  const { store, atlas } = documents;
  const [records, tunnels, applications, policies, notifications, tokens, users] = await Promise.all([
    ask(lookups.dnsRecordsOf(zoneId, hostname)),
    ask(lookups.tunnels(accountId)),
    ask(lookups.accessApplications(accountId)),
    ask(lookups.accessPolicies(accountId)),
    config.alerts.emails.length > 0 ? ask(lookups.notificationPolicies(accountId)) : [],
    ask(lookups.serviceTokens(accountId)),
    store === "atlas" && atlas ? ask(adoption.atlas.databaseUsers(atlas.projectId)) : [],
  ]);
  const tunnelName = `slm-network-${stack.split("/").at(-1)}`;
  const lookedUp = {
    tunnelName,
    config,
    records,
    tunnels,
    applications,
    policies,
    notifications,
    tokens,
    users,
    tokensOf: adoption.tokensOf,
  };
  const { adoptable, left } = await findAdoptable(lookedUp, (id) => ingressOf(adoption.cloudflare, accountId, id));
  const deployed = await deployedOf(stack);
  const taken = notYetOurs(adoptable, deployed);

  for (const { shown, means } of taken) {
    console.log(`\n  ${shown}`);
    for (const line of means) console.log(`    at the next \`pulumi up\`: ${line}`);
  }
  for (const line of left) console.log(`\n  not adopted: ${line}`);
  if (taken.length === 0) {
    console.log("\n  nothing to adopt");
    return { count: 0, versions: new Map() };
  }
  const question = `Adopt ${taken.length === 1 ? "it" : `these ${taken.length}`} into the stack ${stack}?`;
  if (!(await asker.agree(question, true))) throw new Refusal("nothing was adopted");
  await importResources(stack, importFile(taken, deployed, await packageVersions()));
  return {
    count: taken.length,
    versions: tokenVersions(taken, tokens, [...config.access.servers, ...config.metrics.scrapers], new Date()),
  };
}

/** The tunnel's public names, as `name → service`. */
async function ingressOf(
  { apiToken, baseUrl }: CloudflareAccess,
  accountId: string,
  tunnelId: string,
): Promise<string[]> {
  const client = new Cloudflare({ apiToken, ...(baseUrl && { baseURL: baseUrl }) });
  const { config } = await client.zeroTrust.tunnels.cloudflared.configurations.get(tunnelId, { account_id: accountId });
  const rules: readonly { hostname?: string; service?: string }[] = config?.ingress ?? [];
  return rules.flatMap(({ hostname, service }) => (hostname ? [`${hostname} → ${service}`] : []));
}

async function deployedOf(stack: string): Promise<Deployed[]> {
  const ran = await runPulumi(["stack", "export", "--stack", stack]);
  if (ran.code !== 0) throw new Refusal(`the stack's state cannot be read: ${ran.stderr.trim()}`);
  return readDeployed(ran.stdout);
}
