/** Which descriptors a process has open, by kind. Linux: from /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

/** Descriptors by what they are: a socket's other end, a file's name. */
export type Kinds = Readonly<Record<string, number>>;

/** Local and remote port of a TCP socket by inode, as /proc/net/tcp and tcp6 list them. */
function tcpSockets(pid: number): Map<string, { local: number; remote: number; isListening: boolean }> {
  const sockets = new Map<string, { local: number; remote: number; isListening: boolean }>();
  for (const file of ["tcp", "tcp6"]) {
    for (const line of readFileSync(`/proc/${pid}/net/${file}`, "utf8").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [, local = "", remote = "", state = ""] = fields;
      const port = (address: string) => Number.parseInt(address.split(":")[1] ?? "", 16);
      sockets.set(fields[9] ?? "", { local: port(local), remote: port(remote), isListening: state === "0A" });
    }
  }
  return sockets;
}

/**
 * @param ports names of ports that the process listens on or connects to
 * @returns nothing when the process is not there or the system has no /proc
 */
export function descriptorKinds(pid: number, ports: Readonly<Record<number, string>>): Kinds {
  const kinds: Record<string, number> = {};
  try {
    const sockets = tcpSockets(pid);
    for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
      const kind = kindOf(linkOf(pid, descriptor), sockets, ports);
      kinds[kind] = (kinds[kind] ?? 0) + 1;
    }
  } catch {
    return {};
  }
  return kinds;
}

function linkOf(pid: number, descriptor: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return "closed meanwhile";
  }
}

function kindOf(link: string, sockets: ReturnType<typeof tcpSockets>, ports: Readonly<Record<number, string>>): string {
  const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
  if (inode === undefined) return link.startsWith("/") ? basename(link) : link.replace(/\[?:?\[?\d+\]$/, "");
  const socket = sockets.get(inode);
  if (socket === undefined) return "socket, closed or not TCP";
  if (socket.isListening) return "listening";
  const accepted = ports[socket.local];
  const made = ports[socket.remote];
  if (accepted !== undefined) return `from ${accepted}`;
  return made === undefined ? "to another port" : `to ${made}`;
}

/** The other end that is the suite itself, which reads the metrics. */
export const SUITE = "the suite";

/** Connections with others than the suite. */
export const connectionsIn = (kinds: Kinds): number =>
  Object.entries(kinds).reduce(
    (sum, [kind, count]) => sum + (isConnection(kind) && !kind.endsWith(SUITE) ? count : 0),
    0,
  );

const isConnection = (kind: string) => /^(from|to) /.test(kind);
