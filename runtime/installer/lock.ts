/** One installer at a time: a broken connection may have left one running. */
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { waitUntil } from "./commands.ts";

/**
 * Runs `work` while holding the lock; waits for another installer up to `waitMs`.
 * @throws Error with the process that holds it
 */
export async function withLock<T>(path: string, work: () => Promise<T>, waitMs = 120_000): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const held = await waitUntil(() => tryLock(path), waitMs, 500);
  if (!held) {
    throw new Error(
      `another installation (process ${await readFile(path, "utf8").catch(() => "?")}) has been running on this Mac for two minutes; wait for it, or restart the Mac`,
    );
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", 0o644);
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const pid = Number(await readFile(path, "utf8").catch(() => ""));
  if (pid > 0 && !isAlive(pid)) await rm(path, { force: true }); // it was killed; the next attempt takes the lock
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
