/**
 * Has the Pulumi CLI, its Node language host and cloudflared ready: on PATH in a usable version → the cache → the official
 * download → built from its Go module. What is downloaded or built goes to the cache, which all checkouts of a user share.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as tar from "tar";
import type { Log } from "../log.ts";
import { executablesOnPath, isExecutable } from "./on-path.ts";
import { cloudflared, type Download, goMod, isAtLeast, languageHost, pulumi, type Recipe } from "./recipes.ts";

/** A need that only a person can meet; its message is one sentence saying what to install. */
export class MissingTool extends Error {
  override name = "MissingTool";
}

/** The tools, as absolute paths. */
export interface Tools {
  pulumi: string;
  cloudflared: string;
  /** Folders that must be on PATH for `pulumi` to find its language host and shims, first one first. */
  path: string[];
}

/** @returns the folder for what all checkouts of a user share: `SLM_NETWORK_CACHE`, else the XDG cache folder's */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return environment.SLM_NETWORK_CACHE ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "slm-network");
}

/**
 * Makes the tools available. Takes some seconds when they are there, up to about ten minutes on 2 cores when all must be built.
 * @throws MissingTool when one can be had in none of the ways
 */
export async function ensureTools(log: Log): Promise<Tools> {
  const cli = await ensure(pulumi, log);
  const beside = dirname(cli);
  const path = [beside];
  // The official CLI brings its language host along, in its own folder.
  if (!existsSync(join(beside, languageHost.name))) {
    const host = dirname(await ensure(languageHost, log));
    // Beside our own CLI the engine takes it for its own; found elsewhere on PATH, it warns at every run.
    if (beside.startsWith(cacheFolder())) await linkAll(host, beside);
    else path.push(host);
  }
  return { pulumi: cli, cloudflared: await ensure(cloudflared, log), path };
}

async function linkAll(from: string, to: string): Promise<void> {
  for (const file of await readdir(from)) {
    await rm(join(to, file), { force: true });
    await symlink(join(from, file), join(to, file));
  }
}

async function ensure(recipe: Recipe, log: Log): Promise<string> {
  const installed = onPath(recipe);
  if (installed) {
    log(`${recipe.name}: ${installed} (on PATH)`);
    return installed;
  }
  const folder = join(cacheFolder(), "tools", `${recipe.name}-${recipe.version}`);
  const cached = join(folder, recipe.name);
  if (isExecutable(cached)) {
    log(`${recipe.name} ${recipe.version}: from the cache`);
    return cached;
  }
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(join(dirname(folder), `.${recipe.name}-`));
  try {
    if (!(await download(recipe, work, log))) await build(recipe, work, log);
    await chmod(join(work, recipe.name), 0o755);
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder); // in one step: an interrupted build leaves nothing that looks whole
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return cached;
}

function onPath(recipe: Recipe): string | undefined {
  return executablesOnPath(recipe.name).find((file) => {
    if (recipe.versionArgs.length === 0) return true;
    const run = spawnSync(file, recipe.versionArgs, { encoding: "utf8", timeout: 20_000 });
    const version = /\d+(\.\d+)+/.exec(run.stdout ?? "")?.[0];
    return version !== undefined && isAtLeast(version, recipe.atLeast);
  });
}

/** @returns false when the vendor's site can not be reached or has nothing for this machine; a wrong hash is an error */
async function download(recipe: Recipe, work: string, log: Log): Promise<boolean> {
  const source = recipe.download(process.platform, process.arch);
  if (!source || process.env.SANDBOX_OFFLINE === "1") return false;
  let body: Buffer;
  let expected: string | undefined;
  try {
    log(`${recipe.name} ${recipe.version}: downloading ${source.url} …`);
    body = await fetchBytes(source.url);
    expected = await expectedHash(source);
  } catch (error) {
    log(`${recipe.name}: the download site can not be reached (${reason(error)}); building it instead`);
    return false;
  }
  const actual = createHash("sha256").update(body).digest("hex");
  if (actual !== expected) {
    throw new MissingTool(
      `${source.url} has sha256 ${actual}, expected ${expected ?? "one in the vendor's list, which does not name it"}: not used; ${recipe.advice}.`,
    );
  }
  if (source.kind === "raw") {
    await writeFile(join(work, recipe.name), body);
    return true;
  }
  const archive = join(work, "archive.tgz");
  await writeFile(archive, body);
  await tar.extract({ file: archive, cwd: work });
  await rm(archive);
  await flatten(work, recipe.name);
  return true;
}

