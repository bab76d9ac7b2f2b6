/** `lsof` for a listening port: which process of this machine has it, since the Mac's processes are this machine's. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Command, fail, ok } from "./command.ts";

/** Inodes of sockets that listen on the port, by /proc/net/tcp: local address in the second column, state in the fourth (0A), inode in the tenth. */
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

/** lsof -nP -iTCP:port -sTCP:LISTEN -t */
export const lsof: Command = (call) => {
  const port = call.argv.map((arg) => /^-iTCP:(\d+)$/.exec(arg)?.[1]).find((found) => found !== undefined);
  const isKnown = call.argv.every((arg) => /^(-nP|-iTCP:\d+|-sTCP:LISTEN|-t)$/.test(arg)) && call.argv.includes("-t");
  if (port === undefined || !isKnown) return fail(1, "lsof: the sandbox's lsof knows -nP -iTCP:<port> -sTCP:LISTEN -t");
  if (process.platform === "darwin") {
    try {
      return ok(execFileSync("/usr/sbin/lsof", call.argv, { encoding: "utf8" }).trim());
    } catch {
      return fail(1);
    }
  }
  const sockets = listening(Number(port));
  const pids =
    sockets.size === 0 ? [] : readdirSync("/proc").filter((name) => /^\d+$/.test(name) && holds(name, sockets));
  return pids.length > 0 ? ok(...pids) : fail(1);
};
