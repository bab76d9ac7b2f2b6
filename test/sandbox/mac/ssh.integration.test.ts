import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keyPair, newKey } from "../../../sandbox/mac/keys.ts";
import { connect, finish, isAlive, open, openSshOptions, program, type TestMac, testMac, until } from "./fixture.ts";

let test: TestMac;
beforeAll(async () => {
  test = await testMac();
});
afterAll(() => test.end());

describe("OpenSSH's ssh", () => {
  const ssh = (args: string[], options: Parameters<typeof program>[2] = {}) =>
    program("ssh", ["-p", String(test.mac.port), ...args], options);
  const target = () => `deploy@${test.mac.host}`;

  it("runs a command, passing standard input, both outputs and the exit code", async () => {
    const command = "cat; echo oops >&2; exit 7";
    const result = await ssh([...openSshOptions(test.mac, test.dir), target(), command], { input: "hello\n" });
    expect(result).toMatchObject({ code: 7, stdout: "hello\n", stderr: "oops\n" });
  });

  it("signs in by the agent's socket alone", async () => {
    const options = openSshOptions(test.mac, test.dir, { key: `${test.mac.privateKeyPath}.pub` });
    const env = { ...process.env, SSH_AUTH_SOCK: test.mac.agentSocket };
    expect(await ssh([...options, target(), "echo in"], { env })).toMatchObject({ code: 0, stdout: "in\n" });
    const without = { ...process.env, SSH_AUTH_SOCK: "/nowhere" };
    const plain = openSshOptions(test.mac, test.dir, { key: "/nowhere" });
    expect(await ssh([...plain, target(), "echo in"], { env: without })).toMatchObject({ code: 255, stdout: "" });
  });

  it("is refused with another key, and as root with the right one", async () => {
    const other = keyPair(test.dir, "other_ed25519").privateKeyPath;
    const env = { ...process.env, SSH_AUTH_SOCK: "" };
    const wrong = await ssh([...openSshOptions(test.mac, test.dir, { key: other }), target(), "true"], { env });
    expect(wrong).toMatchObject({ code: 255, stderr: expect.stringContaining("Permission denied (publickey)") });
    const root = await ssh([...openSshOptions(test.mac, test.dir), `root@${test.mac.host}`, "true"], { env });
    expect(root).toMatchObject({ code: 255, stderr: expect.stringContaining("Permission denied (publickey)") });
  });
});

describe("as strict as macOS' own sshd", () => {
  const refusedAfter = async (strangers: number) => {
    const made = Array.from({ length: strangers }, (_, i) => keyPair(test.dir, `stranger${i}`).privateKeyPath);
    const options = openSshOptions(test.mac, test.dir, { key: made[0]! });
    const more = [...made.slice(1), test.mac.privateKeyPath].flatMap((key) => ["-i", key]);
    const env = { ...process.env, SSH_AUTH_SOCK: "" };
    return program("ssh", ["-p", String(test.mac.port), ...options, ...more, `deploy@${test.mac.host}`, "echo in"], {
      env,
    });
  };

  it("accepts the sixth offered key, not the seventh", async () => {
    expect(await refusedAfter(5)).toMatchObject({ code: 0, stdout: "in\n" });
    expect(await refusedAfter(6)).toMatchObject({ code: 255, stdout: "" });
  });

  it("it shows an RSA key signed with SHA-2, never with SHA-1", async () => {
    const [, rsa] = test.mac.otherHostKeys as [string, string];
    const known = join(test.dir, "known_rsa");
    writeFileSync(known, `[${test.mac.host}]:${test.mac.port} ${rsa}\n`);
    const ssh = (algorithm: string) => {
      const options = openSshOptions(test.mac, test.dir);
      const pinned = ["-o", `UserKnownHostsFile=${known}`, "-o", `HostKeyAlgorithms=${algorithm}`];
      return program("ssh", ["-p", String(test.mac.port), ...pinned, ...options, `deploy@${test.mac.host}`, "echo in"]);
    };
    expect(await ssh("rsa-sha2-512")).toMatchObject({ code: 0, stdout: "in\n" });
    expect(await ssh("ssh-rsa")).toMatchObject({ code: 255, stdout: "" });
  });

  it("runs a key's forced command instead of the requested one, and refuses sftp", async () => {
    const key = keyPair(test.dir, "forced");
    const folder = join(test.mac.root, "Users/deploy/.ssh");
    mkdirSync(folder, { recursive: true });
    const line = `# comment\nnonsense\nrestrict,command="echo \\"$SSH_ORIGINAL_COMMAND\\" for $USER" ${key.publicKey} ci\n`;
    writeFileSync(join(folder, "authorized_keys"), line);
    const options = openSshOptions(test.mac, test.dir, { key: key.privateKeyPath });
    const target = `deploy@${test.mac.host}`;
    const ran = await program("ssh", ["-p", String(test.mac.port), ...options, target, "id -u"]);
    expect(ran).toMatchObject({ code: 0, stdout: "id -u for deploy\n" });
    const sftp = await program("sftp", ["-b", "-", "-P", String(test.mac.port), ...options, target], { input: "ls\n" });
    expect(sftp.code).not.toBe(0);
  });
});

