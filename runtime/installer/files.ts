/** Files with an owner and a mode, written atomically: a power cut leaves the old or the new content. */
import { chmod, lstat, mkdir, open, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
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

/**
 * Replaces a file atomically: writes a temporary file beside it, syncs, sets owner and mode, renames.
 */
export async function writeFileAtomic(path: string, content: string, { owner, mode }: Ownership): Promise<void> {
  const beside = join(dirname(path), `.${process.pid}.incoming`);
  const file = await open(beside, "w", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await run("chown", [owner, beside]);
  await chmod(beside, mode);
  await rename(beside, path);
}

/** Creates a folder (and its parents) and sets its owner and mode. */
export async function ensureFolder(path: string, { owner, mode }: Ownership): Promise<void> {
  await mkdir(path, { recursive: true });
  await run("chown", [owner, path]);
  await chmod(path, mode);
}

/** Creates an empty file if it does not exist, and sets its owner and mode. */
export async function ensureFile(path: string, { owner, mode }: Ownership): Promise<void> {
  await (await open(path, "a")).close();
  await run("chown", [owner, path]);
  await chmod(path, mode);
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
