/** Archives for a Mac without internet access: downloaded here, checked, kept, and uploaded from here. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { download } from "./download.ts";

/**
 * Has the archive in `folder`, named by its hash. Downloads it once, up to ten minutes; what is there is checked again,
 * since it will be run as root.
 * @returns its path
 * @throws Error saying what to do when it cannot be had or is not what it should be
 */
export async function cachedArtifact(
  folder: string,
  { url, sha256 }: { url: string; sha256: string },
): Promise<string> {
  const path = join(folder, `${sha256}.tgz`);
  if ((await isFile(path)) && (await hashOf(path)) === sha256) return path;
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, ".incoming-"));
  try {
    const incoming = join(work, "archive.tgz");
    const actual = await downloaded(url, incoming);
    if (actual !== sha256) {
      throw new Error(
        `what came from ${url} has sha256 ${actual}, not ${sha256}: not used. Correct the config, or ask its publisher`,
      );
    }
    await rename(incoming, path);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function downloaded(url: string, to: string): Promise<string> {
  try {
    return await download(url, to);
  } catch (error) {
    throw new Error(
      `artifacts.push is on, so this machine downloads for the Mac, and cannot get ${url} (${(error as Error).message}): is it on the internet? Behind a proxy, set HTTPS_PROXY`,
    );
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
