/** Which provider plugins the engine runs: the official ones, or ours that stand in for them. */
import { spawnSync } from "node:child_process";
import { mkdir, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log.ts";
import { installProviders, providerNames } from "./providers/install.ts";
import { pinnedVersion } from "./providers/pinned.ts";
import { executablesOnPath } from "./tools/on-path.ts";
import { MissingTool } from "./tools/tools.ts";

const choices = ["auto", "ours", "official", "installed"] as const;

/**
 * Puts the plugins into the engine's own folder, by `SANDBOX_PROVIDERS`:
 * `installed` takes those found on PATH; `official` downloads them; `ours` takes the ones of this sandbox; `auto`, the
 * default, downloads the official ones where that works and takes ours otherwise.
 * @throws MissingTool when the wanted ones can not be had
 */
export async function chooseProviders(options: Download): Promise<void> {
  const { home, log } = options;
  const wanted = process.env.SANDBOX_PROVIDERS ?? "auto";
  const choice = choices.find((name) => name === wanted);
  if (!choice) throw new MissingTool(`SANDBOX_PROVIDERS is "${wanted}"; it must be one of ${choices.join(", ")}`);
  if (choice === "installed") {
    for (const name of providerNames) await linkInstalled(name, home);
    log("providers: the official plugins found on PATH");
    return;
  }
  if (choice === "official" || (choice === "auto" && (await siteAnswers()))) {
    const failed = await firstThatFails(options);
    if (!failed) {
      log("providers: the official plugins, downloaded");
      return;
    }
    if (choice === "official") {
      throw new MissingTool(
        `the official plugin ${failed} could not be downloaded; SANDBOX_PROVIDERS=ours does without`,
      );
    }
  }
  installProviders(home, process.execPath);
  log("providers: the sandbox's own plugins (the official ones can not be downloaded from here)");
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

/** Whether Pulumi's download site answers at all; a closed network should cost seconds, not minutes. */
async function siteAnswers(): Promise<boolean> {
  if (process.env.SANDBOX_OFFLINE === "1") return false;
  return fetch("https://get.pulumi.com/", { method: "HEAD", signal: AbortSignal.timeout(4_000) }).then(
    (response) => response.status < 500,
    () => false,
  );
}

interface Download {
  pulumi: string;
  home: string;
  environment: Record<string, string>;
  log: Log;
}

async function firstThatFails(options: Download): Promise<string | undefined> {
  for (const name of providerNames) {
    const folder = pluginFolder(options.home, name);
    const there = await stat(join(folder, `pulumi-resource-${name}`)).catch(() => undefined);
    if (there && there.size > launcherBytes) continue;
    await rm(folder, { recursive: true, force: true }); // the engine takes ours for the real one otherwise
    if (!download(name, options)) return name;
  }
  return undefined;
}

/** The official plugins have tens of megabytes, our launchers a line. */
const launcherBytes = 10_000;

function download(name: string, { pulumi, environment, log }: Download): boolean {
  const version = pinnedVersion(name);
  log(`providers: downloading ${name} ${version} …`);
  const run = spawnSync(pulumi, ["plugin", "install", "resource", name, version], {
    env: { ...process.env, ...environment },
    stdio: "ignore",
    timeout: 300_000,
  });
  return run.status === 0;
}
