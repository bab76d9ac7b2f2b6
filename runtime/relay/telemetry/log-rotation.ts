/**
 * Rotates the daemons' log files by copy and truncate. launchd opens a daemon's log for appending once: if the file were
 * renamed, the daemon would continue to write to it.
 * Source: job_setup_fd in https://github.com/apple-oss-distributions/launchd/blob/launchd-842.92.1/src/core.c
 */
import { copyFile, mkdir, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log.ts";

export interface RotationLimits {
  /** Larger files are rotated. */
  readonly bytes: number;
  /** Copies per file, in the folder `rotated` beside it; `<name>.log.1` is the newest. */
  readonly copies: number;
}

const BOUNDS: RotationLimits = { bytes: 32 * 2 ** 20, copies: 3 };
const EVERY_MS = 600_000;

/**
 * Rotates each `*.log` of the folder that is too large. Lines written between copy and truncation (milliseconds) are lost.
 * Truncates even if the copy fails (full disk). Never rejects: failures are logged.
 */
export async function rotateLogs(folder: string, log: Log, { bytes, copies }: RotationLimits = BOUNDS): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => one.endsWith(".log"))) {
    const file = join(folder, name);
    try {
      if ((await stat(file)).size <= bytes) continue;
      await keepCopy(folder, name, copies).catch((err: unknown) =>
        log.warn({ err, file: name }, "log truncated without a copy"),
      );
      await truncate(file);
    } catch (err) {
      log.warn({ err, file: name }, "log cannot be rotated");
    }
  }
}

/** In a folder of their own: the logs' folder is root's, who opens the files in it. */
async function keepCopy(folder: string, name: string, copies: number): Promise<void> {
  const rotated = join(folder, "rotated");
  await mkdir(rotated, { recursive: true });
  const copy = (n: number) => join(rotated, `${name}.${n}`);
  await rm(copy(copies), { force: true }); // first, to free its space
  for (let n = copies; n > 1; n--) await rename(copy(n - 1), copy(n)).catch(() => {}); // does not exist yet
  await copyFile(join(folder, name), copy(1));
}

/** Rotates every ten minutes; the timer does not keep the process alive. @returns stops it */
export function startLogRotation(folder: string, log: Log): () => void {
  const timer = setInterval(() => void rotateLogs(folder, log), EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
