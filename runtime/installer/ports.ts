/** Ports on the Mac: is one free, who holds it, and which one to take for a temporary instance. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import type { InstallInput } from "../config.ts";
import { isListening, run } from "./commands.ts";
import type { Layout } from "./layout.ts";

/** One port that the installation needs, and the setting of the stack config that names it. */
interface RequiredPort {
  port: number;
  who: string;
  setting: "relay" | "admin" | "connector";
}

/**
 * Refuses ports that another program listens on, before anything is touched: found by a daemon that cannot start, it
 * would cost half a minute and a way back.
 * @throws Error that names every taken port, the process that holds it, and the setting to change
 */
export async function refuseTakenPorts(paths: Layout, input: InstallInput): Promise<void> {
  const wanted: RequiredPort[] = [
    { port: input.relay.port, who: "the relay", setting: "relay" },
    { port: input.relay.adminPort, who: "the relay's admin listener", setting: "admin" },
    { port: input.connectorPort, who: "cloudflared's metrics", setting: "connector" },
  ];
  const problems: string[] = [];
  for (const { port, who, setting } of wanted) {
    const holder = await foreignHolder(paths, port);
    if (holder === undefined) continue;
    problems.push(
      `${who} cannot have port ${port} on the Mac: ${holder} listens on it (sudo lsof -nP -iTCP:${port} shows which); end that program, or set another port in macs[].ports.${setting}`,
    );
  }
  if (problems.length > 0) throw new Error(`${problems.join("\n")}\nNothing was changed on the Mac.`);
}

/** @returns who listens on the port, when that is not a program of this installation; undefined when the port is free or ours */
async function foreignHolder(paths: Layout, port: number): Promise<string | undefined> {
  if (!(await isListening("127.0.0.1", port))) return undefined;
  // 1: none is found. 127: no lsof, then nothing tells our own daemon from another program.
  const found = await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], [1, 127]);
  if (found.exitCode === 127) return undefined;
  const pids = found.stdout.match(/^\d+$/gm) ?? [];
  const unknown = "a process that cannot be named";
  let other = pids.length === 0 ? unknown : undefined;
  for (const pid of pids) {
    // Ours run from our folder: the daemons, and one of an earlier installation that is still finishing its requests.
    const command = (await run("ps", ["-ww", "-o", "command=", "-p", pid], [1])).stdout.trim();
    if (!runsFrom(paths.onMac(paths.base), command))
      other ??= command ? `process ${pid} (${command.slice(0, 200)})` : unknown;
  }
  return other;
}

/**
 * Whatever folder plays the Mac's root, since two Macs in folders of one machine (a sandbox that moves) share its loopback;
 * and `ps` shows letters outside ASCII in such a folder's name as `?` or by numbers.
 * @param folder of our programs, as the Mac has it
 * @returns whether a command line, as `ps` shows it, runs something below the folder
 */
export const runsFrom = (folder: string, command: string): boolean => command.includes(`${folder}/`);

/** Ports that no system in use here gives to outgoing connections: macOS takes 49152 to 65535, Linux 32768 to 60999. */
const fixedRange = { from: 20_000, to: 32_767 };
const attempts = 100;

/**
 * A port for something that must be told its port before it can bind it, such as a temporary instance. It lies outside
 * the range of outgoing connections, so that only a program which asks for this very number can take it in between.
 * @returns a port on 127.0.0.1 that nobody listens on
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(fixedRange.from, fixedRange.to + 1);
    // macOS lets a process bind 127.0.0.1 beside one that listens on all addresses: only a connection tells.
    if (!(await isListening("127.0.0.1", port)) && (await binds(port))) return port;
  }
  throw new Error(`no free port from ${fixedRange.from} to ${fixedRange.to} on 127.0.0.1 (${attempts} were tried)`);
}

function binds(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
