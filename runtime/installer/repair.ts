/** What somebody changed by hand on an installation, and what has to be started anew for it. */
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { readOwners } from "./inspect.ts";
import { plistPath } from "./launchd.ts";
import type { Layout } from "./layout.ts";
import type { Daemon } from "./plists.ts";
import type { Snapshot } from "./releases.ts";
import { run } from "./system.ts";

/** Files that only one daemon reads. */
export interface Wanted {
  daemon: Daemon;
  /** Contents by path. */
  files: ReadonlyMap<string, string>;
}

/**
 * Whether a daemon may run with something that was altered by hand since it was installed. A file that is merely gone
 * cannot have been read; one with other contents may have been, at a start in between. To be asked before the files are
 * written.
 */
export function isAltered(paths: Layout, before: Snapshot, release: string, { daemon, files }: Wanted): boolean {
  const plist = before.plists.get(plistPath(paths, daemon));
  if (plist !== undefined && plist !== daemon.plist) return true;
  if (before.release !== undefined && before.release !== join("releases", release)) return true;
  return [...files].some(([path, content]) => (before.secrets.get(path) ?? content) !== content);
}

/** Sets owner and mode of a release's files and of the programs it uses, where they differ. */
export async function ensureProgramModes(paths: Layout, release: string, programs: readonly string[]): Promise<void> {
  const folder = join(paths.releases, release);
  const files = (await readdir(folder)).filter((name) => name !== "bin").map((name) => join(folder, name));
  const modes = new Map<string, number>([
    ...[folder, ...programs].map((path) => [path, 0o755] as const),
    ...[...files, join(paths.archives, `${release}.tar`)].map((path) => [path, 0o644] as const),
  ]);
  for (const [path, { owner, mode }] of await readOwners([...modes.keys()])) {
    if (owner !== "root:wheel") await run("chown", ["root:wheel", path]);
    if (mode !== modes.get(path)!.toString(8)) await chmod(path, modes.get(path)!);
  }
}
