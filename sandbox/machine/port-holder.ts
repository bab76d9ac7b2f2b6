/** Which process of this machine listens on a port. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** @returns the ids of the processes that listen on the TCP port; only this user's own unless this one is root */
export function listeners(port: number): number[] {
  if (process.platform === "darwin") {
    try {
      const found = execFileSync("/usr/sbin/lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
      return (found.match(/^\d+$/gm) ?? []).map(Number);
    } catch {
      return []; // lsof ends with 1 when it finds none
    }
  }
  const sockets = listening(port);
  if (sockets.size === 0) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && holds(name, sockets))
    .map(Number);
}

/** @returns the process that listens on the port and its command line, as the subject of a sentence */
export function holder(port: number): string {
  const [pid] = listeners(port);
  if (pid === undefined) return `a process that is not yours (sudo lsof -nP -iTCP:${port} shows which)`;
  return `process ${pid} (${commandOf(pid)})`;
}

/**
 * Inodes of sockets that listen on the port, from /proc/net/tcp: local address in column 2, state (0A) in column 4, inode
 * in column 10.
 */
function listening(port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((file) => {
    try {
      return readFileSync(file, "utf8").split("\n").slice(1);
    } catch {
      return []; // no IPv6
    }
  });
  const columns = rows.map((row) => row.trim().split(/\s+/));
  return new Set(
    columns.filter((row) => row[1]?.endsWith(suffix) && row[3] === "0A").map((row) => `socket:[${row[9]}]`),
  );
}

function holds(pid: string, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false; // closed meanwhile
      }
    });
  } catch {
    return false; // ended meanwhile, or another user's
  }
}

function commandOf(pid: number): string {
  try {
    // The output of ps depends on the locale outside ASCII.
    const words = process.platform === "linux" ? readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0") : [];
    if (words.length > 0) return words.join(" ").trim().slice(0, 200);
    const shown = execFileSync("ps", ["-ww", "-o", "command=", "-p", String(pid)], { encoding: "utf8" });
    return shown.trim().slice(0, 200);
  } catch {
    return "ended meanwhile";
  }
}
