/**
 * Ends what the sandbox started when the sandbox itself dies without a chance to (SIGKILL, a crash): a small process that
 * holds the reading end of a pipe. When the pipe closes, it kills every process group it was told of and exits.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Told of each process group the sandbox starts. */
export interface Reaper {
  /** `pid` leads a process group (started with `detached: true`) that must not outlive the sandbox. */
  watch(pid: number): void;
  /** The group has ended: its id may be used by others now. */
  forget(pid: number): void;
  /** Ends the reaper, killing what it still watches. Resolves when it is gone. */
  close(): Promise<void>;
}

/** Starts the reaper as a process of its own. */
export function startReaper(): Reaper {
  const child = spawn(process.execPath, [import.meta.filename], {
    stdio: ["pipe", "ignore", "inherit"],
    detached: true, // a Ctrl-C at the terminal must not end it before the sandbox
  });
  child.unref();
  child.stdin.on("error", () => {}); // it was killed by somebody else: nothing left to tell it
  return {
    watch: (pid) => void child.stdin.write(`+${pid}\n`),
    forget: (pid) => void child.stdin.write(`-${pid}\n`),
    close: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.ref(); // somebody waits for it now
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
