/** Signing in with the right one of many keys: sshd gives up after six. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveAgent } from "../../ssh/agent-server.ts";
import { type Auth, readAuth } from "../../ssh/auth.ts";
import { describeHostKey, fetchHostKey } from "../../ssh/host-key.ts";
import { type MacTarget, openSession, SessionError } from "../../ssh/session.ts";
import { openSshOptions, program, type TestMac, testMac, until } from "../sandbox/mac/fixture.ts";

/** OpenSSH's agent, with six unknown keys before the authorized one. */
let agent: string;
let agentProcess: ChildProcess;
let folder: string;
let mac: TestMac;
const keys = ["rsa", "ecdsa", "locked"] as const;
const file = (name: string) => join(folder, name);

async function sh(command: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const ran = await program("/bin/sh", ["-c", command], { env: { ...process.env, ...env } });
  expect(ran.code, `${command}: ${ran.stderr}`).toBe(0);
  return ran.stdout;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "slm-sign-in-"));
  mac = await testMac();
  agent = file("agent.sock");
  agentProcess = spawn("ssh-agent", ["-D", "-a", agent], { stdio: "ignore" });
  await until(() => existsSync(agent), "ssh-agent", 60_000);
  for (let i = 0; i < 6; i++) await sh(`ssh-keygen -q -t ed25519 -N '' -f '${file(`stranger${i}`)}'`);
  await sh(`ssh-keygen -q -t rsa -b 2048 -N '' -f '${file("rsa")}'`);
  await sh(`ssh-keygen -q -t ecdsa -b 521 -N '' -f '${file("ecdsa")}'`);
  await sh(`ssh-keygen -q -t ed25519 -N 'a passphrase' -f '${file("locked")}'`);
  const own = mac.mac.privateKeyPath;
  const ssh = join(mac.mac.root, "Users/deploy/.ssh");
  await sh(`mkdir -p '${ssh}' && cat ${keys.map((name) => `'${file(name)}.pub'`).join(" ")} >'${ssh}/authorized_keys'`);
  for (let i = 0; i < 6; i++) await sh(`ssh-add -q '${file(`stranger${i}`)}'`, { SSH_AUTH_SOCK: agent });
  await sh(`ssh-add -q '${own}'`, { SSH_AUTH_SOCK: agent });
  // The agent gets the unlocked key; the file keeps its passphrase.
  await sh(`cp '${file("locked")}' '${file("open")}' && ssh-keygen -q -p -P 'a passphrase' -N '' -f '${file("open")}'`);
  await sh(`ssh-add -q '${file("open")}'`, { SSH_AUTH_SOCK: agent });
}, 240_000);
afterAll(async () => {
  agentProcess?.kill();
  await mac?.end();
  rmSync(folder, { recursive: true, force: true });
});

const target = (): MacTarget => {
  const { host, port, user, hostKey } = mac.mac;
  return { host, port, user, hostKey };
};
async function user(auth: Auth, to = target()): Promise<string> {
  const session = await openSession(to, auth);
  try {
    return (await session.run(["id", "-un"])).stdout.trim();
  } finally {
    await session.close();
  }
}
async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error("it did not fail"),
    (caught: unknown) => caught,
  );
  if (!(error instanceof SessionError)) throw error;
  return `${error.code}: ${error.message}`;
}
const named = (name: string) => readAuth(undefined, { SLM_NETWORK_SSH_KEY: name, SSH_AUTH_SOCK: agent });

describe("an agent with eight keys, the seventh of which is authorized", { timeout: 120_000 }, () => {
  it("is refused by the Mac after six; the error has the fix", async () => {
    const said = await failure(user({ agent }));
    expect(said).toMatch(/^refused: .* refused deploy with any of these keys/);
    expect(said).toMatch(
      /holds 8 keys, and sshd gives up after 6 \(MaxAuthTries\): name the right one.*SLM_NETWORK_SSH_KEY/,
    );
    expect(mac.lines.join("\n")).toContain("too many authentication failures");
  });

  it("signs in with the named key alone: its private file, its public file, and one with a passphrase", async () => {
    const own = mac.mac.privateKeyPath;
    for (const name of [own, `${own}.pub`, file("locked"), file("locked.pub"), file("rsa"), file("ecdsa")]) {
      expect(await user(await named(name)), name).toBe("deploy");
    }
    expect(await user(await readAuth(own, { SLM_NETWORK_SSH_KEY: file("stranger1"), SSH_AUTH_SOCK: agent }))).toBe(
      "deploy",
    );
  });

  it("names the missing key when the agent does not have it, or there is no agent", async () => {
    expect(await failure(named(file("rsa.pub")).then((auth) => user(auth)))).toMatch(
      /^no-key: the SSH agent at .* does not hold the named key SHA256:.*; it has SHA256:/,
    );
    for (const [name, why] of [
      ["locked", "has a passphrase"],
      ["rsa.pub", "is a public key"],
    ]) {
      expect(await failure(readAuth(file(name!), {}))).toMatch(
        new RegExp(`^no-key: the key file .*${name} ${why}, so the SSH agent has to sign`),
      );
    }
  });
});

