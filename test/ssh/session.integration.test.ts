import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Agent, startAgent } from "../../sandbox/mac/agent.ts";
import { keyPair, newKey } from "../../sandbox/mac/keys.ts";
import { readAuth } from "../../ssh/auth.ts";
import { describeHostKey, fetchHostKey, readHostKey } from "../../ssh/host-key.ts";
import { type MacTarget, openSession, SessionError } from "../../ssh/session.ts";
import { type TestMac, testMac } from "../sandbox/mac/fixture.ts";
import { type SshServer, startSshServer } from "../sandbox/providers/ssh-server.ts";

let test: TestMac;
let folder: string;
let jump: SshServer;
let deaf: Server;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "slm-session-"));
  test = await testMac();
  jump = await startSshServer(folder, { publicKey: keyPair(test.dir, "id_ed25519").publicKey });
  deaf = createServer((socket) => socket.end("220 no ssh here\r\n")).listen(0, "127.0.0.1");
});
afterAll(async () => {
  deaf.close();
  await jump.close();
  await test.end();
  rmSync(folder, { recursive: true, force: true });
});

const target = (): MacTarget => {
  const { host, port, user, hostKey } = test.mac;
  return { host, port, user, hostKey };
};
const agent = () => ({ agent: test.mac.agentSocket });
const portOf = (server: Server): number => {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
};
/** @returns the error's code and message */
async function failure(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error("it did not fail"),
    (caught: unknown) => caught,
  );
  if (!(error instanceof SessionError)) throw error;
  return `${error.code}: ${error.message}`;
}

describe("a session", () => {
  it("runs lines and programs, with input, output and exit code", async () => {
    const session = await openSession(target(), agent());
    expect(await session.run("cat; echo no >&2; exit 3", { stdin: "안녕" })).toEqual({
      exitCode: 3,
      stdout: "안녕",
      stderr: "no\n",
    });
    const words = ["printf", "%s|", "a b", "it's", "$HOME", "", "*"];
    expect((await session.run(words)).stdout).toBe("a b|it's|$HOME||*|");
    expect((await session.run("kill -TERM $$")).exitCode).toBe(143);
    const both = await Promise.all(["sw_vers -productVersion", "uname -s"].map((line) => session.run(line)));
    expect(both.map(({ stdout }) => stdout)).toEqual(["26.5.1\n", "Darwin\n"]);
    await session.checkSudo();
    await session.close();
    expect(await failure(session.run("true"))).toMatch(/^broken: .*run it again/);
  });

  it("ends a command after its time limit and stays usable", async () => {
    const session = await openSession(target(), agent());
    expect(await failure(session.run("sleep 60", { timeoutMs: 300 }))).toBe(
      "timeout: `sleep 60` on 127.0.0.1 did not end within 0.3 s",
    );
    expect((await session.run("echo still here")).stdout).toBe("still here\n");
    await session.close();
  });

  it("closes even when the Mac has disappeared or stopped responding", async () => {
    const sockets: Socket[] = [];
    const between = createServer((near) => {
      const far = connect(target().port, target().host);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) sockets.push(socket.on("error", () => {}));
    }).listen(0, "127.0.0.1");
    await once(between, "listening");
    const open = () => openSession({ ...target(), port: portOf(between) }, agent());
    const cut = await open();
    const running = failure(cut.run("sleep 60"));
    for (const socket of sockets.splice(0)) socket.destroy();
    expect(await running).toMatch(/^broken: /);
    await cut.close();
    const { port, hostKey } = jump;
    const over = { host: "127.0.0.1", port, user: "gate", hostKey };
    for (const via of [undefined, over]) {
      const mute = await openSession({ ...target(), port: portOf(between), jump: via }, agent());
      for (const socket of sockets) socket.unpipe().pause();
      await mute.close();
    }
    for (const socket of sockets) socket.destroy();
    between.close();
  });

  it("signs in with a key file, named by an option or the environment", async () => {
    const path = test.mac.privateKeyPath;
    for (const auth of [await readAuth(path, {}), await readAuth(undefined, { SLM_NETWORK_SSH_KEY: path })]) {
      const session = await openSession(target(), auth);
      expect((await session.run(["id", "-un"])).stdout).toBe("deploy\n");
      await session.close();
    }
  });

  it("goes through a jump host, whose key is checked too", async () => {
    const over = { host: "127.0.0.1", port: jump.port, user: "gate", hostKey: jump.hostKey };
    const session = await openSession({ ...target(), jump: over }, agent());
    expect((await session.run(["id", "-un"])).stdout).toBe("deploy\n");
    expect(jump.users).toContain("gate");
    await session.close();
    expect(await failure(openSession({ ...target(), jump: { ...over, hostKey: test.mac.hostKey } }, agent()))).toMatch(
      new RegExp(`^host-key: 127.0.0.1:${jump.port} presented a host key that differs from the config`),
    );
    expect(await failure(openSession({ ...target(), port: 1, jump: over }, agent()))).toMatch(
      new RegExp(`^unreachable: 127.0.0.1:1 is not reachable from the jump host 127.0.0.1:${jump.port}`),
    );
  });
});

