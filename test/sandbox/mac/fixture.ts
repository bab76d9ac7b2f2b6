/** A Mac in a temporary folder, and ways to reach it. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { build, type PlistValue } from "plist";
import ssh2, { type Client, type ClientChannel, type SFTPWrapper } from "ssh2";
import { type Mac, type MacOptions, startMac } from "../../../sandbox/mac/mac.ts";
import { type Reaper, startReaper } from "../../../sandbox/machine/reaper.ts";

export interface Result {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

export interface TestMac {
  mac: Mac;
  dir: string;
  lines: string[];
  /** Runs a command over SSH by the ssh2 client, on one connection for all. */
  run(command: string, stdin?: string | Buffer): Promise<Result>;
  /** Writes a plist into /Library/LaunchDaemons as the installer leaves it; the label is the file's name. @returns its path */
  daemon(label: string, plist: Record<string, PlistValue>): string;
  end(): Promise<void>;
}

export async function testMac(options: Partial<MacOptions> & { dir?: string } = {}): Promise<TestMac> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "slm-mac-test-"));
  const lines: string[] = [];
  const reaper: Reaper = startReaper();
  const mac = await startMac({
    port: 0,
    user: "deploy",
    environment: {},
    reaper,
    log: (line) => void lines.push(line),
    nodePath: process.execPath,
    ...options,
    dir,
  });
  let client: Promise<Client> | undefined;
  const connected = (): Promise<Client> => {
    client ??= connect(mac).then((made) => made.once("close", () => (client = undefined)));
    return client;
  };
  return {
    mac,
    dir,
    lines,
    run: async (command, stdin = "") => {
      const channel = await open(await connected(), command);
      channel.end(stdin);
      return finish(channel);
    },
    daemon: (label, plist) => {
      const path = join(mac.root, "Library/LaunchDaemons", `${label}.plist`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, build({ Label: label, ...plist }), { mode: 0o644 });
      return path;
    },
    end: async () => {
      await mac.close();
      await reaper.close();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Connects with the Mac's own key through its agent. */
export async function connect(mac: Mac): Promise<Client> {
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.once("ready", resolve).once("error", reject);
    client.connect({ host: mac.host, port: mac.port, username: mac.user, agent: mac.agentSocket });
  });
  client.on("error", () => {});
  return client;
}

export function open(client: Client, command: string, env?: Record<string, string>): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(command, { env }, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
}

export async function finish(channel: ClientChannel): Promise<Result> {
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    channel.once("exit", (code: number | null, signal?: string) => resolve({ code, signal: signal ?? null }));
    channel.once("close", () => resolve({ code: null, signal: null }));
  });
  const [stdout, stderr, exit] = await Promise.all([text(channel), text(channel.stderr), exited]);
  return { ...exit, stdout, stderr };
}

export function sftpOf(client: Client): Promise<SFTPWrapper> {
  return new Promise((resolve, reject) => {
    client.sftp((error, sftp) => (error ? reject(error) : resolve(sftp)));
  });
}

/** Options with which OpenSSH's tools reach the Mac and nothing of this machine's own settings. */
export function openSshOptions(mac: Mac, dir: string, { key = mac.privateKeyPath } = {}): string[] {
  const known = join(dir, "known_hosts");
  writeFileSync(known, `[${mac.host}]:${mac.port} ${mac.hostKey}\n`);
  const options = {
    UserKnownHostsFile: known,
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    BatchMode: "yes",
    IdentitiesOnly: "yes",
    ControlMaster: "no",
    LogLevel: "ERROR",
  };
  const list = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return ["-F", "/dev/null", "-i", key, ...list];
}

/** Runs a program of this machine to its end. */
export function program(
  file: string,
  args: string[],
  { input = "", env = process.env }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Result> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, timeout: 20_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : null;
      resolve({ code, signal: error?.signal ?? null, stdout, stderr });
    });
    child.stdin?.on("error", () => {}); // it may end without reading
    child.stdin?.end(input);
  });
}

/** Waits until `check` gives something; fails after `limitMs`. */
export async function until<T>(check: () => T | undefined | false, what: string, limitMs = 10_000): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const value = check();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Does a process of this id live? */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
