/**
 * The daemons' logs. Their folder is root's, so that a daemon can write its log and cannot put a link in its place; the
 * relay's copies are in a folder below it, in which root opens nothing.
 *
 * In versions before, the daemons owned the folder. Once it is root's, its names stay as they are: then what is no plain log
 * is put aside, and only then a log's owner and mode are set.
 */
import { constants, type Stats } from "node:fs";
import { lstat, readdir, readlink, rename } from "node:fs/promises";
import { join } from "node:path";
import { openRegular } from "../regular-file.ts";
import { run } from "./commands.ts";
import { ensureFolder, type Ownership, setOwner } from "./files.ts";
import { type Layout, serviceUser } from "./layout.ts";

const daemon = `${serviceUser}:${serviceUser}`;
/** Logs of daemons that run as `_slmnetwork`. */
export const daemonLog: Ownership = { owner: daemon, mode: 0o640 };

/** Makes the folder root's, and moves the copies that an earlier version's relay kept beside the logs. */
export async function ensureLogFolder(paths: Layout): Promise<void> {
  // The group lists it, for rotation; the model server's account needs access to its own log.
  await ensureFolder(paths.logs, { owner: `root:${serviceUser}`, mode: 0o751 });
  await ensureFolder(paths.rotatedLogs, { owner: daemon, mode: 0o750 });
  for (const name of await readdir(paths.logs)) {
    // A rename follows no link, and moves a name only.
    if (/\.log\.\d+$/.test(name)) await rename(join(paths.logs, name), join(paths.rotatedLogs, name));
  }
}

/**
 * Ensures a log exists, as a regular file with one name, and sets its owner and mode. launchd opens it as the daemon's
 * user. Anything else at its path is moved to the folder of copies.
 * @returns a sentence if something was moved: the daemon's log is another file now
 */
export async function ensureLog(paths: Layout, path: string, { owner, mode }: Ownership): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  const strange = found && (await strangeness(path, found));
  const name = path.slice(paths.logs.length + 1);
  const aside = join(paths.rotatedLogs, `${name}.replaced-${Date.now()}`);
  if (strange !== undefined) await rename(path, aside);
  const file = await openRegular(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT);
  try {
    const { dev, ino } = await file.stat();
    await setOwner(path, owner);
    const now = await lstat(path);
    if (now.dev !== dev || now.ino !== ino)
      throw new Error(`${path} was replaced during the installation: run pulumi up again`);
    await run("chmod", ["-N", path]);
    await file.chmod(mode);
  } finally {
    await file.close();
  }
  if (strange === undefined) return undefined;
  return `${paths.onMac(path)} was ${strange} and was replaced by an empty log; it is now ${paths.onMac(aside)}. Nothing of slm-network makes one: find out who did, and treat the relay's secrets as known to them (npm run rotate) if nobody at this Mac did`;
}

async function strangeness(path: string, stats: Stats): Promise<string | undefined> {
  if (stats.isSymbolicLink()) return `a symbolic link to ${await readlink(path)}`;
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a FIFO";
  if (!stats.isFile()) return "a device or socket";
  return stats.nlink === 1 ? undefined : `a file with ${stats.nlink} names (hard links)`;
}
