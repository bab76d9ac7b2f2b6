/**
 * `npm run recover`: after a `pulumi up` that was killed (SIGKILL, a power cut, a lost runner), lists what it created in the
 * accounts without recording it. `-- --yes` deletes that and the records of unfinished creations, so that the next `pulumi up`
 * creates each thing once. After an `up` that was stopped by Ctrl-C there is nothing to do.
 */
import { z } from "zod";
import { atlasSource, cloudflareAccess } from "../../accounts/credentials.ts";
import { problemText } from "../../accounts/finding.ts";
import { jsonOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { run, runPulumi, stackName } from "../pulumi-cli.ts";
import { type ConfigText, readConfig } from "../stack.ts";
import { exportSchema, itemSchema, orphans, type Search, searches } from "./orphans.ts";

const command = {
  name: "recover",
  summary: [
    "Lists what a killed `pulumi up` created in the accounts without recording it. Deletes it only with --yes.",
    "Needs the credentials of `pulumi up`. Touches nothing that the stack's state contains.",
  ].join("\n"),
  options: {
    yes: { type: "boolean", default: false, help: "deletes what was listed, and the records of unfinished creations" },
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run recover", "lists only"],
    ["npm run recover -- --yes", "deletes; then run `pulumi up`"],
  ],
  exitCodes: {
    0: "listed or deleted (possibly nothing)",
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

function summary(unfinished: number, found: number, deleted: boolean): string {
  if (unfinished === 0) return "The state has no unfinished creation: nothing to recover.";
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
  return `${collection}${search.api === "atlas" ? "/admin" : ""}/${encodeURIComponent(id)}`;
}

/** @returns standard output. @throws with what Pulumi printed */
async function pulumi(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runPulumi(args);
  if (code === 0) return stdout;
  throw new UsageError(`\`pulumi ${args.join(" ")}\` ended with ${code}: ${stderr || stdout}`);
}

type Call = (method: string, path: string) => Promise<unknown>;

/** Calls to the accounts, signed in as the providers would be. */
function accountCalls(config: ConfigText): Readonly<Record<Search["api"], Call>> {
  const cloudflare = cloudflareAccess((key) => config.get(key));
  const atlas = atlasSource((key) => config.get(key));
  const baseUrl = (url: string | undefined, standard: string) => (url ?? standard).replace(/\/+$/, "");
  const cloudflareUrl = baseUrl(cloudflare.baseUrl, "https://api.cloudflare.com/client/v4");
  const atlasUrl = baseUrl(atlas.access.baseUrl, "https://cloud.mongodb.com");
  return {
    async cloudflare(method, path) {
      const headers = { authorization: `Bearer ${needed(cloudflare.apiToken, "CLOUDFLARE_API_TOKEN")}` };
      const response = await fetch(cloudflareUrl + path, { method, headers, signal: AbortSignal.timeout(30_000) });
      const body = await response.text();
      if (!response.ok) throw new UsageError(`${method} ${path}: ${response.status} ${body}`);
      return JSON.parse(body);
    },
    /** By curl, which implements digest authentication. Its options go through standard input, so no process list shows the key. */
    async atlas(method, path) {
      const { access, findings, usable } = atlas;
      const problem = findings.find(({ level }) => level === "fail") ?? (usable ? undefined : findings[0]);
      if (problem) throw new UsageError(problemText(problem));
      const publicKey = needed(access.publicKey, "MONGODB_ATLAS_PUBLIC_KEY");
      const user = `${publicKey}:${needed(access.privateKey, "MONGODB_ATLAS_PRIVATE_KEY")}`;
      const options = [
        "digest\nsilent\nshow-error\nfail-with-body\nmax-time = 30",
        `user = ${JSON.stringify(user)}`,
        `request = ${method}`,
        'header = "accept: application/vnd.atlas.2023-01-01+json"',
        `url = ${JSON.stringify(`${atlasUrl}/api/atlas/v2${path}`)}`,
      ];
      const { code, stdout, stderr } = await run("curl", ["--config", "-"], { input: options.join("\n") });
      if (code !== 0) throw new UsageError(`${method} ${path}: ${stdout || stderr || `curl ended with ${code}`}`);
      return stdout === "" ? {} : JSON.parse(stdout);
    },
  };
}

function needed(value: string | undefined, name: string): string {
  if (!value) throw new UsageError(`${name} is not set: recovery needs the credentials of \`pulumi up\``);
  return value;
}

await runCommand(command, async (args) => {
  const { values } = parseCommand(command, args);
  const stack = await stackName(values.stack);
  const config = readConfig(await pulumi("config", "--json", "--show-secrets", "--stack", stack));
  const call = accountCalls(config);
  const state = exportSchema.parse(JSON.parse(await pulumi("stack", "export", "--stack", stack)));
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
  if (values.yes && unfinished > 0) {
    await pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", stack);
  }
  if (values.json) console.log(JSON.stringify({ stack, unfinished, found, deleted: values.yes }, null, 2));
  else console.log(summary(unfinished, found.length, values.yes));
});
