/**
 * Files with an owner and a mode, written atomically: a power cut leaves the old or the new content. Root works in folders
 * here that root alone can change, so no name in them can become a link to another file between two steps. Files that
 * a daemon can write are in logs.ts and in owned-tree.ts.
 */
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readFile, rename, rm, symlink } from "node:fs/promises";
import { incomingOf } from "../replacement-journal.ts";
import { run } from "./commands.ts";
import { serviceUser } from "./layout.ts";

/** Owner as `user:group`, mode as in chmod(2). */
export interface Ownership {
  owner: string;
  mode: number;
}

/** World-readable. */
export const publicFile: Ownership = { owner: "root:wheel", mode: 0o644 };
/** Config and secrets: readable by the daemons, writable by root only. */
export const secretFile: Ownership = { owner: `root:${serviceUser}`, mode: 0o640 };

/** Sets the owner of a file or folder; of a link its own, never that of the file behind it. */
export const setOwner = (path: string, owner: string) => run("chown", ["-h", owner, path]);

/**
 * Writes a file's new content beside it, synced, with owner and mode. A failure (full disk) leaves nothing behind.
 * @returns its path, to be renamed
 */
export async function writeBeside(path: string, content: string, { owner, mode }: Ownership): Promise<string> {
  const beside = incomingOf(path);
  try {
    await rm(beside, { force: true });
    const file = await open(beside, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await setOwner(beside, owner);
    await chmod(beside, mode);
    return beside;
  } catch (error) {
    await rm(beside, { force: true });
    // An error of an open file names no path.
    if ((error as NodeJS.ErrnoException).code === "ENOSPC") (error as NodeJS.ErrnoException).path ??= path;
    throw error;
  }
}

/** Replaces a file atomically. */
export async function writeFileAtomic(path: string, content: string, ownership: Ownership): Promise<void> {
  await rename(await writeBeside(path, content, ownership), path);
}

/**
 * Creates a folder (and its parents) and sets its owner and mode; access control lists are removed, since a former owner may
 * have granted rights that outlive the change of owner. Its parent must be root's.
 * @throws Error when the path is a link or no folder
 */
export async function ensureFolder(path: string, { owner, mode }: Ownership): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found && !found.isDirectory()) throw new Error(`${path} is not a folder: remove it, and run pulumi up again`);
  await mkdir(path, { recursive: true });
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    await setOwner(path, owner);
    await run("chmod", ["-N", path]);
    await folder.chmod(mode);
  } finally {
    await folder.close();
  }
}

/** Removes a file or folder with all below. rm(1) follows no link, also if one is put in place of a folder meanwhile. */
export async function removeTree(path: string): Promise<void> {
  await run("rm", ["-rf", path]);
}

/** Points a symlink at `target` atomically (`ln -sfn` is not atomic). */
export async function switchLink(path: string, target: string): Promise<void> {
  const beside = `${path}.incoming`;
  await rm(beside, { force: true });
  await symlink(target, beside);
  await rename(beside, path);
}

/** @returns the file's text; undefined if it does not exist */
export async function readIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** @returns whether the path exists (a dangling symlink counts) */
export async function pathExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
