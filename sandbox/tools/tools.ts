/**
 * Has the Pulumi CLI, its Node language host and cloudflared ready: on PATH in a usable version → the cache → the official
 * download → built from its Go module. What is downloaded or built goes to the cache, which all checkouts of a user share.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { unreachable } from "../../runtime/artifacts/download.ts";
import type { Log } from "../log.ts";
import { type Claim, claim, claimant } from "../machine/claim.ts";
import { build, requireGo } from "./build.ts";
import { obtain } from "./obtain.ts";
import { executablesOnPath, isExecutable } from "./on-path.ts";
import { cloudflared, isAtLeast, languageHost, pulumi, type Recipe } from "./recipes.ts";

export { MissingTool } from "./missing-tool.ts";

/** The tools, as absolute paths. */
export interface Tools {
  pulumi: string;
  cloudflared: string;
  /** Folders that must be on PATH for `pulumi` to find its language host and shims, first one first. */
  path: string[];
}

/** @returns the folder for what all checkouts of a user share: `SLM_NETWORK_CACHE`, else the XDG cache folder's */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.SLM_NETWORK_CACHE || join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "slm-network");
}

/**
 * Makes the tools available. Takes some seconds when they are there, about seven minutes on two idle cores when all must be built.
 * @throws MissingTool when one can be had in none of the ways
 */
export async function ensureTools(log: Log): Promise<Tools> {
  const missing = [pulumi, cloudflared].filter((recipe) => !(onPath(recipe) ?? cached(recipe)));
  const plan = missing.length > 0 ? await planFirstRun(missing, log) : { sites: new Map(), steps: 0 };
  const get = (recipe: Recipe) => ensure(recipe, plan, log);
  const cli = await get(pulumi);
  const beside = dirname(cli);
  const path = [beside];
  // The official CLI brings its language host along, in its own folder.
  if (!existsSync(join(beside, languageHost.name))) {
    const host = dirname(await get(languageHost));
    // Beside our own CLI the engine takes it for its own; found elsewhere on PATH, it warns at every run.
    if (beside.startsWith(cacheFolder())) await linkAll(host, beside);
    else path.push(host);
  }
  return { pulumi: cli, cloudflared: await get(cloudflared), path };
}

/** What a first run has before it. */
interface Plan {
  /** By recipe's name: why its download site cannot be reached. */
  sites: ReadonlyMap<string, string>;
  /** Tools that are built from source. */
  steps: number;
  begun?: number;
}

/** Finds out how the missing tools can be had, and says at once how long that takes, and why. @throws MissingTool */
async function planFirstRun(missing: readonly Recipe[], log: Log): Promise<Plan> {
  const sites = new Map<string, string>();
  for (const [recipe, why] of await Promise.all(missing.map(async (one) => [one, await obstacle(one)] as const))) {
    if (why) sites.set(recipe.name, why);
  }
  const named = (recipes: readonly Recipe[]) => recipes.map(({ name, version }) => `${name} ${version}`).join(" and ");
  const downloaded = missing.filter(({ name }) => !sites.has(name));
  const built = missing.filter(({ name }) => sites.has(name));
  for (const recipe of built) requireGo(recipe);
  if (downloaded.length > 0) {
    log(
      `first run: ${named(downloaded)}: downloaded once, for all checkouts (one to three minutes on an ordinary line)`,
    );
  }
  if (built.length > 0) {
    const why = [...new Set(built.map(({ name }) => sites.get(name)))].join("; ");
    const minutes = built.includes(pulumi) ? "seven" : "two";
    log(
      `first run: ${named(built)}: built from source once, for all checkouts, because ${why}. This takes about ${minutes} minutes on two cores; later starts take half a minute`,
    );
  }
  return { sites, steps: built.length + (built.includes(pulumi) ? 1 : 0) };
}

