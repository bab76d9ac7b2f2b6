/** Chooses the provider plugins of the engine: the official ones or the emulated ones. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { download as downloadFile, unreachable } from "../../runtime/artifacts/download.ts";
import type { Log } from "../log.ts";
import { MissingTool } from "../tools/missing-tool.ts";
import { executablesOnPath } from "../tools/on-path.ts";
import { installProviders, providerNames } from "./install.ts";
import { pinnedVersion } from "./pinned.ts";

/** Values of `SANDBOX_PROVIDERS`. */
export const providerChoices = ["auto", "ours", "official", "installed"] as const;

/** The plugins of the engine: official, or ours (emulated). */
export type Providers = "official" | "ours";

/**
 * Installs the plugins into the engine's folder, by `SANDBOX_PROVIDERS`:
 * `installed` takes those found on PATH; `official` downloads them; `ours` takes the ones of this sandbox; `auto`, the
 * default, downloads the official ones where that works and takes ours otherwise.
 * @throws MissingTool when the requested ones are not available
 */
export async function chooseProviders(options: Download): Promise<Providers> {
  const { home, log } = options;
  const wanted = process.env.SANDBOX_PROVIDERS || "auto";
  const choice = providerChoices.find((name) => name === wanted);
  if (!choice)
    throw new MissingTool(`SANDBOX_PROVIDERS is "${wanted}"; it must be one of ${providerChoices.join(", ")}`);
  if (choice === "installed") {
    const found = providerNames.map((name) => [name, executablesOnPath(`pulumi-resource-${name}`)[0]] as const);
    const missing = found.flatMap(([name, file]) => (file ? [] : [`pulumi-resource-${name} (${pinnedVersion(name)})`]));
    if (missing.length > 0) {
      throw new MissingTool(
        `SANDBOX_PROVIDERS=installed, and there is no ${missing.join(", no ")} on PATH: put it there (from https://github.com/pulumi/pulumi-<name>/releases), or go on with the sandbox's own plugins: SANDBOX_PROVIDERS=ours npm run sandbox`,
      );
    }
    for (const [name, file] of found) if (file) await linkInstalled(name, file, home);
    log("providers: the official plugins found on PATH");
    return "official";
  }
  let why = "SANDBOX_PROVIDERS is ours";
  if (choice !== "ours") {
    const failed = (await siteObstacle(choice)) ?? (await firstThatFails(options));
    if (!failed) {
      log("providers: the official plugins, downloaded");
      return "official";
    }
    if (choice === "official") {
      throw new MissingTool(
        `SANDBOX_PROVIDERS=official, and the official plugins are not available (${failed}). To go on with the sandbox's own plugins: SANDBOX_PROVIDERS=ours npm run sandbox`,
      );
    }
    why = `the official ones are not available: ${failed}`;
  }
  installProviders(home, process.execPath);
  log(`providers: the sandbox's own plugins (${why})`);
  return "ours";
}

const pluginFolder = (home: string, name: string) => join(home, "plugins", `resource-${name}-v${pinnedVersion(name)}`);

async function linkInstalled(name: string, file: string, home: string): Promise<void> {
  const folder = pluginFolder(home, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await symlink(file, join(folder, `pulumi-resource-${name}`));
}

const site = "https://get.pulumi.com/";

/** @returns why nothing can be downloaded. A closed network must cost seconds, not minutes */
async function siteObstacle(choice: "auto" | "official"): Promise<string | undefined> {
  if (process.env.SANDBOX_OFFLINE === "1") return "SANDBOX_OFFLINE is 1";
  if (choice === "official") return undefined; // the attempt itself gives a better error
  const why = await unreachable(site);
  return why && `${new URL(site).host} cannot be reached (${why})`;
}

interface Download {
  pulumi: string;
  home: string;
  environment: Record<string, string>;
  log: Log;
}

/** @returns the plugin that failed, and why */
async function firstThatFails(options: Download): Promise<string | undefined> {
  for (const name of providerNames) {
    const folder = pluginFolder(options.home, name);
    const program = join(folder, `pulumi-resource-${name}`);
    if (await isOfficial(program)) continue;
    await rm(folder, { recursive: true, force: true }); // otherwise the engine would use ours as the official one
    const why = await download(name, options);
    if (why) return `${name} ${pinnedVersion(name)}: ${why}`;
    if (!(await isOfficial(program)))
      return `${name} ${pinnedVersion(name)}: its archive holds no pulumi-resource-${name}`;
  }
  return undefined;
}

/** @returns whether there is a plugin other than our launcher (`launcher` in install.ts) */
async function isOfficial(program: string): Promise<boolean> {
  const file = await open(program).catch(() => undefined);
  if (!file) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const text = buffer.subarray(0, bytesRead).toString("utf8");
    return bytesRead > 0 && !/^#!\/bin\/sh\nexec '.*\/providers\/\w+(\/main)?\.ts' "\$@"\n$/s.test(text);
  } finally {
    await file.close();
  }
}

/**
 * Downloads a plugin's archive; the engine unpacks it atomically. Not the engine's own download: its `--checksum` skips
 * bytes that arrive with the end of the file (3.259.0) and refuses good archives.
 * @returns why it failed, or undefined
 */
async function download(name: string, { pulumi, environment, log }: Download): Promise<string | undefined> {
  const version = pinnedVersion(name);
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  const archive = `pulumi-resource-${name}-v${version}-${process.platform}-${arch}.tar.gz`;
  const release = `https://github.com/pulumi/pulumi-${name}/releases/download/v${version}`;
  log(`providers: downloading ${name} ${version} …`);
  const folder = await mkdtemp(join(tmpdir(), "slm-plugins-"));
  try {
    const file = join(folder, archive);
    const actual = await downloadFile(`${site}releases/plugins/${archive}`, file).catch((error: unknown) =>
      // GitHub is the fallback.
      downloadFile(`${release}/${archive}`, file).catch(() => {
        throw error;
      }),
    );
    const expected = await publishedHash(`${release}/pulumi-${name}_${version}_checksums.txt`, archive, folder);
    if (expected === undefined) log(`providers: ${name} ${version}: its release lists no checksum; TLS vouches for it`);
    else if (expected !== actual) return `${archive} has sha256 ${actual}, its release lists ${expected}: not used`;
    return await runEngine(pulumi, ["plugin", "install", "resource", name, version, "--file", file], environment);
  } catch (error) {
    return `${archive} could not be downloaded (${(error as Error).message})`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The hash in the release's own list, if there is one. The project cannot pin a hash for every platform. */
async function publishedHash(list: string, archive: string, folder: string): Promise<string | undefined> {
  const file = join(folder, "checksums");
  try {
    await downloadFile(list, file, { withinMs: 60_000 });
  } catch {
    return undefined;
  }
  const lines = (await readFile(file, "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
  return lines.find(([, name]) => name === archive)?.[0];
}

const installMs = 300_000;

function runEngine(
  pulumi: string,
  args: readonly string[],
  environment: Record<string, string>,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...environment }, timeout: installMs, maxBuffer: 8 << 20 };
    execFile(pulumi, [...args, "--non-interactive", "--color=never"], options, (error, stdout, stderr) => {
      if (!error) return resolve(undefined);
      const said = `${stderr}\n${stdout}`.trim().split("\n").slice(-3).join(" | ");
      resolve(error.killed ? `not done within ${installMs / 1000} s` : said || error.message);
    });
  });
}