it("makes keys that can be read, every time", () => {
  for (let i = 0; i < 600; i++) {
    const made = newKey("x".repeat(i % 9));
    const key = ssh2.utils.parseKey(made.private);
    const publicKey = ssh2.utils.parseKey(made.public);
    if (key instanceof Error || publicKey instanceof Error) throw new Error(`key ${i} cannot be read: ${String(key)}`);
    expect(publicKey.verify("data", key.sign("data"))).toBe(true);
  }
});

it("keeps the private key where only its owner can read it", () => {
  expect(statSync(test.mac.privateKeyPath).mode & 0o777).toBe(0o600);
  expect(readFileSync(test.mac.privateKeyPath, "utf8")).toContain("BEGIN OPENSSH PRIVATE KEY");
  expect(test.mac.hostKey).toMatch(/^ssh-ed25519 AAAA[\w+/=]+$/);
});

it("offers publickey only", async () => {
  const client = new ssh2.Client();
  const error = await new Promise<Error>((resolve, reject) => {
    client.once("error", resolve).once("ready", () => reject(new Error("admitted by password")));
    client.connect({ host: test.mac.host, port: test.mac.port, username: "deploy", password: "deploy" });
  });
  expect(error.message).toContain("All configured authentication methods failed");
});

it("runs commands in the Mac's environment, accepting only LANG and LC_* from the client", async () => {
  const client = await connect(test.mac);
  const channel = await open(client, "env", { LC_TIME: "ko_KR.UTF-8", SECRET: "x" });
  const { stdout } = await finish(channel);
  client.end();
  expect(stdout).toContain(`SLM_NETWORK_ROOT=${test.mac.root}\n`);
  expect(stdout).toContain(`HOME=${test.mac.root}/Users/deploy\n`);
  expect(stdout).toMatch(/^PATH=.*\/bin:\/usr\/bin:\/bin:\/usr\/sbin:\/sbin$/m);
  expect(stdout).toContain("LC_TIME=ko_KR.UTF-8\n");
  expect(stdout).not.toContain("SECRET");
});

it("passes ten megabytes through standard input and both outputs", async () => {
  const block = "0123456789abcdef".repeat(64 * 1024 * 10);
  const result = await test.run("cat > big; cat big; cat big >&2", block);
  expect(result.code).toBe(0);
  expect(result.stdout === block).toBe(true);
  expect(result.stderr === block).toBe(true);
});

it("reports the signal that ended a command", async () => {
  expect(await test.run("kill -TERM $$")).toMatchObject({ code: null, signal: "SIGTERM" });
});

it("lets a command go on when the connection breaks", async () => {
  const client = await connect(test.mac);
  const channel = await open(client, 'echo $$; read line; sleep 0.2; echo done > "$HOME/went-on"');
  const pid = Number(await new Promise((resolve) => channel.once("data", resolve)));
  client.end();
  await until(() => existsSync(join(test.mac.root, "Users/deploy/went-on")), "the command to go on");
  await until(() => !isAlive(pid), "the command to end");
});

it("logs refused users without any key", () => {
  expect(test.lines.some((line) => line.startsWith("sshd: deploy is refused by password"))).toBe(true);
  expect(test.lines.join("\n")).not.toContain("PRIVATE KEY");
});
