/** Files with an owner and a mode, written so that a power cut leaves the old one or the new one. */
import { chmod, lstat, mkdir, open, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "./commands.ts";
import { serviceUser } from "./layout.ts";

/** Owner as `user:group`, mode as in chmod(2). */
export interface Ownership {
  owner: string;
  mode: number;
}

/** For files that anybody on the Mac may read. */
export const publicFile: Ownership = { owner: "root:wheel", mode: 0o644 };
/** For config and secrets: readable by the daemons, writable by root alone. */
export const secretFile: Ownership = { owner: `root:${serviceUser}`, mode: 0o640 };

/**
 * Replaces a file in one step: written beside it, synced, then renamed. Its owner and mode are right before it gets its name.
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

/** Makes a folder (and those above it) and sets its owner and mode. */
export async function ensureFolder(path: string, { owner, mode }: Ownership): Promise<void> {
  await mkdir(path, { recursive: true });
  await run("chown", [owner, path]);
  await chmod(path, mode);
}

/** Makes an empty file when there is none, and sets its owner and mode. */
export async function ensureFile(path: string, { owner, mode }: Ownership): Promise<void> {
  await (await open(path, "a")).close();
  await run("chown", [owner, path]);
  await chmod(path, mode);
}

/** Points a symlink at `target` in one step (`ln -sfn` is not atomic). */
export async function switchLink(path: string, target: string): Promise<void> {
  const beside = `${path}.incoming`;
  await rm(beside, { force: true });
  await symlink(target, beside);
  await rename(beside, path);
}

/** @returns the file's text, or undefined when there is none */
export async function readIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** @returns whether something (a dangling symlink too) has this name */
export async function pathExists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