/** @returns why the recipe's download cannot be tried, or undefined */
async function obstacle(recipe: Recipe): Promise<string | undefined> {
  if (process.env.SANDBOX_OFFLINE === "1") return "SANDBOX_OFFLINE is 1";
  const source = recipe.download(process.platform, process.arch);
  if (!source) return `its vendor has no archive for ${process.platform} on ${process.arch}`;
  const why = await unreachable(source.url);
  return why && `${new URL(source.url).host} cannot be reached (${why})`;
}

/** Each link is replaced whole: another process may be using it. */
async function linkAll(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    const [target, link] = [join(from, file), join(to, file)];
    if ((await readlink(link).catch(() => undefined)) === target) continue;
    const beside = `${link}.${process.pid}`;
    await rm(beside, { force: true });
    await symlink(target, beside);
    await rename(beside, link);
  }
}

const folderOf = (recipe: Recipe) => join(cacheFolder(), "tools", `${recipe.name}-${recipe.version}`);

function cached(recipe: Recipe): string | undefined {
  const program = join(folderOf(recipe), recipe.name);
  return isExecutable(program) ? program : undefined;
}

async function ensure(recipe: Recipe, plan: Plan, log: Log): Promise<string> {
  const installed = onPath(recipe);
  if (installed) {
    log(`${recipe.name}: ${installed} (on PATH)`);
    return installed;
  }
  const folder = folderOf(recipe);
  const program = join(folder, recipe.name);
  const known = cached(recipe);
  if (known) {
    log(`${recipe.name} ${recipe.version}: from the cache`);
    return known;
  }
  await mkdir(dirname(folder), { recursive: true });
  const claimed = await turn(`${folder}.claim`, recipe, log);
  try {
    if (cached(recipe)) return program; // by another process, meanwhile
    const prefix = `.${recipe.name}-`;
    for (const left of await readdir(dirname(folder))) {
      if (left.startsWith(`${prefix}${recipe.version}-`)) await rm(join(dirname(folder), left), { recursive: true }); // of a killed one
    }
    const work = await mkdtemp(join(dirname(folder), `${prefix}${recipe.version}-`));
    try {
      await bring(recipe, work, plan, log);
      await chmod(join(work, recipe.name), 0o755);
      await rm(folder, { recursive: true, force: true });
      await rename(work, folder); // in one step: what was interrupted leaves nothing that looks whole
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  } finally {
    await claimed.release();
  }
  return program;
}

/** Waits until no other process is getting the same tool. */
async function turn(file: string, { name }: Recipe, log: Log): Promise<Claim> {
  for (let isTold = false; ; isTold = true) {
    const claimed = await claim(file);
    if (claimed) return claimed;
    if (!isTold) log(`${name}: process ${await claimant(file)} is getting it already: waiting for that`);
    await delay(300);
  }
}

async function bring(recipe: Recipe, work: string, plan: Plan, log: Log): Promise<void> {
  const source = recipe.download(process.platform, process.arch);
  if (source && process.env.SANDBOX_OFFLINE !== "1" && !plan.sites.has(recipe.name)) {
    const why = await obtain(recipe, source, work, "", log);
    if (!why) return;
    log(
      `${recipe.name}: ${source.url} could not be downloaded (${why}); built from source instead, which takes minutes`,
    );
    await rm(work, { recursive: true });
    await mkdir(work, { mode: 0o700 });
  }
  plan.begun = (plan.begun ?? 0) + 1;
  await build(recipe, work, plan.steps > 1 ? `${plan.begun} of ${plan.steps}: ` : "", log);
}

function onPath(recipe: Recipe): string | undefined {
  return executablesOnPath(recipe.name).find((file) => {
    if (recipe.versionArgs.length === 0) return true;
    const run = spawnSync(file, recipe.versionArgs, { encoding: "utf8", timeout: 20_000 });
    const version = /\d+(\.\d+)+/.exec(run.stdout ?? "")?.[0];
    return version !== undefined && isAtLeast(version, recipe.atLeast);
  });
}
