/**
 * The gateways that are compared: installed by their registries' own clients into the user's cache, once, in a pinned version;
 * or found on PATH. They are no dependencies of the project.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { executablesOnPath } from "../../../sandbox/tools/on-path.ts";
import { cacheFolder } from "../../../sandbox/tools/tools.ts";

const PORTKEY = "1.15.2";
const LITELLM = "1.108.7";

/** Runs a program to its end. @throws Error with the last lines that it printed */
function run(command: string, args: readonly string[], cwd: string): void {
  const ran = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 900_000 });
  if (ran.status === 0) return;
  const said = ran.error?.message ?? `${ran.stdout}${ran.stderr}`.trim().split("\n").slice(-2).join(" | ");
  throw new Error(`${command} ${args[0] ?? ""} ended with ${ran.status}: ${said.slice(0, 300)}`);
}

/** A folder of the cache, filled once. */
function once(name: string, file: string, fill: (folder: string) => void): string {
  const folder = join(cacheFolder(), "peers", name);
  if (existsSync(join(folder, file))) return join(folder, file);
  mkdirSync(dirname(folder), { recursive: true });
  const work = mkdtempSync(join(dirname(folder), `.${name}-`));
  try {
    fill(work);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return join(folder, file);
}

/** @returns the script that starts Portkey's gateway. @throws Error when npm cannot get it */
export function portkey(): string {
  const script = "node_modules/@portkey-ai/gateway/build/start-server.js";
  return once(`portkey-${PORTKEY}`, script, (folder) => {
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run("npm", ["install", ...flags, "--prefix", folder, `@portkey-ai/gateway@${PORTKEY}`], folder);
  });
}

/** @returns the Python that has LiteLLM's proxy. @throws Error when pip cannot get it */
export function litellm(): string {
  return once(`litellm-${LITELLM}`, "packages/litellm/__init__.py", (folder) => {
    const flags = ["--quiet", "--disable-pip-version-check", "--target", join(folder, "packages")];
    run("python3", ["-m", "pip", "install", ...flags, `litellm[proxy]==${LITELLM}`], folder);
  });
}

/** @returns the program on PATH. @throws Error that says how to have it */
export function onPath(name: string, advice: string): string {
  const [found] = executablesOnPath(name, [process.env.PATH, "/usr/sbin", "/opt/homebrew/bin"].join(":"));
  if (found === undefined) throw new Error(`${name} is not on PATH: ${advice}`);
  return found;
}
