/** Which provider plugins the engine runs: the official ones, or ours that stand in for them. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { download as downloadFile, unreachable } from "../components/download.ts";
import type { Log } from "./log.ts";
import { installProviders, providerNames } from "./providers/install.ts";
import { pinnedVersion } from "./providers/pinned.ts";
import { MissingTool } from "./tools/missing-tool.ts";
import { executablesOnPath } from "./tools/on-path.ts";

/** Words of `SANDBOX_PROVIDERS`. */
export const providerChoices = ["auto", "ours", "official", "installed"] as const;

/** Whose plugins the engine runs. */
export type Providers = "official" | "ours";

/**
 * Puts the plugins into the engine's own folder, by `SANDBOX_PROVIDERS`:
 * `installed` takes those found on PATH; `official` downloads them; `ours` takes the ones of this sandbox; `auto`, the
 * default, downloads the official ones where that works and takes ours otherwise.
 * @throws MissingTool when the wanted ones cannot be had
 */
export async function chooseProviders(options: Download): Promise<Providers> {
  const { home, log } = options;
  const wanted = process.env.SANDBOX_PROVIDERS || "auto";
  const choice = providerChoices.find((name) => name === wanted);
  if (!choice)
    throw new MissingTool(`SANDBOX_PROVIDERS is "${wanted}"; it must be one of ${providerChoices.join(", ")}`);
  if (choice === "installed") {
    for (const name of providerNames) await linkInstalled(name, home);
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
      throw new MissingTool(`the official plugins cannot be had (${failed}); SANDBOX_PROVIDERS=ours does without`);
    }
    why = `the official ones cannot be had: ${failed}`;
  }
  installProviders(home, process.execPath);
  log(`providers: the sandbox's own plugins (${why})`);
  return "ours";
}

const pluginFolder = (home: string, name: string) => join(home, "plugins", `resource-${name}-v${pinnedVersion(name)}`);

async function linkInstalled(name: string, home: string): Promise<void> {
  const program = `pulumi-resource-${name}`;
  const [found] = executablesOnPath(program);
  if (!found) throw new MissingTool(`SANDBOX_PROVIDERS=installed, and there is no ${program} on PATH`);
  const folder = pluginFolder(home, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await symlink(found, join(folder, program));
}

const site = "https://get.pulumi.com/";

/** @returns why nothing can be downloaded; a closed network should cost seconds, not minutes */
async function siteObstacle(choice: "auto" | "official"): Promise<string | undefined> {
  if (process.env.SANDBOX_OFFLINE === "1") return "SANDBOX_OFFLINE is 1";
  if (choice === "official") return undefined; // the attempt itself says more
  const why = await unreachable(site);
  return why && `${new URL(site).host} cannot be reached (${why})`;
}

interface Download {
  pulumi: string;
  home: string;
  environment: Record<string, string>;
  log: Log;
}

/** @returns which one failed, and why */
async function firstThatFails(options: Download): Promise<string | undefined> {
  for (const name of providerNames) {
    const folder = pluginFolder(options.home, name);
    const program = join(folder, `pulumi-resource-${name}`);
    if (await isOfficial(program)) continue;
    await rm(folder, { recursive: true, force: true }); // the engine takes ours for the real one otherwise
    const why = await download(name, options);
    if (why) return `${name} ${pinnedVersion(name)}: ${why}`;
    if (!(await isOfficial(program)))
      return `${name} ${pinnedVersion(name)}: its archive holds no pulumi-resource-${name}`;
  }
  return undefined;
}

/** @returns whether a plugin is there which is not the launcher of ours (`launcher` in providers/install.ts) */
async function isOfficial(program: string): Promise<boolean> {
  const file = await open(program).catch(() => undefined);
  if (!file) return false;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const text = buffer.subarray(0, bytesRead).toString("utf8");
    return bytesRead > 0 && !/^#!\/bin\/sh\nexec '.*\/providers\/\w+\.ts' "\$@"\n$/s.test(text);
  } finally {
    await file.close();
  }
}

/**
 * Has the engine download a plugin, which it unpacks in one step. The archive must have the hash that the release's list
 * of checksums names, where there is one.
 * @returns why it failed, or undefined
 */
async function download(name: string, { pulumi, environment, log }: Download): Promise<string | undefined> {
  const version = pinnedVersion(name);
  log(`providers: downloading ${name} ${version} …`);
  const checksum = await publishedChecksum(name, version);
  const args = ["plugin", "install", "resource", name, version, ...(checksum ? ["--checksum", checksum] : [])];
  let why = "";
  for (let attempt = 0; attempt < attempts; attempt++) {
    const ran = await runEngine(pulumi, args, environment);
    if (ran === undefined) return undefined;
    why = ran;
  }
  return `${why}; tried ${attempts} times`;
}

const attempts = 2;
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

/** As Pulumi's releases on GitHub list it; the project cannot pin hashes of its own for every platform. */
async function publishedChecksum(name: string, version: string): Promise<string | undefined> {
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  const archive = `pulumi-resource-${name}-v${version}-${process.platform}-${arch}.tar.gz`;
  const release = `https://github.com/pulumi/pulumi-${name}/releases/download/v${version}`;
  const folder = await mkdtemp(join(tmpdir(), "slm-checksums-"));
  try {
    const list = join(folder, "list");
    await downloadFile(`${release}/pulumi-${name}_${version}_checksums.txt`, list, { attempts: 2, withinMs: 30_000 });
    const lines = (await readFile(list, "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
    return lines.find(([, file]) => file === archive)?.[0];
  } catch {
    return undefined; // without it, what vouches for the archive is TLS
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
