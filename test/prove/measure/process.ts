/** What a process and a folder use, as the system counts it. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const MIB = 1024 * 1024;

/**
 * Watches a process's resident memory from outside. On Linux the kernel keeps the peak (`VmHWM`), so that none is missed;
 * elsewhere it is sampled every 250 ms.
 */
export class MemoryWatch {
  readonly #pid: number;
  #timer: NodeJS.Timeout | undefined;
  #peak = 0;

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Forgets the peak so far. */
  reset(): void {
    this.#peak = 0;
    if (existsSync(`/proc/${this.#pid}/clear_refs`)) {
      writeFileSync(`/proc/${this.#pid}/clear_refs`, "5"); // resets VmHWM: proc_pid_clear_refs(5)
      return;
    }
    this.#timer ??= setInterval(() => {
      this.#peak = Math.max(this.#peak, this.#sample());
    }, 250);
  }

  /** The peak since `reset`, in MiB; of a process that has ended, as far as it was read before. */
  peakMiB(): number {
    try {
      const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
      const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
      if (kib !== undefined) this.#peak = Math.max(this.#peak, Number(kib) / 1024);
    } catch {
      // no /proc, or the process has ended
    }
    return this.#peak;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): number {
    try {
      const kib = execFileSync("ps", ["-o", "rss=", "-p", String(this.#pid)], { encoding: "utf8" });
      return Number(kib) / 1024;
    } catch {
      return 0;
    }
  }
}

/** MiB of the files in a folder whose name begins with `prefix`. */
export async function folderMiB(folder: string, prefix: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(prefix));
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        (found) => found.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0) / MIB;
}

/** Nearest rank; 0 of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length, Math.max(1, Math.ceil(q * sorted.length))) - 1] ?? 0;
}