describe("error messages", () => {
  it("an unreachable host, or one without SSH", async () => {
    expect(await failure(openSession({ ...target(), port: 1 }, agent()))).toMatch(
      /^unreachable: 127.0.0.1:1 is not reachable \(connect ECONNREFUSED.*Remote Login.*FileVault/,
    );
    expect(await failure(openSession({ ...target(), port: portOf(deaf) }, agent()))).toMatch(/^unreachable: /);
    // Accepts connections and never answers.
    const mute = createServer(() => {}).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const began = performance.now();
    expect(await failure(openSession({ ...target(), port: portOf(mute) }, agent(), 50))).toMatch(
      /^unreachable: .*no SSH server answered in time/,
    );
    expect(performance.now() - began).toBeLessThan(10_000);
    mute.close();
    expect(await failure(fetchHostKey("127.0.0.1", portOf(deaf)))).toMatch(/^unreachable: /);
  });

  it("a different host key: both fingerprints, how to verify, and the line to set", async () => {
    const other = newKey("other").public;
    const said = await failure(openSession({ ...target(), hostKey: other }, agent()));
    const expected = describeHostKey(readHostKey(other).key).fingerprint;
    const shown = await fetchHostKey(test.mac.host, test.mac.port);
    expect(shown.line).toBe(test.mac.hostKey);
    expect(said).toMatch(/^host-key: /);
    for (const part of [expected, shown.fingerprint, "ssh-keygen -lf /etc/ssh/", `hostKey to: ${test.mac.hostKey}`]) {
      expect(said).toContain(part);
    }
  });

  it("a host key type that the host does not have", async () => {
    const rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQCtest";
    const said = await failure(openSession({ ...target(), hostKey: rsa }, agent()));
    expect(said).toMatch(/^host-key: /);
    expect(said).toContain(`hostKey to: ${test.mac.hostKey}`);
  });

  it("no usable key", async () => {
    expect(await failure(readAuth(undefined, {}))).toMatch(/^no-key: there is no SSH agent.*ssh-add/);
    expect(await failure(readAuth(join(folder, "none"), {}))).toMatch(/^no-key: the key file .*none cannot be read/);
    writeFileSync(join(folder, "text"), "no key");
    expect(await failure(readAuth(join(folder, "text"), {}))).toMatch(/^no-key: the key file .*text cannot be used/);
    expect(await failure(openSession(target(), { agent: join(folder, "no.sock") }))).toMatch(
      /^no-key: the SSH agent at .*no.sock does not answer/,
    );
  });

  it("unknown keys: which were offered, and how to authorize one", async () => {
    const stranger = keyPair(folder, "stranger");
    const other: Agent = await startAgent(join(folder, "a.sock"), stranger.parsed, "stranger");
    const said = await failure(openSession(target(), { agent: other.socketPath }));
    await other.close();
    expect(said).toMatch(/^refused: .* refused deploy with/);
    expect(said).toContain(describeHostKey(stranger.parsed.getPublicSSH()).fingerprint);
    expect(said).toContain("authorized_keys");
  });

  it("an account without sudo: the command that fixes it", async () => {
    const drop = join(test.mac.root, "private/etc/sudoers.d");
    rmSync(drop, { recursive: true, force: true });
    const session = await openSession(target(), agent());
    const said = await failure(session.checkSudo());
    await session.close();
    expect(said).toMatch(/^sudo: deploy on 127.0.0.1 may not use `sudo -n` \(sudo: a password is required\)/);
    expect(said).toContain("deploy ALL=(ALL) NOPASSWD: ALL");
  });
});
