/** The model server as a LaunchDaemon: started at boot, without a login. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ModelService } from "../install-input-schema.ts";
import { run } from "./commands.ts";
import { pathExists, readIfExists } from "./files.ts";
import { isLoaded, plistPath, reload, removeDaemon, writePlist } from "./launchd.ts";
import { type Layout, serviceUser } from "./layout.ts";
import { ensureLog } from "./logs.ts";
import { type Account, type Daemon, modelDaemon, removedModelDaemon } from "./plists.ts";

/**
 * Checks that only the Mac can make; changes nothing.
 * @returns its daemon
 * @throws Error with every problem and its fix
 */
export async function planModelService(paths: Layout, service: ModelService): Promise<Daemon> {
  const problems: string[] = [];
  const canRun = await access(service.program, constants.X_OK).then(
    async () => (await stat(service.program)).isFile(),
    () => false,
  );
  if (!canRun) {
    problems.push(
      `model.service.program: ${service.program} is not a program on this Mac: install the model server, or correct the path (\`which ollama\` on the Mac prints it)`,
    );
  }
  const { workingDirectory } = service;
  if (workingDirectory !== undefined && !(await pathExists(workingDirectory))) {
    problems.push(
      `model.service.workingDirectory: there is no folder ${workingDirectory} on this Mac: create it, or remove the setting`,
    );
  }
  const account = await accountOf(paths, service.user);
  if (!account) {
    problems.push(
      `model.service.user: this Mac has no account ${service.user}: set the account whose home contains the models`,
    );
  }
  if (problems.length > 0 || !account) throw new Error(problems.join("\n"));
  return modelDaemon(paths, service, account);
}

async function accountOf(paths: Layout, user: string): Promise<Account | undefined> {
  const group = await run("id", ["-gn", user], [1]);
  if (group.exitCode !== 0) return undefined;
  const read = await run("dscl", [".", "-read", `/Users/${user}`, "NFSHomeDirectory"]);
  const home = /NFSHomeDirectory:\s*(\S.*)/.exec(read.stdout)?.[1]?.trim() ?? "/var/empty";
  return { user, group: group.stdout.trim(), home: join(paths.root, home) };
}

/**
 * Ensures the daemon runs with this plist, or removes it if none is wanted. Restarts it only if its plist changed.
 * @param warnings receives a sentence if its log had been replaced
 * @returns whether it was restarted
 */
export async function ensureModelService(
  paths: Layout,
  daemon: Daemon | undefined,
  warnings: string[],
): Promise<boolean> {
  if (!daemon) {
    const old = removedModelDaemon(paths);
    if ((await pathExists(plistPath(paths, old))) || (await isLoaded(old))) await removeDaemon(paths, old);
    return false;
  }
  // The relay rotates this log and belongs to this group.
  const owner = `${daemon.user}:${serviceUser}`;
  const replaced = await ensureLog(paths, daemon.logFile, { owner, mode: 0o660 });
  if (replaced !== undefined) warnings.push(replaced);
  const isSame = (await readIfExists(plistPath(paths, daemon))) === daemon.plist;
  await writePlist(paths, daemon); // for its owner and mode too
  await run("launchctl", ["enable", `system/${daemon.label}`]);
  if (isSame && replaced === undefined && (await isLoaded(daemon))) return false;
  await reload(paths, daemon);
  return true;
}
