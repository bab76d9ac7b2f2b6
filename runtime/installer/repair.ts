/** What somebody changed by hand on an installation, and what has to be started anew for it. */
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./commands.ts";
import { readOwners, secretHash } from "./inspect.ts";
import type { Layout } from "./layout.ts";

/** Hashes of what an installation wrote, by path; keyed, since some of it is secret and the record is not. */
export type ContentHashes = Record<string, string>;

/** @param key of `ensureStateKey` @returns the hashes of these contents */
export function contentHashes(key: string, contents: ReadonlyMap<string, string>): ContentHashes {
  return Object.fromEntries([...contents].map(([path, text]) => [path, secretHash(key, Buffer.from(text))]));
}

/**
 * Whether a daemon may run with something that was altered by hand since it was installed. A file that is merely gone
 * cannot have been read; one with other contents may have been, at a start in between.
 * @param written what the last installation wrote; undefined of a version that kept no hashes: then nothing counts as altered
 * @param found what lies there now, before it is written again
 * @param paths those that the daemon reads
 */
export function isAltered(
  written: ContentHashes | undefined,
  key: string,
  found: ReadonlyMap<string, string>,
  paths: readonly string[],
): boolean {
  return paths.some((path) => {
    const [wanted, text] = [written?.[path], found.get(path)];
    return wanted !== undefined && text !== undefined && secretHash(key, Buffer.from(text)) !== wanted;
  });
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
