/**
 * `npm run init -- --adopt`: names what somebody made by hand under the names that the stack wants, and brings it into the
 * stack's state (`pulumi import`). Nothing in the accounts changes by that; the next `pulumi preview` shows what will.
 *
 * The resource option `import` does not do here: it refuses whatever differs from the program in the least, and something
 * made by hand always does.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Cloudflare from "cloudflare";
import { z } from "zod";
import type { AtlasLookups } from "../../../accounts/atlas.ts";
import { type CloudflareAccess, cloudflareLookups } from "../../../accounts/cloudflare.ts";
import type { LookupResult } from "../../../accounts/lookup-result.ts";
import type { StackConfig } from "../../../config/config.ts";
import { type Engine, run } from "../../pulumi.ts";
import { InitRefusal } from "../../refusal.ts";
import { answerOf } from "../cloudflare.ts";
import type { Asker } from "../prompts.ts";
import { findAdoptable } from "./find.ts";
import { type Deployed, importFile, notYetOurs } from "./import-file.ts";
import { type TokenVersions, tokenVersions } from "./token-versions.ts";

/** What is needed to look and to take over. */
export interface Adoption {
  readonly engine: Engine;
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
 * @returns how many were taken over, and what the stack file must say of the tokens among them
 * @throws InitRefusal when an account cannot be asked, the person says no, or the engine does
 */
export async function adopt(adoption: Adoption): Promise<{ count: number; versions: TokenVersions }> {
  const { engine, stack, config, asker } = adoption;
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
  const facts = {
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
  const { adoptable, left } = await findAdoptable(facts, (id) => ingressOf(adoption.cloudflare, accountId, id));
  const deployed = await deployedOf(engine, stack);
  const taken = notYetOurs(adoptable, deployed);

  for (const { shown, means } of taken) {
    console.log(`\n  ${shown}`);
    for (const line of means) console.log(`    at the next \`pulumi up\`: ${line}`);
  }
  for (const line of left) console.log(`\n  not taken over: ${line}`);
  if (taken.length === 0) {
    console.log("\n  nothing to take over");
    return { count: 0, versions: new Map() };
  }
  const question = `Take ${taken.length === 1 ? "it" : `these ${taken.length}`} over into the stack ${stack}?`;
  if (!(await asker.agree(question, true))) throw new InitRefusal("nothing was taken over");
  await bringIn(engine, stack, importFile(taken, deployed, await packageVersions(engine)));
  return { count: taken.length, versions: tokenVersions(taken, tokens, config.access.servers, new Date()) };
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

const stateSchema = z.object({
  deployment: z
    .object({
      resources: z.array(z.object({ urn: z.string(), type: z.string(), id: z.string().optional() })).optional(),
    })
    .nullish(),
});

async function deployedOf(engine: Engine, stack: string): Promise<Deployed[]> {
  const ran = await run(engine, ["stack", "export", "--stack", stack]);
  if (ran.code !== 0) throw new InitRefusal(`the stack's state cannot be read: ${ran.stderr.trim()}`);
  return stateSchema.parse(JSON.parse(ran.stdout)).deployment?.resources ?? [];
}

/** `cloudflare` → `6.22.1`, of package.json. */
async function packageVersions({ project }: Engine): Promise<Record<string, string>> {
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(await readFile(join(project, "package.json"), "utf8")));
  return Object.fromEntries(
    Object.entries(dependencies).flatMap(([name, version]) =>
      name.startsWith("@pulumi/") ? [[name.slice("@pulumi/".length), version]] : [],
    ),
  );
}

async function bringIn(engine: Engine, stack: string, content: ReturnType<typeof importFile>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "slm-adopt-"));
  try {
    const file = join(folder, "import.json");
    await writeFile(file, JSON.stringify(content, null, 2));
    const args = ["import", "--file", file, "--stack", stack, "--yes", "--generate-code=false"];
    const ran = await run(engine, args);
    if (ran.code === 0) return;
    throw new InitRefusal(
      `\`pulumi import\` ended with ${ran.code}; nothing in the accounts was changed:\n${ran.stdout}${ran.stderr}`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
