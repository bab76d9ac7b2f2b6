/** Loading and unloading daemons. `launchctl print` is not an API: only its exit code is used. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, run, waitUntil } from "./commands.ts";
import { writeFileAtomic } from "./files.ts";
import type { Layout } from "./layout.ts";
import type { Daemon } from "./plists.ts";

/** launchctl: no such process (3), could not find service (113). */
const notLoaded = [3, 113];
/** launchctl: I/O error (5), already in progress (37): what bootstrap returns while the old job is still exiting. */
const stillEnding = [5, 37];

const target = (label: string) => `system/${label}`;
/** Path of the daemon's plist. */
export const plistPath = (paths: Layout, daemon: Daemon) =>
  join(daemon.plistFolder ?? paths.launchDaemons, `${daemon.label}.plist`);

/** @returns whether launchd has the daemon loaded */
export const isLoaded = async ({ label }: Daemon): Promise<boolean> =>
  (await run("launchctl", ["print", target(label)], notLoaded)).exitCode === 0;

/** Sends a signal to the daemon's process. @returns false if there is no process */
export const signal = async ({ label }: Daemon, name: "HUP" | "TERM" | "USR2"): Promise<boolean> =>
  (await run("launchctl", ["kill", `SIG${name}`, target(label)], notLoaded)).exitCode === 0;

/** Writes and validates the daemon's plist. @throws CommandError if plutil rejects it */
export async function writePlist(paths: Layout, daemon: Daemon): Promise<void> {
  const path = plistPath(paths, daemon);
  await writeFileAtomic(path, daemon.plist, { owner: "root:wheel", mode: 0o644 });
  await run("plutil", ["-lint", path]);
}

/** Stops the daemon and waits until launchd has unloaded it, at most as long as launchd itself waits. */
export async function unload(daemon: Daemon): Promise<void> {
  await run("launchctl", ["bootout", target(daemon.label)], [...notLoaded, 36]); // 36: in progress
  // bootout returns before the job is unloaded.
  const gone = await waitUntil(async () => !(await isLoaded(daemon)), (daemon.exitTimeOut + 10) * 1000);
  if (!gone) throw new Error(`${daemon.label} does not exit; restart the Mac and run pulumi up again`);
}

/** Restarts the daemon with the plist on disk. */
export async function reload(paths: Layout, daemon: Daemon): Promise<void> {
  await unload(daemon);
  await load(paths, daemon);
}

/** Loads and starts the daemon. No effect if it is already loaded. */
export async function load(paths: Layout, daemon: Daemon): Promise<void> {
  await run("launchctl", ["enable", target(daemon.label)]);
  let last: unknown;
  const isThere = await waitUntil(
    async () => {
      try {
        await run("launchctl", ["bootstrap", "system", plistPath(paths, daemon)]);
        return true;
      } catch (error) {
        if (!(error instanceof CommandError) || !stillEnding.includes(error.exitCode)) throw error;
        last = error;
        return isLoaded(daemon); // loaded by another process meanwhile
      }
    },
    15_000,
    500,
  );
  if (!isThere) throw last;
  await run("launchctl", ["kickstart", target(daemon.label)]);
}

/** Stops the daemon and removes its plist. */
export async function removeDaemon(paths: Layout, daemon: Daemon): Promise<void> {
  await unload(daemon);
  await rm(plistPath(paths, daemon), { force: true });
}
