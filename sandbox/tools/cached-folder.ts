/** A folder of the cache that is filled once, whoever needs it first: other processes wait for that one. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import { claim, claimant } from "../machine/claim.ts";

/** What is cached. */
export interface CachedFolder {
  /** For messages. */
  readonly name: string;
  readonly folder: string;
  /** The file in it that shows that it is complete. */
  readonly file: string;
  /** Fills an empty folder. */
  fill(work: string): Promise<void>;
}

/**
 * @returns the path of the file, which exists now; the folder appears in one step, so that an interrupted fill leaves nothing
 * that looks complete
 * @throws what `fill` throws
 */
export async function cachedFolder({ name, folder, file, fill }: CachedFolder, log: Log): Promise<string> {
  const wanted = join(folder, file);
  if (existsSync(wanted)) return wanted;
  const parent = dirname(folder);
  await mkdir(parent, { recursive: true });
  const claimFile = `${folder}.claim`;
  let claimed = await claim(claimFile);
  if (!claimed) log(`${name}: process ${await claimant(claimFile)} is getting it already: waiting for that`);
  while (!claimed) {
    await delay(300);
    claimed = await claim(claimFile);
  }
  try {
    if (existsSync(wanted)) return wanted; // by another process, meanwhile
    const prefix = `.${basename(folder)}-`;
    for (const left of await readdir(parent)) {
      if (left.startsWith(prefix)) await rm(join(parent, left), { recursive: true, force: true }); // of a killed one
    }
    const work = await mkdtemp(join(parent, prefix));
    try {
      await fill(work);
      if (!existsSync(join(work, file))) throw new Error(`${name}: what was obtained holds no ${file}`);
      await rm(folder, { recursive: true, force: true });
      await rename(work, folder);
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  } finally {
    await claimed.release();
  }
  return wanted;
}
