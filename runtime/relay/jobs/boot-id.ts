/** Identifies this boot of the machine: distinguishes a reboot or a power cut from a crash of the relay. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

/**
 * The kernel's boot id. If it cannot be read, a random one: then a crash counts as a restart, which does not count as an
 * attempt.
 */
export function bootId(): string {
  try {
    if (process.platform === "darwin") {
      return execFileSync("/usr/sbin/sysctl", ["-n", "kern.bootsessionuuid"], {
        encoding: "utf8",
        timeout: 5000,
      }).trim();
    }
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return `unknown-${randomUUID()}`;
  }
}
