/**
 * Kills the sandbox's processes when the sandbox dies without cleaning up (SIGKILL, a crash): a small process that holds
 * the reading end of a pipe. When the pipe closes, it kills every registered process group and exits.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Registers each process group that the sandbox starts. */
export interface Reaper {
  /** `pid` leads a process group (started with `detached: true`) that must not outlive the sandbox. */
  watch(pid: number): void;
  /** The group has ended: its id may be reused. */
  forget(pid: number): void;
  /** Stops the reaper, killing the groups it still watches. Resolves when it is gone. */
  close(): Promise<void>;
}

/** Starts the reaper as a separate process. */
export function startReaper(): Reaper {
  const child = spawn(process.execPath, [import.meta.filename], {
    stdio: ["pipe", "ignore", "inherit"],
    detached: true, // Ctrl-C at the terminal must not end it before the sandbox
  });
  child.unref();
  child.stdin.on("error", () => {}); // killed by another process: nothing to send
  return {
    watch: (pid) => void child.stdin.write(`+${pid}\n`),
    forget: (pid) => void child.stdin.write(`-${pid}\n`),
    close: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.ref(); // its end is awaited now
        child.once("exit", () => resolve());
        child.stdin.end();
      }),
  };
}

if (import.meta.main) {
  const groups = new Set<number>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const pid = Number(line.slice(1));
    if (!Number.isInteger(pid) || pid <= 1) return;
    if (line.startsWith("+")) groups.add(pid);
    else groups.delete(pid);
  });
  lines.on("close", () => {
    for (const pid of groups) {
      try {
        process.kill(-pid, "SIGKILL");
      } catch {
        // already gone
      }
    }
    process.exit(0);
  });
}
