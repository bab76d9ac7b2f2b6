/** Archives for a Mac without a way out: downloaded here, checked, kept, and uploaded from here. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

/**
 * Has the archive in `folder`, named by its hash. Downloads it once, up to ten minutes; what is there is checked again,
 * since it will be run as root.
 * @returns its path
 * @throws Error saying what to do when it can not be had or is not what it should be
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
    await download(url, incoming);
    const actual = await hashOf(incoming);
    if (actual !== sha256) {
      throw new Error(
        `what came from ${url} has sha256 ${actual}, not ${sha256}: not used. Correct the config, or ask who serves it`,
      );
    }
    await rename(incoming, path);
    return path;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function download(url: string, to: string): Promise<void> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(600_000) });
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
    await pipeline(Readable.fromWeb(response.body as ReadableStream), createWriteStream(to));
  } catch (error) {
    const { cause, message } = error as Error;
    const why = cause instanceof Error ? cause.message : message;
    throw new Error(
      `artifacts.push is on, so this machine downloads for the Mac, and can not get ${url} (${why}): is it on the internet?`,
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