describe("the agent that the program offers to @pulumi/command", { timeout: 120_000 }, () => {
  it("offers only the named key, for every key type and client", async () => {
    const path = relative(process.cwd(), file("served/agent.sock"));
    for (const name of [mac.mac.privateKeyPath, file("locked"), file("rsa"), file("ecdsa")]) {
      const served = await serveAgent(path, await named(name));
      try {
        expect(statSync(file("served")).mode & 0o777).toBe(0o700);
        const listed = await sh("ssh-add -L", { SSH_AUTH_SOCK: path });
        const line = readFileSync(`${name}.pub`, "utf8").split(" ")[1];
        expect(listed.trim().split("\n")).toHaveLength(1);
        expect(listed).toContain(line);
        expect(await user({ agent: path }), name).toBe("deploy");
        const { port } = mac.mac;
        const options = openSshOptions(mac.mac, folder, { key: `${name}.pub` });
        const ran = await program("ssh", [
          "-p",
          String(port),
          "-o",
          `IdentityAgent=${path}`,
          ...options,
          "deploy@127.0.0.1",
          "id -un",
        ]);
        expect(ran.stdout, ran.stderr).toBe("deploy\n");
      } finally {
        await served.close();
      }
      expect(existsSync(path)).toBe(false);
    }
  });

  it("forwards the whole agent when no key is named, and refuses to add or remove keys", async () => {
    const path = file("whole.sock");
    chmodSync(folder, 0o700);
    const served = await serveAgent(path, await readAuth(undefined, { SSH_AUTH_SOCK: agent }));
    try {
      expect((await sh("ssh-add -l", { SSH_AUTH_SOCK: path })).trim().split("\n")).toHaveLength(8);
      const removed = await program("ssh-add", ["-D"], { env: { ...process.env, SSH_AUTH_SOCK: path } });
      expect(removed.code).not.toBe(0);
      expect((await sh("ssh-add -l", { SSH_AUTH_SOCK: agent })).trim().split("\n")).toHaveLength(8);
    } finally {
      await served.close();
    }
  });
});

describe("host keys", { timeout: 120_000 }, () => {
  it("of ed25519 and ECDSA are accepted, RSA is refused with the line to use instead", async () => {
    const [ecdsa, rsa] = mac.mac.otherHostKeys as [string, string];
    const auth = await readAuth(mac.mac.privateKeyPath, {});
    expect(await user(auth, { ...target(), hostKey: ecdsa })).toBe("deploy");
    const said = await failure(user(auth, { ...target(), hostKey: rsa }));
    expect(said).toMatch(/^host-key: hostKey of 127.0.0.1:\d+ is an RSA key, which `pulumi up` cannot check/);
    expect(said).toContain(`Set hostKey to: ${mac.mac.hostKey}\n`);
    expect(said).toContain(describeHostKey(Buffer.from(mac.mac.hostKey.split(" ")[1]!, "base64")).fingerprint);
  });
});

describe("a host that accepts the connection and never answers", { timeout: 120_000 }, () => {
  let mute: Server;
  const port = (): number => (mute.address() as { port: number }).port;
  beforeAll(async () => {
    mute = createServer(() => {});
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => void mute.close());

  it("is reported within seconds", async () => {
    const auth = await readAuth(mac.mac.privateKeyPath, {});
    const [session, key] = await Promise.all([
      failure(openSession({ ...target(), port: port() }, auth)),
      failure(fetchHostKey("127.0.0.1", port())),
    ]);
    for (const said of [session, key]) expect(said).toMatch(/^unreachable: .*\(no SSH server answered in time\)/);
  });
});
