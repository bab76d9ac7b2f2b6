/**
 * One installer at a time: a broken connection may have left one running. SQLite holds the lock, on an empty file: the
 * kernel releases it when its process ends, however it ends, and a later process with the same number holds nothing.
 */
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isAlive } from "../process-alive.ts";
import { waitUntil } from "./commands.ts";
import { readIfExists } from "./files.ts";

/** SQLite's result code for a lock that another process holds. https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5;
/** An installer of an earlier version writes its number right after it creates the file. In milliseconds. */
const unwrittenMs = 10_000;

/**
 * Runs `work` while holding the lock; waits for another installer up to `waitMs`.
 * @param path names the process that holds the lock, for people; the lock itself is beside it
 * @throws Error with the process that holds it
 */
export async function withLock<T>(path: string, work: () => Promise<T>, waitMs = 120_000): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  let lock: DatabaseSync | undefined;
  const take = async (): Promise<boolean> => {
    lock = await tryLock(path);
    return lock !== undefined;
  };
  await waitUntil(take, waitMs, 500);
  if (lock === undefined) {
    const holder = (await readIfExists(path).catch(() => undefined))?.trim();
    throw new Error(
      `another installation (process ${holder || "?"}) has been running on this Mac for ${Math.round(waitMs / 1000)} s; wait for it, or end that process on the Mac (sudo kill ${holder || "<process>"})`,
    );
  }
  try {
    await noteHolder(path).catch(() => {}); // a full disk: only the error above would miss the number
    return await work();
  } finally {
    await rm(path, { force: true });
    lock.close();
  }
}

/** @returns the open lock; undefined while another installer holds it */
async function tryLock(path: string): Promise<DatabaseSync | undefined> {
  if (await isHeldByEarlierVersion(path)) return undefined;
  const lock = new DatabaseSync(`${path}.db`, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}

/** In one step: a file that was only begun must not count as an earlier version's. */
async function noteHolder(path: string): Promise<void> {
  await writeFile(`${path}.incoming`, `${process.pid}\n`, { mode: 0o644 });
  await rename(`${path}.incoming`, path);
}

/** Earlier versions held the lock by the file alone, with their number and no newline in it. */
async function isHeldByEarlierVersion(path: string): Promise<boolean> {
  const text = await readIfExists(path);
  if (text === undefined || text.endsWith("\n")) return false;
  const pid = Number(text);
  if (pid > 0) return isAlive(pid);
  const written = await stat(path).catch(() => undefined);
  return written !== undefined && Math.abs(Date.now() - written.mtimeMs) < unwrittenMs;
}
