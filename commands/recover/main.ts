/**
 * `npm run recover`: after a `pulumi up` that was killed (SIGKILL, a power cut, a lost runner), shows what it made in the
 * accounts without being able to note it; `-- --yes` removes that and the notes of unfinished creations, so that the next
 * `pulumi up` makes it once. Needs what `pulumi up` needs: the stack (PULUMI_STACK or `pulumi stack select`) and credentials
 * that may write. Touches nothing that the state knows. After an `up` that was only stopped (Ctrl-C) there is nothing to do.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { z } from "zod";
import { atlasSource, cloudflareAccess } from "../../accounts/credentials.ts";
import { problemText } from "../../accounts/finding.ts";
import { readStackConfig } from "../../config/config.ts";
import type { Deployed } from "../init/adopt/import-file.ts";
import { readConfig } from "../stack.ts";
import { clusterImport, missingCluster } from "./lost-cluster.ts";
import { exportSchema, itemSchema, orphans, type Search, searches } from "./orphans.ts";

const { values } = parseArgs({ options: { yes: { type: "boolean" } } });
const listSchema = z.object({ result: z.array(itemSchema).optional(), results: z.array(itemSchema).optional() });

/** Runs a program to its end. @throws with what it said */
async function run(program: string, args: string[], input = ""): Promise<string> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {}); // its exit code says why
  child.stdin.end(input);
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (code !== 0) throw new Error(`\`${program} ${args.join(" ")}\` ended with ${code}: ${stderr || stdout}`);
  return stdout;
}
const pulumi = (...args: string[]) => run("pulumi", [...args, "--non-interactive", "--color=never"]);

function needed(value: string | undefined, name: string): string {
  if (!value) throw new Error(`${name} is not set: recovery needs the credentials that \`pulumi up\` has`);
  return value;
}

const config = readConfig(await pulumi("config", "--json", "--show-secrets"));
const toCloudflare = cloudflareAccess((key) => config.get(key));
const toAtlas = atlasSource((key) => config.get(key));
const address = (baseUrl: string | undefined, standard: string) => (baseUrl ?? standard).replace(/\/+$/, "");
const cloudflareUrl = address(toCloudflare.baseUrl, "https://api.cloudflare.com/client/v4");
const atlasUrl = address(toAtlas.access.baseUrl, "https://cloud.mongodb.com");

async function cloudflare(method: string, path: string): Promise<unknown> {
  const headers = { authorization: `Bearer ${needed(toCloudflare.apiToken, "CLOUDFLARE_API_TOKEN")}` };
  const response = await fetch(cloudflareUrl + path, { method, headers, signal: AbortSignal.timeout(30_000) });
  const body = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${body}`);
  return JSON.parse(body);
}

/** By curl, which knows digest authentication; its options come by standard input, so the key is in no process list. */
async function atlas(method: string, path: string, version = "2023-01-01"): Promise<unknown> {
  const { access, findings, usable } = toAtlas;
  const wrong = findings.find(({ level }) => level === "fail") ?? (usable ? undefined : findings[0]);
  if (wrong) throw new Error(problemText(wrong));
  const publicKey = needed(access.publicKey, "MONGODB_ATLAS_PUBLIC_KEY");
  const user = `${publicKey}:${needed(access.privateKey, "MONGODB_ATLAS_PRIVATE_KEY")}`;
  const options = [
    "digest\nsilent\nshow-error\nfail-with-body\nmax-time = 30",
    `user = ${JSON.stringify(user)}`,
    `request = ${method}`,
    `header = "accept: application/vnd.atlas.${version}+json"`,
    `url = ${JSON.stringify(`${atlasUrl}/api/atlas/v2${path}`)}`,
  ];
  const body = await run("curl", ["--config", "-"], options.join("\n"));
  return body === "" ? {} : JSON.parse(body);
}
const call = { cloudflare, atlas };

/** The path to one of what `search` lists. */
function pathOf(search: Search, id: string): string {
  const collection = search.path.split("?")[0];
  return `${collection}/${search.idPrefix}${encodeURIComponent(id)}`;
}

const deployedSchema = z.object({
  deployment: z.object({
    resources: z.array(z.object({ urn: z.string(), type: z.string(), id: z.string().optional() })).default([]),
  }),
});
const manifestSchema = z.object({ dependencies: z.record(z.string(), z.string()) });
const clustersSchema = z.object({ results: z.array(z.object({ name: z.string(), stateName: z.string() })) });

/** Shows a Flex cluster that the config declares, Atlas has, and the state lacks; `--yes` imports it. @returns whether there is one */
async function lostCluster(): Promise<boolean> {
  const { documents } = readStackConfig({ get: (key) => config.get(`slm-network:${key}`) });
  const exported: unknown = JSON.parse(await pulumi("stack", "export"));
  const deployed: readonly Deployed[] = deployedSchema.parse(exported).deployment.resources;
  const wanted = missingCluster(documents, deployed);
  if (!wanted) return false;
  const listed = await atlas("GET", `/groups/${wanted.projectId}/flexClusters?itemsPerPage=500`, "2024-11-13");
  const found = clustersSchema.parse(listed).results.find(({ name }) => name === wanted.name);
  if (!found) return false;
  console.log(
    `Atlas has the Flex cluster ${JSON.stringify(found.name)} (${found.stateName}), which the config declares and the state does not know. It is paid for.`,
  );
  if (!values.yes) {
    console.log("If this stack made it: npm run recover -- --yes imports it. Nothing in Atlas changes by that.");
    return true;
  }
  const manifest: unknown = JSON.parse(await readFile(join(import.meta.dirname, "../../package.json"), "utf8"));
  const versions = Object.entries(manifestSchema.parse(manifest).dependencies).flatMap(([name, version]) =>
    name.startsWith("@pulumi/") ? [[name.slice("@pulumi/".length), version] as const] : [],
  );
  const folder = await mkdtemp(join(tmpdir(), "slm-recover-"));
  try {
    const file = join(folder, "import.json");
    await writeFile(file, JSON.stringify(clusterImport(wanted, deployed, Object.fromEntries(versions))));
    await pulumi("import", "--file", file, "--yes", "--generate-code=false");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log("It is imported. Run `pulumi up` now.");
  return true;
}

const state = exportSchema.parse(JSON.parse(await pulumi("stack", "export")));
const unfinished = state.deployment.pending_operations.filter(({ type }) => type === "creating");
let found = 0;
for (const search of searches(state)) {
  const { result, results } = listSchema.parse(await call[search.api]("GET", search.path));
  for (const item of orphans(search, result ?? results ?? [], state)) {
    found += 1;
    const id = String(item[search.idField]);
    const since = item.created_at ?? item.created_on ?? item.created ?? "an unknown time";
    console.log(
      `${search.urn.split("::").at(-1)}: ${JSON.stringify(search.match)}, id ${id}, made at ${String(since)}`,
    );
    if (values.yes) await call[search.api]("DELETE", pathOf(search, id));
  }
}
const cluster = await lostCluster();
if (unfinished.length === 0) {
  if (!cluster) console.log("The state has no unfinished creation: nothing to recover.");
} else if (values.yes) {
  await pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
  console.log(`${found} removed, ${unfinished.length} notes of unfinished creations cleared. Run \`pulumi up\` now.`);
} else {
  console.log(
    `${unfinished.length} unfinished creations, ${found} things that only they can have made. If none of them was made by hand: npm run recover -- --yes`,
  );
}
