/** A company's server for direct lines: a real OpenSSH sshd on loopback, whose files are in a folder of the sandbox. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Log } from "../log.ts";
import { keyPair } from "../mac/keys.ts";
import type { Reaper } from "../machine/reaper.ts";
import { Services } from "./services.ts";

/** What `startCompanyServer` needs. */
export interface CompanyServerOptions {
  /** Plays the server's `/`. As root it must be readable by others, since sshd reads keys as the account. */
  dir: string;
  port: number;
  /** Absolute path of sshd. */
  sshd: string;
  reaper: Reaper;
  log: Log;
}

/** A running server. */
export interface CompanyServer {
  readonly host: string;
  readonly port: number;
  /** Account for lines: sshd can only be the user it runs as, unless it is root. */
  readonly user: string;
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string;
  /** Prefix of its paths, for the product's paste (`SLM_DIRECT_ROOT`). */
  readonly root: string;
  /** Runs a script as its administrator, then starts and stops the services that it installed or removed. @throws Error with its output */
  run(script: string): Promise<string>;
  /** sshd's log so far. */
  logText(): string;
  /** Sends a signal to every process of a signed-in session: STOP freezes the line's end here. */
  signalSessions(signal: NodeJS.Signals): void;
  /** Ends sshd and all sessions at once, as a power cut does. */
  powerCut(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** @throws Error when sshd does not start */
export async function startCompanyServer(options: CompanyServerOptions): Promise<CompanyServer> {
  const { dir, port, sshd, reaper, log } = options;
  const root = dir;
  const at = (path: string) => join(root, path);
  for (const folder of ["etc/ssh/sshd_config.d", "run"]) mkdirSync(at(folder), { recursive: true, mode: 0o755 });
  const { username, uid } = userInfo();
  const user = uid === 0 ? "nobody" : username;
  const key = keyPair(at("etc/ssh"), "ssh_host_ed25519_key");
  const hostKeyFile = at("etc/ssh/ssh_host_ed25519_key");
  if (existsSync(hostKeyFile)) chmodSync(hostKeyFile, 0o600);
  const config = at("etc/ssh/sshd_config");
  if (!existsSync(config)) {
    writeFileSync(
      config,
      [
        `Include ${at("etc/ssh/sshd_config.d")}/*.conf`,
        `Port ${port}`,
        "ListenAddress 127.0.0.1",
        `HostKey ${hostKeyFile}`,
        `PidFile ${at("run/sshd.pid")}`,
        "UsePAM no",
        "PasswordAuthentication no",
        // The folder may lie below one that others can write.
        "StrictModes no",
        "LogLevel VERBOSE",
        "",
      ].join("\n"),
    );
  }
  const logFile = at("run/sshd.log");
  let child: ChildProcess | undefined;
  const path = `${dirname(sshd)}:/usr/sbin:/usr/bin:/sbin:/bin`;
  const services = new Services(at("etc/systemd/system"), path, reaper);

  const start = async (): Promise<void> => {
    if (child !== undefined) return;
    const started = spawn(sshd, ["-D", "-f", config, "-E", logFile], { stdio: "ignore", detached: true });
    await once(started, "spawn");
    child = started;
    if (started.pid !== undefined) reaper.watch(started.pid);
    started.once("exit", () => {
      if (started.pid !== undefined) reaper.forget(started.pid);
      if (child === started) child = undefined;
    });
    const end = performance.now() + 15_000;
    while (!(await listens(port))) {
      if (child === undefined || performance.now() > end) {
        throw new Error(`the company's server: sshd does not listen on 127.0.0.1:${port}; its log is ${logFile}`);
      }
      await delay(50);
    }
    await services.reload();
    log(`server: sshd on 127.0.0.1:${port}`);
  };
  /** Processes below sshd, children first. */
  const sessions = (): number[] => {
    if (child?.pid === undefined) return [];
    const rows = execFileSync("ps", ["-eo", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
    const children = new Map<number, number[]>();
    for (const row of rows) {
      const [pid = 0, parent = 0] = row.trim().split(/\s+/).map(Number);
      children.set(parent, [...(children.get(parent) ?? []), pid]);
    }
    const below = (pid: number): number[] => (children.get(pid) ?? []).flatMap((one) => [...below(one), one]);
    return below(child.pid);
  };
  const signalSessions = (signal: NodeJS.Signals): void => {
    for (const pid of sessions()) kill(pid, signal);
  };
  const powerCut = async (): Promise<void> => {
    await services.stop();
    // In memory on a server.
    rmSync(at("run/slm-direct"), { recursive: true, force: true });
    const running = child;
    if (running === undefined) return;
    signalSessions("SIGKILL");
    running.kill("SIGKILL");
    await once(running, "exit");
  };
  rmSync(logFile, { force: true });
  appendFileSync(logFile, "");
  await start();
  return {
    host: "127.0.0.1",
    port,
    user,
    hostKey: key.publicKey,
    root,
    run: async (script) => {
      try {
        const env = { PATH: path, SLM_DIRECT_ROOT: root };
        const { stdout } = await promisify(execFile)("/bin/sh", ["-c", script], { env });
        await services.reload();
        return stdout;
      } catch (error) {
        const { stderr = "", stdout = "" } = error as { stderr?: string; stdout?: string };
        throw new Error(`${stdout}${stderr}`.trim(), { cause: error });
      }
    },
    logText: () => readFileSync(logFile, "utf8"),
    signalSessions,
    powerCut,
    start,
    close: powerCut,
  };
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
