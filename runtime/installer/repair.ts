/** Detects and repairs manual changes to an installation. */
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setOwner } from "./files.ts";
import { readOwners, secretHash } from "./inspect.ts";
import type { Layout } from "./layout.ts";

/** Keyed hashes of the written files by path: some files are secret, and the record is not. */
export type ContentHashes = Record<string, string>;

/** @param key of `ensureStateKey` @returns the hashes of these contents */
export function contentHashes(key: string, contents: ReadonlyMap<string, string>): ContentHashes {
  return Object.fromEntries([...contents].map(([path, text]) => [path, secretHash(key, Buffer.from(text))]));
}

/**
 * Whether a daemon may have read a file that was altered by hand. A missing file cannot have been read; an altered one may
 * have been, at a restart in between.
 * @param written hashes from the last installation; undefined from versions without them: then nothing counts as altered
 * @param found contents now, before they are written again
 * @param paths the files the daemon reads
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

/** Corrects owner and mode of a release's files and programs. */
export async function ensureProgramModes(paths: Layout, release: string, programs: readonly string[]): Promise<void> {
  const folder = join(paths.releases, release);
  const files = (await readdir(folder)).filter((name) => name !== "bin").map((name) => join(folder, name));
  const modes = new Map<string, number>([
    ...[folder, ...programs].map((path) => [path, 0o755] as const),
    ...[...files, join(paths.archives, `${release}.tar`)].map((path) => [path, 0o644] as const),
  ]);
  for (const [path, { owner, mode }] of await readOwners([...modes.keys()])) {
    if (owner !== "root:wheel") await setOwner(path, "root:wheel");
    if (mode !== modes.get(path)!.toString(8)) await chmod(path, modes.get(path)!);
  }
}
