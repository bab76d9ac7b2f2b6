/** Gives a folder that a daemon may write, and what is below it, to another owner, without touching any file outside. */
import { constants } from "node:fs";
import { chmod, lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./commands.ts";
import { setOwner } from "./files.ts";

/**
 * As `chown -R`, for a folder whose parent is root's. From the top down each folder is root's alone (0700) before anything
 * in it is looked at, so its former owner can no longer exchange a name in it; it gets its new owner after what is below
 * it. Links, FIFOs, devices, and files with a second name (hard links: they may be system files) are left as they are.
 * @returns the paths that were left
 */
export async function giveTree(path: string, owner: string): Promise<string[]> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const left: string[] = [];
  try {
    const mode = (await folder.stat()).mode & 0o7777;
    await setOwner(path, "root:wheel");
    await run("chmod", ["-N", path]); // an access control list of the former owner would outlive the change
    await folder.chmod(0o700);
    for (const name of await readdir(path)) {
      const below = join(path, name);
      const stats = await lstat(below);
      if (stats.isDirectory()) left.push(...(await giveTree(below, owner)));
      else if (stats.isFile() && stats.nlink === 1) await setOwner(below, owner);
      else left.push(below);
    }
    await chmod(path, mode);
    await setOwner(path, owner);
  } finally {
    await folder.close();
  }
  return left;
}
