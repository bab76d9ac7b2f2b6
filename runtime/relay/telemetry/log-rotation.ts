/**
 * Keeps the daemons' log files small. launchd opens a daemon's log once, for appending, and never again: renamed, the file
 * would take its writer along. So it is copied and then cut to nothing, and the writer goes on at its new end.
 * Source: job_setup_fd in https://github.com/apple-oss-distributions/launchd/blob/launchd-842.92.1/src/core.c
 */
import { copyFile, readdir, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log.ts";

/** How much is kept. */
export interface RotationLimits {
  /** A file that is larger is cut. */
  readonly bytes: number;
  /** Copies of each, `<name>.log.1` being the newest. */
  readonly copies: number;
}

const BOUNDS: RotationLimits = { bytes: 32 * 2 ** 20, copies: 3 };
const EVERY_MS = 600_000;

/**
 * Looks at every `*.log` of the folder once. Lines written between the copy and the cut are lost: some milliseconds of them.
 * A copy that fails (a full disk) does not save the file from being cut. Never rejects: what could not be done is logged.
 */
export async function rotateLogs(folder: string, log: Log, { bytes, copies }: RotationLimits = BOUNDS): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => one.endsWith(".log"))) {
    const file = join(folder, name);
    try {
      if ((await stat(file)).size <= bytes) continue;
      await keepCopy(file, copies).catch((err: unknown) => log.warn({ err, file: name }, "log cut without a copy"));
      await truncate(file);
    } catch (err) {
      log.warn({ err, file: name }, "this log can not be cut");
    }
  }
}

async function keepCopy(file: string, copies: number): Promise<void> {
  await rm(`${file}.${copies}`, { force: true }); // first, for the room it takes
  for (let n = copies; n > 1; n--) await rename(`${file}.${n - 1}`, `${file}.${n}`).catch(() => {}); // not there yet
  await copyFile(file, `${file}.1`);
}

/** Looks every ten minutes from now on; keeps no process alive. @returns ends it */
export function startLogRotation(folder: string, log: Log): () => void {
  const timer = setInterval(() => void rotateLogs(folder, log), EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
