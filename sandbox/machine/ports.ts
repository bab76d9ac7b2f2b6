/**
 * Ports of this machine for the sandbox and the tests. A port that can be bound at once is bound as 0 and its socket kept.
 * A number that must be known earlier (config files, command lines, a sandbox's identity) is claimed here: outside the
 * system's range for outgoing connections and `listen(0)`, and under a claim that a user's sandboxes and test workers
 * respect.
 */
import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Claim, claim, wasClaimed } from "./claim.ts";
import { holder } from "./port-holder.ts";

/** First and last port of a range. */
export interface PortRange {
  first: number;
  last: number;
}

/** A needed port is held by another program; the message names it and the fix. */
export class PortTaken extends Error {
  override name = "PortTaken";
  readonly port: number;
  constructor(port: number, what: string) {
    super(
      `${what} needs port ${port} of 127.0.0.1, and ${holder(port)} listens on it: end that program; the next start of the sandbox takes another port where it can`,
    );
    this.port = port;
  }
}

/** The sandbox's range, unless the system's own range overlaps it. */
const preferred: PortRange = { first: 20_000, last: 32_767 };
const leastPorts = 500;
const attempts = 200;
/** Attempts that leave alone the ports of ended processes: a sandbox that was killed finds its ports again. */
const considerateAttempts = 100;
/** How long a remembered port may take to become free: a killed process closes its sockets after its claim is void. */
const freeWithinMs = 1_000;

/** @returns the range for outgoing connections; the widest common one when the system does not report it */
export function ephemeralRange(): PortRange {
  try {
    const text =
      process.platform === "linux"
        ? readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8")
        : execFileSync("sysctl", ["-n", "net.inet.ip.portrange.first", "net.inet.ip.portrange.last"], {
            encoding: "utf8",
            stdio: ["ignore", "pipe", "ignore"],
          });
    const [first = 0, last = 0] = text.trim().split(/\s+/).map(Number);
    if (first > 0 && last >= first) return { first, last };
  } catch {
    // Not readable here.
  }
  return { first: 32_768, last: 65_535 };
}

/**
 * Pure: the ports to choose from. Outside the range of outgoing connections; only where that range leaves too few, all.
 */
export function fixedRange(ephemeral: PortRange): PortRange {
  const choices = [
    { first: preferred.first, last: Math.min(preferred.last, ephemeral.first - 1) },
    { first: Math.max(preferred.first, ephemeral.last + 1), last: 65_535 },
    { first: 5_000, last: ephemeral.first - 1 },
  ];
  return choices.find(({ first, last }) => last - first + 1 >= leastPorts) ?? preferred;
}

const claimsFolder = () => join(tmpdir(), `slm-network-ports-${process.getuid?.() ?? "user"}`);
const claimOf = (port: number) => join(claimsFolder(), String(port));
/** Claims of this process, kept until it ends. */
const own = new Map<number, Claim>();
process.once("exit", () => {
  for (const port of own.keys()) rmSync(claimOf(port), { force: true });
});

/**
 * Claims a free port of 127.0.0.1 for this process until it ends (or `releasePort`).
 * @param remembered is reused if it is free and outside the range of outgoing connections
 * @throws Error when no port is available
 */
export async function claimPort(remembered?: number): Promise<number> {
  const ephemeral = ephemeralRange();
  const { first, last } = fixedRange(ephemeral);
  const isOutside = (port: number) =>
    port < ephemeral.first || port > ephemeral.last || (port >= first && port <= last);
  if (remembered !== undefined && isOutside(remembered) && (await take(remembered, freeWithinMs))) return remembered;
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(first, last + 1);
    if (own.has(port)) continue; // may be waiting to be bound
    if (attempt < considerateAttempts && (await wasClaimed(claimOf(port)))) continue;
    if (await take(port)) return port;
  }
  throw new Error(`no free port from ${first} to ${last} on 127.0.0.1 (${attempts} were tried)`);
}

/** `count` of them, all different. */
export async function claimPorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await claimPort());
  return ports;
}

/** Releases the claim of a port. */
export async function releasePort(port: number): Promise<void> {
  const claimed = own.get(port);
  own.delete(port);
  await claimed?.release();
}

async function take(port: number, withinMs = 0): Promise<boolean> {
  // This process's earlier claim counts as its own if the port is free: a restarted sandbox.
  const claimed = own.get(port) ?? (await claim(claimOf(port)));
  if (!claimed) return false;
  const deadline = performance.now() + withinMs;
  do {
    if (await isFree(port)) {
      own.set(port, claimed);
      return true;
    }
    if (withinMs > 0) await setTimeout(25);
  } while (performance.now() < deadline);
  own.delete(port);
  await claimed.release();
  return false;
}

/** @returns whether nobody listens on the port of 127.0.0.1 */
export async function isFree(port: number): Promise<boolean> {
  // macOS lets a process bind 127.0.0.1 beside one that listens on all addresses: only connecting reveals it.
  if (process.platform === "darwin" && (await isAnswered(port))) return false;
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function isAnswered(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Attempts to start when a port is taken between its claim and its use. */
const starts = 3;

/**
 * Claims ports and starts what binds them. A program that ignores claims may take one in between: then both are repeated
 * with another port.
 * @param claimAll claims the ports that `start` binds; on a repeated call it replaces taken ones
 * @throws PortTaken when that happens three times
 */
export async function startOnPorts<P, S>(claimAll: () => Promise<P>, start: (ports: P) => Promise<S>): Promise<[P, S]> {
  for (let attempt = 1; ; attempt++) {
    const ports = await claimAll();
    try {
      return [ports, await start(ports)];
    } catch (error) {
      if (!(error instanceof PortTaken) || attempt === starts) throw error;
    }
  }
}

/**
 * Makes a server listen on 127.0.0.1.
 * @param port 0 picks a free one
 * @param what names the server in an error
 * @returns the port
 * @throws PortTaken
 */
export function listenOn(server: Server, port: number, what: string, host = "127.0.0.1"): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) =>
      reject(error.code === "EADDRINUSE" ? new PortTaken(port, what) : error);
    server.once("error", failed);
    server.listen(port, host, () => {
      server.off("error", failed);
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error(`${what} has no port`));
      else resolve(address.port);
    });
  });
}
