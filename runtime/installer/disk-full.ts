/** A full disk, at whichever write: says so plainly, with the volume, what is free, and what to do. */
import { dirname } from "node:path";
import { diskFullPattern, diskFullText } from "../disk-full.ts";
import { diskSpace } from "../disk-space.ts";
import { CommandError, run } from "./commands.ts";
import { pathExists } from "./files.ts";
import type { Layout } from "./layout.ts";

/** SQLite's result code for a full disk. https://www.sqlite.org/rescode.html#full */
const SQLITE_FULL = 13;

interface Failure {
  code?: unknown;
  errcode?: unknown;
  path?: unknown;
  cause?: unknown;
}

/** @returns what failed because the disk is full: the error, or what caused it; undefined for any other error */
export function diskFullCause(error: unknown): Failure | undefined {
  if (!(error instanceof Error)) return undefined;
  const failure: Failure = error;
  const isFull =
    failure.code === "ENOSPC" ||
    failure.code === "EDQUOT" ||
    failure.errcode === SQLITE_FULL ||
    (error instanceof CommandError && diskFullPattern.test(error.message));
  return isFull ? failure : diskFullCause(failure.cause);
}

/**
 * Runs `work`, which writes.
 * @param state what is in service when it fails, as a sentence; "" if the error says so itself
 * @throws Error with the words above the original ones if the disk is full; any other error as it is
 */
export async function sayIfDiskFull<T>(paths: Layout, state: () => string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const failure = diskFullCause(error);
    if (failure === undefined) throw error;
    const { volume, free } = await fullest(typeof failure.path === "string" ? [failure.path] : writtenIn(paths));
    throw new Error([`${diskFullText(volume, free)}.`, (error as Error).message, state()].filter(Boolean).join("\n"), {
      cause: error,
    });
  }
}

/** Folders that the installer writes in; they may be on several volumes. */
const writtenIn = (paths: Layout) => [paths.base, paths.config, paths.data, paths.logs, paths.launchDaemons];

/** @returns the volume with the least free space of those that hold these paths */
async function fullest(candidates: readonly string[]): Promise<{ volume: string; free: string }> {
  let found = { path: "/", bytes: Number.POSITIVE_INFINITY };
  for (const candidate of candidates) {
    const path = await existing(candidate);
    const bytes = await diskSpace(path).then(
      ({ freeBytes }) => freeBytes,
      () => Number.POSITIVE_INFINITY,
    );
    if (bytes < found.bytes) found = { path, bytes };
  }
  const free = Number.isFinite(found.bytes) ? `${Math.floor(found.bytes / 2 ** 20)} MiB` : "an unknown amount";
  return { volume: await mountPoint(found.path), free };
}

/** @returns the path, or the next folder above it that exists */
async function existing(path: string): Promise<string> {
  return path === dirname(path) || (await pathExists(path)) ? path : existing(dirname(path));
}

/** @returns where the path's volume is mounted, as df(1) says; the path itself if df does not say it */
async function mountPoint(path: string): Promise<string> {
  const listing = await run("df", ["-Pk", path]).catch(() => undefined);
  return /\d+%\s+(\/.*)$/.exec(listing?.stdout.trim() ?? "")?.[1] ?? path;
}
