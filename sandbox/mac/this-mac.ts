/**
 * This machine itself as the Mac: its own sshd, launchd, plutil and pmset, without emulation. For a disposable hosted
 * runner, because the installation is real.
 */
import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import type { Log } from "../log.ts";
import { startAgent } from "./agent.ts";
import type { Mac } from "./mac.ts";
import { hostKeyOf, type OtherSsh, readKey } from "./other-ssh.ts";

/** The sandbox's interface to its Mac. */
export type UsedMac = Omit<Mac, "launchd" | "ownerOf" | "power" | "hardwareUuid" | "otherHostKeys">;

/** Options of `useThisMac`. */
export interface ThisMacOptions {
  /** This machine's own sshd, and a key that it lets in. */
  ssh: OtherSsh;
  /** Set for everything that launchd starts while the sandbox runs. */
  environment: Record<string, string>;
  log: Log;
  /** @default runs it */
  run?: (program: string, args: string[]) => Promise<unknown>;
  /** @default this machine's */
  platform?: NodeJS.Platform;
}

/** Replaces a file's path by that of a copy readable by the daemons' account: the sandbox's own folder is private. */
function shared(value: string, folder: string): string {
  if (!isAbsolute(value) || !existsSync(value)) return value;
  const copy = join(folder, basename(value));
  copyFileSync(value, copy);
  chmodSync(copy, 0o644);
  return copy;
}

/** @throws Error naming what is missing */
export async function useThisMac(options: ThisMacOptions): Promise<UsedMac> {
  const { ssh, environment, log, run = promisify(execFile), platform = process.platform } = options;
  if (platform !== "darwin")
    throw new Error(`SANDBOX_MAC is "this" and this machine is no Mac (${platform}): unset it`);
  const key = readKey(ssh.keyPath);
  const hostKey = await hostKeyOf(ssh, key, "this machine's sshd");
  const variables = Object.keys(environment);
  const launchctl = (...args: string[]) => run("sudo", ["-n", "launchctl", ...args]);
  const folder = mkdtempSync("/tmp/slm-this-mac-"); // readable by the daemons' account; short enough for the socket
  chmodSync(folder, 0o711);
  for (const [name, value] of Object.entries(environment)) await launchctl("setenv", name, shared(value, folder));
  const agent = await startAgent(join(folder, "agent.sock"), key, "this-mac");
  const impossible = () => Promise.reject(new Error("this machine is the Mac: its power cannot be cut from here"));
  log(`mac: this machine, ssh at ${ssh.host}:${ssh.port}`);
  return {
    host: ssh.host,
    port: ssh.port,
    user: ssh.user,
    hostKey,
    privateKeyPath: ssh.keyPath,
    agentSocket: agent.socketPath,
    root: "/",
    powerCut: impossible,
    boot: impossible,
    powerReturns: impossible,
    close: async () => {
      for (const name of variables) await launchctl("unsetenv", name);
      await agent.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