/** An archive may hold its programs in a folder of its own (`pulumi/pulumi`): brings them up. */
async function flatten(work: string, program: string): Promise<void> {
  for (const entry of await readdir(work, { withFileTypes: true })) {
    if (!entry.isDirectory() || !existsSync(join(work, entry.name, program))) continue;
    const inner = join(work, `${entry.name}.inner`);
    await rename(join(work, entry.name), inner);
    for (const file of await readdir(inner)) await rename(join(inner, file), join(work, file));
    await rm(inner, { recursive: true });
  }
}

async function fetchBytes(url: string): Promise<Buffer> {
  const connect = AbortSignal.timeout(300_000);
  const response = await fetch(url, { signal: connect });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return Buffer.from(await response.arrayBuffer());
}

async function expectedHash(source: Download): Promise<string | undefined> {
  if (typeof source.sha256 === "string") return source.sha256;
  const name = source.url.slice(source.url.lastIndexOf("/") + 1);
  const list = (await fetchBytes(source.sha256.list)).toString("utf8");
  return list
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .find(([, file]) => file === name)?.[0];
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

async function build(recipe: Recipe, work: string, log: Log): Promise<void> {
  const { build } = recipe;
  const have = /go(\d+(\.\d+)+)/.exec(spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" }).stdout ?? "")?.[1];
  if (!have || !isAtLeast(have, build.go)) {
    throw new MissingTool(
      `${recipe.name} is not on PATH, could not be downloaded, and building it needs Go ${build.go}${have ? ` (here is ${have})` : ""}: ${recipe.advice}.`,
    );
  }
  const source = await mkdtemp(join(tmpdir(), "slm-network-go-"));
  try {
    await writeFile(join(source, "go.mod"), goMod(build));
    await writeFile(join(source, "tools.go"), `//go:build tools\n\npackage tools\n\nimport _ "${build.package}"\n`);
    log(`${recipe.name} ${recipe.version}: fetching its Go modules …`);
    await go(["mod", "tidy"], source, log);
    log(`${recipe.name} ${recipe.version}: building (minutes, once) …`);
    const flags = `-s -w -X ${build.versionVariable}=${recipe.name === "cloudflared" ? recipe.version : `v${recipe.version}`}`;
    await go(["build", "-trimpath", "-ldflags", flags, "-o", join(work, recipe.name), build.package], source, log);
    if (build.copy) {
      const list = spawnSync("go", ["list", "-m", "-f", "{{.Dir}}", build.module], { cwd: source, encoding: "utf8" });
      for (const file of build.copy) {
        const target = join(work, file.slice(file.lastIndexOf("/") + 1));
        await copyFile(join(list.stdout.trim(), file), target);
        await chmod(target, 0o755);
      }
    }
  } catch (error) {
    throw new MissingTool(`${recipe.name} could not be built (${reason(error)}): ${recipe.advice}.`);
  } finally {
    await rm(source, { recursive: true, force: true });
  }
}

function go(args: string[], cwd: string, log: Log): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("go", args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, GOFLAGS: "-mod=mod" },
    });
    const started = Date.now();
    let tail = "";
    const keep = (chunk: Buffer) => {
      tail = (tail + chunk.toString("utf8")).slice(-2000);
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const beat = setInterval(() => log(`  … go ${args[0]} (${Math.round((Date.now() - started) / 1000)} s)`), 20_000);
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(beat);
      if (code === 0) resolve();
      else reject(new Error(`go ${args[0]} ended with ${code}: ${tail.trim().split("\n").slice(-5).join(" | ")}`));
    });
  });
}
