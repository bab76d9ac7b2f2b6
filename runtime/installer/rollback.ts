/** Snapshot of the previous installation, rollback to it, and removal of old releases. */
import { readdir, readlink, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { readIfExists, removeTree } from "./files.ts";
import { plistPath } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import type { Daemon } from "./plists.ts";
import type { Replacement } from "./staged-files.ts";

const keepReleases = 3;

/** The previous installation. */
export interface Snapshot {
  /** Target of `current`. */
  release: string | undefined;
  secrets: ReadonlyMap<string, string>;
  plists: ReadonlyMap<string, string>;
}

async function contents(files: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const file of files) {
    const text = await readIfExists(file);
    if (text !== undefined) found.set(file, text);
  }
  return found;
}

/** Reads what is installed now. */
export async function snapshot(
  paths: Layout,
  secrets: readonly string[],
  daemons: readonly Daemon[],
): Promise<Snapshot> {
  const files = await contents(secrets);
  return {
    release: await readlink(paths.current).catch(() => undefined),
    secrets: files,
    plists: await contents(daemons.map((daemon) => plistPath(paths, daemon))),
  };
}

/**
 * Restores the previous installation. A file of it that had been removed by hand stays as the new one: without a plist
 * launchd would start nothing.
 * @param replacement of the files that were changed
 * @param restart restarts each changed daemon from the restored files; unchanged daemons keep running
 * @returns the error to throw: `cause`, and the outcome of the rollback
 */
export async function rollBack(
  before: Snapshot,
  replacement: Replacement,
  restart: readonly (() => Promise<void>)[],
  cause: Error,
): Promise<Error> {
  if (!before.release) return cause; // a first installation: nothing to restore
  try {
    await replacement.restore();
    for (const bringBack of restart) await bringBack();
    return new Error(`${cause.message}\nThe previous installation was restored and is serving.`, { cause });
  } catch (error) {
    return new Error(`${cause.message}\nRestoring the previous installation failed too: ${(error as Error).message}`, {
      cause,
    });
  }
}

/** Keeps the newest releases, including the current and the previous one. */
export async function pruneReleases(paths: Layout, current: string, previous: string | undefined): Promise<void> {
  const keep = new Set([current, previous?.replace(/^releases\//, "")]);
  const others = await Promise.all(
    (await readdir(paths.releases))
      .filter((name) => !keep.has(name))
      .map(async (name) => ({ name, time: (await stat(join(paths.releases, name))).mtimeMs })),
  );
  others.sort((a, b) => b.time - a.time);
  for (const { name } of others.slice(Math.max(0, keepReleases - keep.size))) {
    await removeTree(join(paths.releases, name));
    await rm(join(paths.archives, `${name}.tar`), { force: true });
  }
}
