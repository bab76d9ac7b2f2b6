import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chooseMac, macSettings, targetOf } from "../../commands/mac-settings.ts";
import { readSshOptions } from "../../commands/ssh/options.ts";
import { tunnelCommand } from "../../commands/ssh/tunnel.ts";
import { keyPair, newKey } from "../../sandbox/mac/keys.ts";
import { knownHosts, sshArguments } from "../../ssh/open-ssh.ts";
import { prepareText } from "../../ssh/prepare.ts";
import type { MacTarget } from "../../ssh/session.ts";
import { program, type TestMac, testMac } from "../sandbox/mac/fixture.ts";
import { type SshServer, startSshServer } from "../sandbox/providers/ssh-server.ts";

const stackFile = (macs: string) => `config:
  slm-network:hostname: slm.example.com
  slm-network:macs:
${macs}
  slm-network:model: { kind: ollama, url: "http://127.0.0.1:11434", embeddingModel: bge-m3 }
  slm-network:documents: { store: embedded }
`;
const hostKey = newKey("").public.trim();
const one = `    - { name: studio, host: 10.0.0.2, user: deploy, hostKey: "${hostKey}", jump: { host: gate.example.com, user: me, hostKey: "${hostKey}" } }`;

describe("the stack file", () => {
  it("contains the Mac's connection, without readable secrets", () => {
    const { macs, limits } = macSettings(
      `encryptionsalt: v1:x\n${stackFile(one)}  slm-network:tunnelSecret: { secure: v1:y }\n`,
      "f",
    );
    const mac = chooseMac(macs, undefined);
    expect(targetOf(mac, {})).toEqual({
      host: "10.0.0.2",
      port: 22,
      user: "deploy",
      hostKey,
      jump: { host: "gate.example.com", port: 22, user: "me", hostKey },
    });
    expect(targetOf(mac, { SLM_NETWORK_SSH_AT: "127.0.0.1:2222" })).toEqual({
      host: "127.0.0.1",
      port: 2222,
      user: "deploy",
      hostKey,
    });
    expect(() => targetOf(mac, { SLM_NETWORK_SSH_AT: "evil.example:22" })).toThrow(/must be 127.0.0.1:<port>/);
    expect(limits.chat).toBe(4);
    expect(() => chooseMac(macs, "mini")).toThrow(/no Mac "mini"; it has studio/);
    expect(() => tunnelCommand(mac)).toThrow(/sshThroughTunnel: \{ hostname/);
  });

  it("with problems is refused", () => {
    expect(() => macSettings("config: {}\n", "f")).toThrow(/f cannot be used.*\n {2}- .*hostname/s);
    expect(() => macSettings("x: 1\n", "f")).toThrow(/f has no config/);
    expect(() => macSettings(stackFile(one.replace("user: me, ", "")), "f")).toThrow(/macs.0.jump.user: is missing/);
  });
});

describe("the command line", () => {
  it("ends at the first word that is not an option", () => {
    expect(readSshOptions(["--key", "k", "studio", "tail", "-n", "5"])).toMatchObject({
      key: "k",
      words: ["studio", "tail", "-n", "5"],
      throughTunnel: false,
    });
    expect(readSshOptions(["--through-tunnel", "--here", "pulumi", "up"])).toMatchObject({
      here: true,
      throughTunnel: true,
    });
    expect(() => readSshOptions(["--here", "pulumi"])).toThrow(/--through-tunnel/);
    expect(() => readSshOptions(["--through-tunnel", "--here"])).toThrow(/needs a command/);
    expect(() => readSshOptions(["--nonsense"])).toThrow(/--nonsense.*npm run ssh -- --help/s);
    expect(() => readSshOptions(["--key"])).toThrow(/--key/);
  });
});

describe("the paste for the Mac", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "slm-prepare-"));
    // Prints sudo's command, one argument per line.
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/sudo"), '#!/bin/sh\nfor word do printf "%s\\0" "$word"; done\n', { mode: 0o755 });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is one command whose script any POSIX shell can parse", async () => {
    const key = "ssh-ed25519 AAAA it's me@office";
    const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env.PATH}` };
    const pasted = await program("/bin/sh", [], { input: `${prepareText("deploy", key)}\n`, env });
    const [shell, flag, script = "", name, given] = pasted.stdout.split("\0");
    expect([shell, flag, name, given]).toEqual(["/bin/sh", "-c", "prepare", key]);
    expect(script).toContain("visudo -cf /etc/slm-network.sudoers\ninstall -o root -g wheel -m 0440");
    expect(await program("/bin/sh", ["-n", "-c", script])).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("OpenSSH's ssh with these arguments", () => {
  let test: TestMac;
  let gate: SshServer;
  let folder: string;
  beforeAll(async () => {
    test = await testMac();
    folder = mkdtempSync(join(tmpdir(), "slm-open-ssh-"));
    gate = await startSshServer(folder, { publicKey: keyPair(test.dir, "id_ed25519").publicKey });
  });
  afterAll(async () => {
    await gate.close();
    await test.end();
    rmSync(folder, { recursive: true, force: true });
  });
  const target = (): MacTarget => {
    const { host, port, user, hostKey: key } = test.mac;
    return { host, port, user, hostKey: key };
  };
  const run = (to: MacTarget, ...command: string[]) => {
    writeFileSync(join(folder, "known_hosts"), knownHosts(to));
    const args = sshArguments(to, folder, command, { key: test.mac.privateKeyPath });
    return program("ssh", ["-F", "/dev/null", "-o", "BatchMode=yes", ...args]);
  };

  it("runs a command on the host with that key, and nowhere else", async () => {
    expect(await run(target(), "sw_vers", "-productName")).toMatchObject({ code: 0, stdout: "macOS\n" });
    const other = await run({ ...target(), hostKey }, "true");
    expect([other.code, other.stdout]).toEqual([255, ""]);
    expect(other.stderr).toMatch(/host key.*(changed|verification failed)/is);
  });

  it("goes through the jump host, whose key is checked too", async () => {
    const jump = { host: "127.0.0.1", port: gate.port, user: "gate", hostKey: gate.hostKey };
    expect(await run({ ...target(), jump }, "id", "-un")).toMatchObject({ code: 0, stdout: "deploy\n" });
    expect(gate.users).toContain("gate");
    expect((await run({ ...target(), jump: { ...jump, hostKey } }, "id", "-un")).code).toBe(255);
  });
});
