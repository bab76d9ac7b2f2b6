/** The model server as a daemon of ours: started with the Mac, with nobody signed in. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ModelService } from "../config.ts";
import { run } from "./commands.ts";
import { ensureFile, pathExists, readIfExists } from "./files.ts";
import { isLoaded, plistPath, reload, removeDaemon, writePlist } from "./launchd.ts";
import { type Layout, serviceUser } from "./layout.ts";
import { type Account, type Daemon, modelDaemon, removedModelDaemon } from "./plists.ts";

/**
 * Checks what only the Mac can tell; changes nothing.
 * @returns its daemon
 * @throws Error naming every fault, with what to do
 */
export async function planModelService(paths: Layout, service: ModelService): Promise<Daemon> {
  const faults: string[] = [];
  const canRun = await access(service.program, constants.X_OK).then(
    async () => (await stat(service.program)).isFile(),
    () => false,
  );
  if (!canRun) {
    faults.push(
      `model.service.program: ${service.program} is no program on this Mac: install the model server, or correct the path (\`which ollama\` there says it)`,
    );
  }
  const { workingDirectory } = service;
  if (workingDirectory !== undefined && !(await pathExists(workingDirectory))) {
    faults.push(
      `model.service.workingDirectory: there is no folder ${workingDirectory} on this Mac: make it, or leave it out`,
    );
  }
  const account = await accountOf(paths, service.user);
  if (!account) {
    faults.push(`model.service.user: this Mac has no account ${service.user}: name the one whose home has the models`);
  }
  if (faults.length > 0 || !account) throw new Error(faults.join("\n"));
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
 * Has the daemon run as its plist says, or removes it when there shall be none. Started anew only when its plist changed.
 * @returns whether it was started anew
 */
export async function ensureModelService(paths: Layout, daemon: Daemon | undefined): Promise<boolean> {
  if (!daemon) {
    const old = removedModelDaemon(paths);
    if ((await pathExists(plistPath(paths, old))) || (await isLoaded(old))) await removeDaemon(paths, old);
    return false;
  }
  // The relay, which keeps it small, is of this group.
  await ensureFile(daemon.logFile, { owner: `${daemon.user}:${serviceUser}`, mode: 0o660 });
  const isSame = (await readIfExists(plistPath(paths, daemon))) === daemon.plist;
  await writePlist(paths, daemon); // for its owner and mode too
  await run("launchctl", ["enable", `system/${daemon.label}`]);
  if (isSame && (await isLoaded(daemon))) return false;
  await reload(paths, daemon);
  return true;
}
