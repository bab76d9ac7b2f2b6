/** Ports on the Mac: conflicts with other programs, and free ports for temporary instances. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import type { InstallInput } from "../install-input-schema.ts";
import { isListening, run } from "./commands.ts";
import type { Layout } from "./layout.ts";

/** A port that the installation needs, and its setting in the stack config. */
interface RequiredPort {
  port: number;
  who: string;
  setting: "relay" | "admin" | "connector" | "direct";
}

/**
 * Refuses ports that another program listens on, before anything is changed: a daemon that cannot start would cost half
 * a minute and a rollback.
 * @throws Error with every port in use, its process, and the setting to change
 */
export async function refuseTakenPorts(paths: Layout, input: InstallInput): Promise<void> {
  const wanted: RequiredPort[] = [
    { port: input.relay.port, who: "the relay", setting: "relay" },
    { port: input.relay.adminPort, who: "the relay's admin listener", setting: "admin" },
    { port: input.connectorPort, who: "cloudflared's metrics", setting: "connector" },
    ...(input.relay.direct?.lines ?? []).map(({ server, port }) => ({
      port,
      who: `the relay's listener for the direct line of ${server}`,
      setting: "direct" as const,
    })),
  ];
  const problems: string[] = [];
  for (const { port, who, setting } of wanted) {
    const holder = await foreignHolder(paths, port);
    if (holder === undefined) continue;
    problems.push(
      `${who} cannot use port ${port} on the Mac: ${holder} listens on it (sudo lsof -nP -iTCP:${port} shows which); end that program, or set another port in macs[].ports.${setting}`,
    );
  }
  if (problems.length > 0) throw new Error(`${problems.join("\n")}\nNothing was changed on the Mac.`);
}

/** @returns the process that listens on the port if it is not part of this installation; undefined if the port is free or ours */
async function foreignHolder(paths: Layout, port: number): Promise<string | undefined> {
  if (!(await isListening("127.0.0.1", port))) return undefined;
  // 1: none found. 127: no lsof, so our own daemon cannot be told apart from another program.
  const found = await run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN", "-t"], [1, 127]);
  if (found.exitCode === 127) return undefined;
  const pids = found.stdout.match(/^\d+$/gm) ?? [];
  const unknown = "a process that cannot be named";
  let other = pids.length === 0 ? unknown : undefined;
  for (const pid of pids) {
    // Our programs run from our folder: the daemons, and an earlier relay that is still finishing its requests.
    const command = (await run("ps", ["-ww", "-o", "command=", "-p", pid], [1])).stdout.trim();
    if (!runsFrom(paths.onMac(paths.base), command))
      other ??= command ? `process ${pid} (${command.slice(0, 200)})` : unknown;
  }
  return other;
}

/**
 * Compares without the root folder: two emulated Macs in folders of one machine share its loopback, and `ps` prints
 * non-ASCII letters in a folder's name as `?` or escapes.
 * @param folder of our programs, as the Mac has it
 * @returns whether a command line, as `ps` shows it, runs something below the folder
 */
export const runsFrom = (folder: string, command: string): boolean => command.includes(`${folder}/`);

/** Outside the ephemeral ranges of macOS (49152 to 65535) and Linux (32768 to 60999). */
const fixedRange = { from: 20_000, to: 32_767 };
const attempts = 100;

/**
 * A port for a process that needs its port before it binds it, such as a temporary instance. It is outside the ephemeral
 * range, so only a program that asks for this number can take it in between.
 * @returns a free port on 127.0.0.1
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = randomInt(fixedRange.from, fixedRange.to + 1);
    // macOS allows binding 127.0.0.1 beside a listener on all addresses: only a connection shows it.
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
