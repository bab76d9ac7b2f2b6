/** An emulated Mac Studio to install on: SSH, a root folder, macOS' commands and launchd. */

import { mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import type { Reaper } from "../machine/reaper.ts";
import { startAgent } from "./agent.ts";
import { writeBsdTools } from "./bsd-tools.ts";
import type { Machine } from "./commands/command.ts";
import { type Control, startControl } from "./control.ts";
import { Directory } from "./directory.ts";
import { SessionProcesses } from "./exec.ts";
import { allowSudo, emptyTmp, makeRoot, writeEmulatedCommands } from "./file-system.ts";
import { readHardware } from "./hardware.ts";
import { type KeyPair, keyPair, otherHostKeys, publicKeyOf } from "./keys.ts";
import { Launchd } from "./launchd.ts";
import { type OtherSsh, reachOtherSsh, readKey, writeSession } from "./other-ssh.ts";
import { type OutsideDaemon, writeOutsideDaemon } from "./outside-daemon.ts";
import { type Owner, Owners } from "./owners.ts";
import { freshPowerSettings, knownPowerSettings, type PowerSettings, powerSettingsSchema } from "./power-settings.ts";
import { RootPaths } from "./root-path.ts";
import { type SshServer, startSshServer } from "./ssh-server.ts";
import { StateFile } from "./state-file.ts";
import { Wtmp } from "./wtmp.ts";

/** Options of `startMac`. */
export interface MacOptions {
  /** Holds the keys, the root folder and all state; created when missing. */
  dir: string;
  /** Port of the SSH server on 127.0.0.1; 0 picks one that survives `powerCut` and `boot`. */
  port: number;
  /** Short name of the administrator's account. */
  user: string;
  /** Environment of every launchd job (proxy, certificates), in place of the Mac's own network settings. */
  environment: Record<string, string>;
  reaper: Reaper;
  log: Log;
  /** The Node that runs the emulated commands. */
  nodePath: string;
  /** Its version of macOS. @default "26.5.1" */
  macos?: string;
  /** FileVault is on. @default the stored value, initially false */
  fileVault?: boolean;
  /** Accepts this key instead of a generated one: for a second Mac beside the first. */
  clientKey?: Pick<KeyPair, "privateKeyPath" | "parsed"> | undefined;
  /** An external SSH server instead of the built-in one; `user` and `port` above are then that server's. */
  otherSsh?: OtherSsh;
  /** Listed by launchctl as a loaded daemon. */
  outsideDaemon?: OutsideDaemon | undefined;
}

/** The Mac, switched on. */
export interface Mac {
  host: string;
  port: number;
  user: string;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  /** Its other two, `ecdsa-sha2-nistp256 AAAA…` and `ssh-rsa AAAA…`; absent with an external SSH server. */
  otherHostKeys: string[];
  /** The administrator's key, OpenSSH's format, 0600. */
  privateKeyPath: string;
  /** A unix socket for SSH_AUTH_SOCK: an agent that holds that key. */
  agentSocket: string;
  /** Real path of the Mac's `/`; SLM_NETWORK_ROOT in every session. */
  root: string;
  /** As `ioreg` prints it; another one for each `dir`. */
  hardwareUuid: string;
  launchd: Launchd;
  /** The state of `pmset` and `fdesetup`; change it in place, then `save`. */
  power: StateFile<PowerSettings>;
  /** Owner and mode on the Mac of a real path below the root. @throws Error (ENOENT …) as lstat(2) */
  ownerOf(path: string): Owner & { mode: number };
  /** Power cut: SIGKILL to every process, connections cut. Resolves when nothing runs. */
  powerCut(): Promise<void>;
  /**
   * Switches it on, with the FileVault password if needed: empties /tmp, loads every plist of /Library/LaunchDaemons,
   * serves SSH on the same port.
   */
  boot(): Promise<void>;
  /** Power returns with nobody present. @throws Error saying why the Mac stays off */
  powerReturns(): Promise<void>;
  /** Shuts it down: SIGTERM, each job's ExitTimeOut, SIGKILL. Resolves when no process is left and the sockets are gone. */
  close(): Promise<void>;
}

/** The Mac did not start by itself; the message says why and how to fix it. */
export class StaysOff extends Error {
  override name = "StaysOff";
}

/** sun_path has 104 bytes on macOS and 108 on Linux, including the terminating zero. */
const maxSocketPath = 103;
/** Grace period for commands of SSH sessions at shutdown, in milliseconds. */
const sessionGraceMs = 2000;

/**
 * Creates the Mac in `dir`, or opens it with what is installed there, and switches it on. Needs no root, and changes
 * nothing outside `dir` except a folder for sockets when `dir` is too long.
 * @throws Error when the port is taken or the state in `dir` cannot be read
 */
export async function startMac(options: MacOptions): Promise<Mac> {
  const { reaper, log, otherSsh } = options;
  const user = otherSsh?.user ?? options.user;
  mkdirSync(join(options.dir, "root"), { recursive: true });
  const dir = realpathSync(options.dir);
  const root = join(dir, "root");
  const bin = join(dir, "bin");
  const sockets = socketFolder(dir);
  const controlSocket = join(sockets, "control.sock");
  makeRoot(root, user, otherSsh !== undefined);
  writeEmulatedCommands(root, bin, options.nodePath, controlSocket);
  writeBsdTools(bin);
  writeOutsideDaemon(root, options.outsideDaemon);

  const hostKey = keyPair(dir, "host_ed25519");
  const { ecdsa, rsa } = otherHostKeys(dir);
  const clientKey = otherSsh
    ? { privateKeyPath: otherSsh.keyPath, parsed: readKey(otherSsh.keyPath) }
    : (options.clientKey ?? keyPair(dir, "id_ed25519"));
  const paths = new RootPaths(root, `/Users/${user}`);
  const directory = new Directory(dir, user);
  const owners = new Owners(dir, paths, directory, user);
  allowSudo(root, user, owners);
  const { macos = "26.5.1" } = options;
  const power = new StateFile(join(dir, "power.json"), powerSettingsSchema, freshPowerSettings(macos));
  Object.assign(power.value, knownPowerSettings(power.value, macos));
  if (options.fileVault !== undefined) power.value.fileVault = options.fileVault;
  const wtmp = new Wtmp(dir);
  const path = [bin, "/usr/bin", "/bin", "/usr/sbin", "/sbin"].join(":");
  const { environment } = options;
  const launchd = new Launchd({ dir, paths, environment, path, owners, directory, reaper, log });
  const hardware = readHardware(dir);
  const machine: Machine = {
    admin: user,
    macos,
    hardware,
    paths,
    owners,
    directory,
    launchd,
    power,
    wtmp,
    log,
    outside: options.outsideDaemon,
  };
  const processes = new SessionProcesses(reaper);
  const sessionEnvironment = {
    SLM_NETWORK_ROOT: root,
    HOME: join(root, "Users", user),
    USER: user,
    LOGNAME: user,
    SHELL: "/bin/zsh",
    PATH: path,
    LANG: "C.UTF-8",
    // os.tmpdir() and mktemp must not use the real machine's /tmp.
    TMPDIR: join(root, "private/tmp"),
    SLM_SANDBOX_USER: user,
  };
  const session = join(dir, "session");
  writeSession(session, sessionEnvironment);
  const agent = await startAgent(join(sockets, "agent.sock"), clientKey.parsed, `${user}@mac-studio`);

  let on: { ssh: SshServer; control: Control } | undefined;
  let port = otherSsh?.port ?? options.port;
  let publicHostKey = hostKey.publicKey;
  const reachOther = async (other: OtherSsh): Promise<SshServer> => {
    publicHostKey = await reachOtherSsh(other, clientKey.parsed, root, session);
    return { port: other.port, close: async () => {} }; // another owner ends it
  };
  const boot = async (): Promise<void> => {
    if (on !== undefined) return;
    emptyTmp(root);
    const control = await startControl(controlSocket, machine);
    try {
      const ssh = otherSsh
        ? await reachOther(otherSsh)
        : await startSshServer({
            host: "127.0.0.1",
            port,
            hostKeys: [hostKey.privateKey, ecdsa, rsa],
            authorizedKey: clientKey.parsed,
            environment: sessionEnvironment,
            processes,
            sftp: { paths, owners, directory, user },
            log,
          });
      port = ssh.port;
      on = { ssh, control };
    } catch (error) {
      await control.close();
      throw error;
    }
    wtmp.note("reboot");
    launchd.boot();
    log(`mac: on, ssh at ${otherSsh?.host ?? "127.0.0.1"}:${port}`);
  };
  const disconnect = async (): Promise<void> => {
    const { ssh, control } = on ?? {};
    on = undefined;
    await Promise.all([ssh?.close(), control?.close()]);
  };
  try {
    await boot();
  } catch (error) {
    await agent.close();
    throw error;
  }

  return {
    host: otherSsh?.host ?? "127.0.0.1",
    port,
    user,
    hostKey: publicHostKey,
    otherHostKeys: [ecdsa, rsa].map(publicKeyOf),
    privateKeyPath: clientKey.privateKeyPath,
    agentSocket: agent.socketPath,
    root,
    hardwareUuid: hardware.uuid,
    launchd,
    power,
    ownerOf: (path) => owners.of(path),
    boot,
    powerReturns: async () => {
      if (on !== undefined) return;
      const { autorestart, autorestartatconnect } = power.value.ac;
      if (autorestart !== 1 && autorestartatconnect !== 1) {
        throw new StaysOff("the Mac stays off: autorestart is 0 (sudo pmset -a autorestart 1)");
      }
      if (power.value.fileVault) {
        throw new StaysOff("the Mac waits for a password before anything starts: FileVault is on (fdesetup isactive)");
      }
      await boot();
    },
    powerCut: async () => {
      processes.kill("SIGKILL");
      await Promise.all([launchd.cut(), disconnect()]);
      await ended(processes, sessionGraceMs);
      log("mac: the power was cut");
    },
    close: async () => {
      if (on !== undefined) wtmp.note("shutdown");
      processes.kill("SIGTERM");
      await Promise.all([launchd.shutdown(), disconnect(), ended(processes, sessionGraceMs)]);
      processes.kill("SIGKILL");
      await ended(processes, sessionGraceMs);
      await agent.close();
      rmSync(sockets, { recursive: true, force: true });
      log("mac: off");
    },
  };
}

/** Waits until no process of an SSH session is left, at most `limitMs`. */
async function ended(processes: SessionProcesses, limitMs: number): Promise<void> {
  // Grandchildren cannot be waited for; only polling shows that a group is empty.
  for (const end = performance.now() + limitMs; processes.alive > 0 && performance.now() < end; ) await delay(10);
}

/** An empty folder for this user only, with a path short enough for sockets. */
function socketFolder(dir: string): string {
  const own = join(dir, "run");
  const isShort = (folder: string): boolean => Buffer.byteLength(join(folder, "control.sock")) <= maxSocketPath;
  if (isShort(own)) {
    rmSync(own, { recursive: true, force: true }); // left by a killed sandbox
    mkdirSync(own, { mode: 0o700 });
    return own;
  }
  const base = isShort(join(tmpdir(), "slm-mac-XXXXXX")) ? tmpdir() : "/tmp";
  return mkdtempSync(join(base, "slm-mac-"));
}
