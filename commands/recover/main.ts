/**
 * `npm run recover`: after a `pulumi up` that was killed (SIGKILL, a power cut, a lost runner), lists what it created in the
 * accounts without recording it. `-- --yes` deletes that and the records of unfinished creations, so that the next `pulumi up`
 * creates each thing once. A Flex cluster that the config declares and the state lacks is imported instead (lost-cluster.ts).
 * After an `up` that was stopped by Ctrl-C there is nothing to do.
 */
import { z } from "zod";
import { atlasBase, atlasFetch } from "../../accounts/atlas-sign-in.ts";
import { atlasSource, cloudflareAccess } from "../../accounts/credentials.ts";
import { problemText } from "../../accounts/finding.ts";
import { readStackConfig } from "../../config/config.ts";
import { withoutSlash } from "../../runtime/base-url.ts";
import { jsonOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { importResources, packageVersions, readDeployed } from "../init/adopt/import.ts";
import { withProgress } from "../progress.ts";
import { runPulumi, stackName } from "../pulumi-cli.ts";
import { type ConfigText, readConfig } from "../stack.ts";
import { clusterImport, missingCluster } from "./lost-cluster.ts";
import { exportSchema, itemSchema, orphans, type Search, searches } from "./orphans.ts";

const command = {
  name: "recover",
  summary: [
    "Lists what a killed `pulumi up` created in the accounts without recording it. Deletes it only with --yes.",
    "A Flex cluster that the config declares and the state lacks is never deleted: --yes imports it.",
    "Needs the credentials of `pulumi up`. Touches nothing that the stack's state contains.",
  ].join("\n"),
  options: {
    yes: {
      type: "boolean",
      default: false,
      help: "deletes what was listed and the records of unfinished creations; imports a Flex cluster that the state lacks",
    },
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run recover", "lists only"],
    ["npm run recover -- --yes", "deletes (a cluster: imports); then run `pulumi up`"],
  ],
  exitCodes: {
    0: "listed, deleted or imported (possibly nothing)",
    1: "refused: the cluster could not be imported",
    2: "the stack or an account could not be read, or wrong usage",
  },
} as const;

const listSchema = z.object({ result: z.array(itemSchema).optional(), results: z.array(itemSchema).optional() });

/** One thing that was created without being recorded. */
interface Found {
  readonly resource: string;
  readonly match: Record<string, unknown>;
  readonly id: string;
  readonly created: string;
}

interface Summary {
  readonly unfinished: number;
  readonly found: number;
  readonly deleted: boolean;
  readonly cluster: boolean;
}

/** @returns undefined when the cluster is all there is */
function summary({ unfinished, found, deleted, cluster }: Summary): string | undefined {
  if (unfinished === 0) return cluster ? undefined : "The state has no unfinished creation: nothing to recover.";
  return deleted
    ? `${found} deleted, ${unfinished} records of unfinished creations cleared. Run \`pulumi up\` now.`
    : `${unfinished} unfinished creations; ${found} resources that only they can have created. If none was made by hand: npm run recover -- --yes`;
}

function foundOf(search: Search, item: z.infer<typeof itemSchema>): Found {
  const created = item.created_at ?? item.created_on ?? item.created ?? "at an unknown time";
  const resource = search.urn.split("::").at(-1) ?? search.urn;
  return { resource, match: search.match, id: String(item[search.idField]), created: String(created) };
}

/** The path of one item of a search's list. */
function pathOf(search: Search, id: string): string {
  const collection = search.path.split("?")[0];
  return `${collection}/${search.idPrefix}${encodeURIComponent(id)}`;
}

/** @returns standard output. @throws with what Pulumi printed */
async function pulumi(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runPulumi(args);
  if (code === 0) return stdout;
  throw new UsageError(`\`pulumi ${args.join(" ")}\` ended with ${code}: ${stderr || stdout}`);
}

/** @param version of Atlas' API; Cloudflare's has none in its calls */
type Call = (method: string, path: string, version?: string) => Promise<unknown>;

const clustersSchema = z.object({ results: z.array(z.object({ name: z.string(), stateName: z.string() })) });

/** A Flex cluster that the config declares, Atlas has, and the state lacks. */
interface LostCluster {
  readonly name: string;
  /** As Atlas calls its state. */
  readonly state: string;
  bringIn(): Promise<void>;
}

/** @param exported printed by `pulumi stack export` */
async function lostCluster(
  stack: string,
  config: ConfigText,
  exported: string,
  atlas: Call,
): Promise<LostCluster | undefined> {
  const { documents } = readStackConfig({ get: (key) => config.get(`slm-network:${key}`) });
  const deployed = readDeployed(exported);
  const wanted = missingCluster(documents, deployed);
  if (!wanted) return undefined;
  const path = `/groups/${wanted.projectId}/flexClusters?itemsPerPage=500`;
  const listed = await withProgress("searching atlas", atlas("GET", path, "2024-11-13"));
  const found = clustersSchema.parse(listed).results.find(({ name }) => name === wanted.name);
  return (
    found && {
      name: found.name,
      state: found.stateName,
      bringIn: async () => importResources(stack, clusterImport(wanted, deployed, await packageVersions())),
    }
  );
}

function clusterText({ name, state }: LostCluster, imported: boolean): string {
  const what = `Atlas has the Flex cluster ${JSON.stringify(name)} (${state}), which the config declares and the state does not contain. It is paid for.`;
  return imported
    ? `${what}\nIt is imported. Run \`pulumi up\` now.`
    : `${what}\nIf this stack created it: npm run recover -- --yes imports it. Nothing in Atlas changes by that.`;
}

/** Calls to the accounts, signed in as the providers would be. */
function accountCalls(config: ConfigText): Readonly<Record<Search["api"], Call>> {
  const cloudflare = cloudflareAccess((key) => config.get(key));
  const atlas = atlasSource((key) => config.get(key));
  const cloudflareUrl = withoutSlash(cloudflare.baseUrl ?? "https://api.cloudflare.com/client/v4");
  const atlasUrl = atlasBase(atlas.access);
  return {
    async cloudflare(method, path) {
      const headers = { authorization: `Bearer ${needed(cloudflare.apiToken, "CLOUDFLARE_API_TOKEN")}` };
      const response = await fetch(cloudflareUrl + path, { method, headers, signal: AbortSignal.timeout(30_000) });
      const body = await response.text();
      if (!response.ok) throw new UsageError(`${method} ${path}: ${response.status} ${body}`);
      return JSON.parse(body);
    },
    async atlas(method, path, version = "2023-01-01") {
      const { access, findings, usable } = atlas;
      const problem = findings.find(({ level }) => level === "fail") ?? (usable ? undefined : findings[0]);
      if (problem) throw new UsageError(problemText(problem));
      const ask = atlasFetch(access);
      if (ask === undefined) throw notSet("MONGODB_ATLAS_PUBLIC_KEY (or MONGODB_ATLAS_CLIENT_ID)");
      const response = await ask(`${atlasUrl}/api/atlas/v2${path}`, {
        method,
        headers: { accept: `application/vnd.atlas.${version}+json` },
        signal: AbortSignal.timeout(30_000),
      });
      const body = await response.text();
      if (!response.ok) throw new UsageError(`${method} ${path}: ${response.status} ${body}`);
      return body === "" ? {} : JSON.parse(body);
    },
  };
}

function needed(value: string | undefined, name: string): string {
  if (!value) throw notSet(name);
  return value;
}

const notSet = (name: string): UsageError =>
  new UsageError(`${name} is not set: recovery needs the credentials of \`pulumi up\``);

await runCommand(command, async (args) => {
  const { values } = parseCommand(command, args);
  const stack = await stackName(values.stack);
  const config = readConfig(await pulumi("config", "--json", "--show-secrets", "--stack", stack));
  const call = accountCalls(config);
  const exported = await pulumi("stack", "export", "--stack", stack);
  const state = exportSchema.parse(JSON.parse(exported));
  const unfinished = state.deployment.pending_operations.filter(({ type }) => type === "creating").length;
  const found: Found[] = [];
  for (const search of searches(state)) {
    const listed = await withProgress(`searching ${search.api}`, call[search.api]("GET", search.path));
    const { result, results } = listSchema.parse(listed);
    for (const item of orphans(search, result ?? results ?? [], state)) {
      const one = foundOf(search, item);
      found.push(one);
      if (!values.json)
        console.log(`${one.resource}: ${JSON.stringify(one.match)}, id ${one.id}, created ${one.created}`);
      if (values.yes) await call[search.api]("DELETE", pathOf(search, one.id));
    }
  }
  const cluster = await lostCluster(stack, config, exported, call.atlas);
  if (values.yes) await cluster?.bringIn();
  if (cluster && !values.json) console.log(clusterText(cluster, values.yes));
  if (values.yes && unfinished > 0) {
    await pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", stack);
  }
  if (values.json) {
    const lost = cluster && { name: cluster.name, state: cluster.state, imported: values.yes };
    const result = { stack, unfinished, found, deleted: values.yes, cluster: lost ?? null };
    return console.log(JSON.stringify(result, null, 2));
  }
  const text = summary({ unfinished, found: found.length, deleted: values.yes, cluster: cluster !== undefined });
  if (text !== undefined) console.log(text);
});
