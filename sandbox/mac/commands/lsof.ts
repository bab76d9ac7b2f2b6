/** `lsof`: who listens on a TCP port. One form of it, for whoever asks which process that is. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Command, fail } from "./command.ts";

/** /proc/net/tcp: 0A is LISTEN. https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html */
const listening = "0A";

/** lsof -nP -iTCP:PORT -sTCP:LISTEN -t */
export const lsof: Command = (call) => {
  const port = /^-iTCP:(\d+)$/.exec(call.argv.find((arg) => arg.startsWith("-i")) ?? "")?.[1];
  if (port === undefined || !call.argv.includes("-sTCP:LISTEN") || !call.argv.includes("-t")) {
    return fail(64, "lsof: the sandbox's lsof knows only -nP -iTCP:PORT -sTCP:LISTEN -t");
  }
  const pids = listeners(Number(port));
  return { code: pids.length > 0 ? 0 : 1, stdout: pids.map((pid) => `${pid}\n`).join(""), stderr: "" };
};

/** Linux only: on a Mac the stand-ins do without this one, since the real one is there. */
function listeners(port: number): string[] {
  const sockets = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap(read).flatMap((line) => {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      const isIt = state === listening && Number.parseInt(local?.split(":")[1] ?? "", 16) === port;
      return isIt ? [`socket:[${inode}]`] : [];
    }),
  );
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => open(pid).some((link) => sockets.has(link)));
}

const read = (path: string): string[] => {
  try {
    return readFileSync(path, "utf8").split("\n").slice(1);
  } catch {
    return []; // no IPv6 here
  }
};

/** What a process has open; nothing of one that is not ours, or has gone meanwhile. */
function open(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
