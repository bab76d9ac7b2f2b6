/** A small disk of its own for a folder of the emulated Mac, so that it can be filled. Linux, as root: a tmpfs. */
import { execFileSync } from "node:child_process";
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, realpathSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { atExit } from "../ending.ts";

/** Whether disks can be made here. */
export const canMount = process.platform === "linux" && process.getuid?.() === 0 && tryMount();

function tryMount(): boolean {
  try {
    execFileSync("unshare", ["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A mounted disk. */
export class Disk {
  readonly #folder: string;
  readonly #filling: string;
  /** A run that was ended from outside leaves no mounted disk. */
  readonly #unmounted: () => void;

  /** @param folder created if missing, and covered by the disk */
  constructor(folder: string, sizeMiB: number) {
    mkdirSync(folder, { recursive: true });
    this.#folder = realpathSync(folder);
    this.#filling = join(this.#folder, ".filling");
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m,mode=0755`, "tmpfs", this.#folder]);
    this.#unmounted = atExit(() => this.unmount());
  }

  /** Writes until nothing more fits than `leaveBytes`, rounded down to blocks. */
  fill(leaveBytes = 0): void {
    const file = openSync(this.#filling, "a", 0o600);
    try {
      for (const size of [1 << 20, 4096]) {
        try {
          for (;;) writeSync(file, Buffer.alloc(size));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        }
      }
      if (leaveBytes > 0) ftruncateSync(file, fstatSync(file).size - leaveBytes);
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#filling, { force: true });
  }

  unmount(): void {
    this.#unmounted();
    // Lazily: a process that has not ended yet must not keep the folder from being removed.
    execFileSync("umount", ["-l", this.#folder], { stdio: "ignore" });
  }
}
