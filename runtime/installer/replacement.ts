/**
 * Replaces several files together, with a way back. All new contents are on the disk before the first file is changed, so a
 * full disk changes nothing; the former files stay beside the new ones under another name, so the way back needs no space.
 */
import { chmod, link, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Ownership, pathExists, setOwner, writeBeside } from "./files.ts";

/** A file's new content. */
export interface FileChange {
  readonly path: string;
  readonly content: string;
  readonly ownership: Ownership;
}

/** Files that are written and not in place yet. */
export interface Replacement {
  /** Path of a new content, by the file's path. */
  readonly staged: ReadonlyMap<string, string>;
  /** Puts the new files in place. Each is replaced atomically, not all of them at once. */
  commit(): Promise<void>;
  /** Puts the former files back, with the owner and mode they should have. A file that did not exist before stays as it is. */
  restore(): Promise<void>;
  /** Removes what is left beside the files. */
  discard(): Promise<void>;
}

const formerOf = (path: string) => join(dirname(path), `.${basename(path)}.former`);

/** @throws Error that names the file, when one cannot be written: nothing was changed then */
export async function stageFiles(changes: readonly FileChange[]): Promise<Replacement> {
  const staged = new Map<string, string>();
  const discard = async () => {
    for (const { path } of changes) {
      await rm(formerOf(path), { force: true });
      const beside = staged.get(path);
      if (beside !== undefined) await rm(beside, { force: true });
    }
  };
  for (const { path, content, ownership } of changes) {
    try {
      staged.set(path, await writeBeside(path, content, ownership));
    } catch (error) {
      await discard();
      throw new Error(
        `${path} cannot be written on the Mac (${(error as Error).message}); config and daemons were not changed. If its disk is full, free some space, then run pulumi up again`,
      );
    }
  }
  return {
    staged,
    async commit() {
      for (const { path } of changes) {
        await rm(formerOf(path), { force: true });
        if (await pathExists(path)) await link(path, formerOf(path));
      }
      for (const { path } of changes) await rename(staged.get(path)!, path);
    },
    async restore() {
      for (const { path, ownership } of changes) {
        if (!(await pathExists(formerOf(path)))) continue;
        await rename(formerOf(path), path);
        await setOwner(path, ownership.owner);
        await chmod(path, ownership.mode);
      }
    },
    discard,
  };
}
