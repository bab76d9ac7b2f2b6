/** A model server from its project's own releases: downloaded, compared with the hash that is published there, unpacked. */
import { readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as tar from "tar";
import { z } from "zod";
import { download } from "../../../runtime/artifacts/download.ts";
import type { OfficialArchive } from "./recipes.ts";

const releaseSchema = z.object({ assets: z.array(z.object({ name: z.string(), digest: z.string().nullish() })) });

/**
 * Unpacks the archive into `into`, with the program (and the libraries beside it) at its top.
 * @throws Error when it cannot be downloaded, its hash is not published or another one, or it does not hold the program
 */
export async function fetchOfficial(archive: OfficialArchive, program: string, into: string): Promise<void> {
  const file = join(into, ".archive.tgz");
  const listed = join(into, ".published");
  const actual = await download(archive.url, file, { attempts: 2 });
  await download("list" in archive.published ? archive.published.list : archive.published.release, listed);
  const name = archive.url.slice(archive.url.lastIndexOf("/") + 1);
  const expected = publishedHash(await readFile(listed, "utf8"), name, "list" in archive.published);
  await rm(listed);
  if (actual !== expected) {
    await rm(file);
    throw new Error(`${archive.url} has sha256 ${actual}, published is ${expected ?? "none for this file"}: not used`);
  }
  await tar.extract({ file, cwd: into });
  await rm(file);
  const folder = await folderOf(program, into);
  if (folder === undefined) throw new Error(`${archive.url} holds no ${program}`);
  if (folder === into) return;
  for (const one of await readdir(folder)) await rename(join(folder, one), join(into, one));
}

/** @returns the hash of `name` in a list or in GitHub's description of a release */
export function publishedHash(text: string, name: string, isList: boolean): string | undefined {
  if (isList) {
    const lines = text.split("\n").map((line) => line.trim().split(/\s+/));
    return lines.find(([, file]) => file?.replace(/^(\*|\.\/)/, "") === name)?.[0];
  }
  const { assets } = releaseSchema.parse(JSON.parse(text));
  return /^sha256:([0-9a-f]{64})$/.exec(assets.find((asset) => asset.name === name)?.digest ?? "")?.[1];
}

async function folderOf(program: string, folder: string): Promise<string | undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.some((entry) => entry.isFile() && entry.name === program)) return folder;
  for (const entry of entries) {
    const found = entry.isDirectory() ? await folderOf(program, join(folder, entry.name)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}
