import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keyPair } from "../../../sandbox/mac/keys.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { startSshServer } from "../providers/ssh-server.ts";
import { connect, finish, open, openSshOptions, program, type TestMac, testMac } from "./fixture.ts";

let folder: string;
let test: TestMac | undefined;
const ends: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-other-ssh-"));
});
afterEach(async () => {
  await test?.end();
  test = undefined;
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(folder, { recursive: true, force: true });
});

const { username } = userInfo();
/** A Mac that is reached through the server at `port`. */
async function macBehind(port: number, keyPath: string): Promise<TestMac> {
  test = await testMac({ dir: join(folder, "mac"), otherSsh: { user: username, host: "127.0.0.1", port, keyPath } });
  return test;
}
const session = () => join(folder, "mac", "session");

describe("another SSH server", () => {
  it("plays the Mac when its key is bound to the emulated Mac's session", async () => {
    const key = keyPair(folder, "id_ed25519");
    const server = await startSshServer("/", { publicKey: key.publicKey, forced: session() });
    ends.push(() => server.close());
    const { mac } = await macBehind(server.port, key.privateKeyPath);
    expect([mac.port, mac.user, mac.hostKey]).toEqual([server.port, username, server.hostKey]);
    const client = await connect(mac); // by the agent that `pulumi up` would use
    const { stdout } = await finish(await open(client, 'sw_vers; sudo -n id -un; echo "$SLM_NETWORK_ROOT"'));
    client.end();
    expect(stdout).toMatch(/ProductName:\s+macOS/);
    expect(stdout).toMatch(new RegExp(`root\n${mac.root}\n$`));
  });

  it("is refused with the line for authorized_keys when its sessions are not the Mac's", async () => {
    const key = keyPair(folder, "id_ed25519");
    const server = await startSshServer("/", { publicKey: key.publicKey });
    ends.push(() => server.close());
    await expect(macBehind(server.port, key.privateKeyPath)).rejects.toThrow(
      new RegExp(`not those of the emulated Mac.*\ncommand="${session()}" ssh-ed25519 AAAA`),
    );
  });

  it("is refused when it rejects the key, and when the file is not a key", async () => {
    const key = keyPair(folder, "id_ed25519");
    const server = await startSshServer("/", { publicKey: keyPair(folder, "other").publicKey });
    ends.push(() => server.close());
    await expect(macBehind(server.port, key.privateKeyPath)).rejects.toThrow(
      /authentication methods failed.*authorized_keys/s,
    );
    writeFileSync(join(folder, "nonsense"), "x");
    await expect(macBehind(server.port, join(folder, "nonsense"))).rejects.toThrow(/SANDBOX_SSH_KEY is .*ed25519/);
  });
});

describe("OpenSSH's sshd, as the user who runs the tests", () => {
  it("plays the Mac for ssh and sftp", async () => {
    const key = keyPair(folder, "id_ed25519");
    const port = await startSshd(key.publicKey);
    const { mac, dir } = await macBehind(port, key.privateKeyPath);
    const options = openSshOptions(mac, dir);
    const target = `${username}@127.0.0.1`;
    const ran = await program("ssh", ["-p", String(port), ...options, target, "sudo -n launchctl print system/none"]);
    expect(ran.code, ran.stderr).toBe(113);
    const name = `slm-other-ssh-${process.pid}`;
    ends.push(async () => rmSync(`/tmp/${name}`, { force: true }));
    const put = await program("sftp", ["-b", "-", "-P", String(port), ...options, target], {
      input: `put ${key.privateKeyPath}.pub /tmp/${name}\n`,
    });
    expect(put.code, put.stderr).toBe(0);
    const read = await program("ssh", ["-p", String(port), ...options, target, `cat "$SLM_NETWORK_ROOT/tmp/${name}"`]);
    expect(read.stdout).toBe(`${key.publicKey} id_ed25519\n`);
  });
});

/** @returns its port */
async function startSshd(publicKey: string): Promise<number> {
  const port = await claimPort();
  const authorized = join(folder, "authorized_keys");
  writeFileSync(authorized, `command="${session()}" ${publicKey}\n`, { mode: 0o600 });
  const config = join(folder, "sshd_config");
  const lines = [
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${keyPair(folder, "host").privateKeyPath}`,
    `AuthorizedKeysFile ${authorized}`,
    "PidFile none",
    "UsePAM no",
    "StrictModes no", // the folder is below /tmp
    "PasswordAuthentication no",
    "Subsystem sftp internal-sftp",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const child = spawn(process.env.SSHD ?? "", ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(child, "exit");
  ends.push(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  for (let tries = 0; ; tries += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connectTcp(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.once("connect", () => socket.end());
    });
    if (open) return port;
    if (child.exitCode !== null || tries > 200) throw new Error(`sshd does not listen: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
