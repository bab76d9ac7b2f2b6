/** Which run of the machine this is: tells a reboot or a power cut from a crash of the relay. */
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

/**
 * The kernel's own name for the time since it started. If it can not be read, a name nobody else has: then a crash counts
 * as a restart, which uses up no attempt.
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
