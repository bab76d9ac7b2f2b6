/** A Mac Studio to install on, played on this machine: SSH, a root folder, macOS' commands and launchd. */
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
import { allowSudo, emptyTmp, makeRoot, writeStandIns } from "./file-system.ts";
import { readHardware } from "./hardware.ts";
import { type KeyPair, keyPair, otherHostKeys, publicKeyOf } from "./keys.ts";
import { Launchd } from "./launchd.ts";
import { type OtherSsh, reachOtherSsh, readKey, writeSession } from "./other-ssh.ts";
import { type Owner, Owners } from "./owners.ts";
import { freshPowerSettings, knownPowerSettings, type PowerSettings, powerSettingsSchema } from "./power-settings.ts";
import { RootPaths } from "./root-path.ts";
import { type SshServer, startSshServer } from "./ssh-server.ts";
import { StateFile } from "./state-file.ts";
import { Wtmp } from "./wtmp.ts";

/** What `startMac` is told. */
export interface MacOptions {
  /** Keeps the keys, the root folder and all state; made when it is not there, used again when it is. */
  dir: string;
  /** Port of the SSH server on 127.0.0.1; 0 picks one, which it keeps over `powerCut` and `boot`. */
  port: number;
  /** Short name of the administrator's account. */
  user: string;
  /** Added to every launchd job (a proxy, certificates), as the Mac's own network settings are there for every daemon. */
  environment: Record<string, string>;
  reaper: Reaper;
  log: Log;
  /** The Node that runs the stand-in commands. */
  nodePath: string;
  /** Its version of macOS. @default "26.5.1" */
  macos?: string;
  /** Its disk is encrypted. @default as it was kept, false at first */
  fileVault?: boolean;
  /** Lets this key in, in place of one of its own: for a second Mac beside the first. */
  clientKey?: Pick<KeyPair, "privateKeyPath" | "parsed"> | undefined;
  /** Another SSH server in place of the own one; `user` and `port` above are then this one's. */
  otherSsh?: OtherSsh;
}

/** The Mac, switched on. */
export interface Mac {
  host: string;
  port: number;
  user: string;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  /** Its other two, `ecdsa-sha2-nistp256 AAAA…` and `ssh-rsa AAAA…`; not with another SSH server. */
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
  /** What `pmset` and `fdesetup` say and keep; change it in place, then `save`. */
  power: StateFile<PowerSettings>;
  /** Owner and mode that the Mac has for a real path below the root. @throws Error (ENOENT …) as lstat(2) */
  ownerOf(path: string): Owner & { mode: number };
  /** The mains fail: SIGKILL to every process at once, connections cut, nothing answers. Resolves when nothing runs. */
  powerCut(): Promise<void>;
  /**
   * Somebody switches it on, and types the password when there is one: /tmp empty, every plist of /Library/LaunchDaemons
   * loaded, SSH on the same port.
   */
  boot(): Promise<void>;
  /** The mains are back, and nobody is there. @throws Error that says why it stays off */
  powerReturns(): Promise<void>;
  /** Shuts it down: SIGTERM, each job's ExitTimeOut, SIGKILL. Resolves when no process is left and the sockets are gone. */
  close(): Promise<void>;
}

/** The Mac did not start by itself; the message says why and what sets it right. */
export class StaysOff extends Error {
  override name = "StaysOff";
}

/** sun_path has 104 bytes on macOS, 108 on Linux, with a zero at the end. */
const maxSocketPath = 103;
/** How long commands of SSH sessions get to end at shutdown, in milliseconds. */
const sessionGraceMs = 2000;

/**
 * Makes the Mac in `dir` and switches it on, with what is installed there. Needs no root, and touches nothing outside `dir`
 * but a folder for sockets when `dir` is too long for them.
 * @throws Error when the port is taken or the state in `dir` can not be read
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
  writeStandIns(root, bin, options.nodePath, controlSocket);
  writeBsdTools(bin);

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
  const machine: Machine = { admin: user, macos, hardware, paths, owners, directory, launchd, power, wtmp, log };
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
    return { port: other.port, close: async () => {} }; // it is not ours to end
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

/** Waits until no process of an SSH session is left; not longer than `limitMs`. */
async function ended(processes: SessionProcesses, limitMs: number): Promise<void> {
  // Grandchildren are not ours to wait for: only asking tells when a group is empty.
  for (const end = performance.now() + limitMs; processes.alive > 0 && performance.now() < end; ) await delay(10);
}

/** An empty folder, only for this user, whose path is short enough for sockets in it. */
function socketFolder(dir: string): string {
  const own = join(dir, "run");
  const isShort = (folder: string): boolean => Buffer.byteLength(join(folder, "control.sock")) <= maxSocketPath;
  if (isShort(own)) {
    rmSync(own, { recursive: true, force: true }); // what a killed sandbox left
    mkdirSync(own, { mode: 0o700 });
    return own;
  }
  const base = isShort(join(tmpdir(), "slm-mac-XXXXXX")) ? tmpdir() : "/tmp";
  return mkdtempSync(join(base, "slm-mac-"));
}
