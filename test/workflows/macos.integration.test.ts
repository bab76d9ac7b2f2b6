import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { keyPair } from "../../sandbox/mac/keys.ts";
import { useThisMac } from "../../sandbox/mac/this-mac.ts";
import { readSettings } from "../../sandbox/settings.ts";
import { program, testMac } from "../sandbox/mac/fixture.ts";
import { startSshServer } from "../sandbox/providers/ssh-server.ts";

const project = join(import.meta.dirname, "../..");
const stepSchema = z.strictObject({
  name: z.string().optional(),
  uses: z.string().optional(),
  with: z.record(z.string(), z.unknown()).optional(),
  run: z.string().optional(),
  if: z.string().optional(),
});
const workflowSchema = z.object({
  on: z.object({
    workflow_dispatch: z.null(),
    push: z.object({ branches: z.array(z.string()), paths: z.array(z.string()) }),
  }),
  permissions: z.strictObject({ contents: z.literal("read") }),
  jobs: z.record(
    z.string(),
    z.strictObject({ "runs-on": z.string(), "timeout-minutes": z.int(), steps: z.array(stepSchema) }),
  ),
});

describe("the workflow for macOS", () => {
  const { on, jobs } = workflowSchema.parse(parse(readFileSync(join(project, ".github/workflows/macos.yml"), "utf8")));
  const lines = (job: string) => (jobs[job]?.steps ?? []).flatMap(({ run }) => run?.trim().split("\n") ?? []);

  it("runs on a Mac with a time limit, and uses no secret", () => {
    for (const job of Object.values(jobs)) expect(job["runs-on"]).toMatch(/^macos-\d+$/);
    expect(readFileSync(join(project, ".github/workflows/macos.yml"), "utf8")).not.toContain("secrets.");
  });

  it("runs the whole suite, then installs on the runner through Remote Login to itself", () => {
    expect(lines("suite")).toEqual(["npm test"]);
    const steps = lines("installed");
    const order = ["remote-login.sh", "sandbox -- --detach", "installed.sh", "sandbox -- --reset", "removed.sh"];
    const places = order.map((part) => steps.findIndex((line) => line.includes(part)));
    expect(places).toEqual([...places].sort((one, other) => one - other));
    expect(places).not.toContain(-1);
    const removal = jobs.installed?.steps.find(({ run }) => run?.includes("--reset"));
    expect(removal?.if).toBe("always()");
  });

  it("calls existing npm scripts and shell scripts", async () => {
    const scripts = z
      .object({ scripts: z.record(z.string(), z.string()) })
      .parse(JSON.parse(readFileSync(join(project, "package.json"), "utf8"))).scripts;
    for (const line of [...lines("suite"), ...lines("installed")]) {
      for (const [, name = ""] of line.matchAll(/npm run (?:-s )?(\w+)/g)) expect(scripts).toHaveProperty(name);
      for (const [file] of line.matchAll(/scripts\/ci\/[\w.-]+/g)) {
        expect(statSync(join(project, file)).mode & 0o111, file).toBe(0o111);
        expect(await program("/bin/sh", ["-n", join(project, file)])).toMatchObject({ code: 0, stderr: "" });
      }
    }
    for (const path of on.push.paths) expect(existsSync(join(project, path.replace(/\/\*\*$/, ""))), path).toBe(true);
  });
});

describe("its scripts", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "slm-ci-"));
    mkdirSync(join(folder, "bin"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const command = (name: string, text: string) => {
    writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(folder, "bin", name), 0o755);
  };
  const run = (script: string, more: NodeJS.ProcessEnv = {}) =>
    program("/bin/sh", [join(project, ".github/scripts", script)], {
      env: { ...process.env, HOME: folder, PATH: `${join(folder, "bin")}:${process.env.PATH}`, ...more },
    });

  it("add a new key once, turn sshd on, and print the sandbox's variables", async () => {
    const log = join(folder, "log");
    command("sudo", `shift; echo "$*" >> ${log}; [ "$2" != print ]`);
    command("ssh", `echo "ssh $*" >> ${log}`);
    command("ssh-keygen", `for last do :; done; echo private > "$last"; echo "ssh-ed25519 AAAA ci" > "$last.pub"`);
    for (let time = 0; time < 2; time += 1) expect((await run("remote-login.sh")).code).toBe(0);
    expect(readFileSync(join(folder, ".ssh/authorized_keys"), "utf8")).toBe("ssh-ed25519 AAAA ci\n");
    const { stdout } = await run("remote-login.sh");
    const key = join(folder, ".ssh/slm-network-ci");
    const variables = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split("=")),
    );
    expect(readSettings(variables)).toMatchObject({ mac: "this", ssh: { host: "127.0.0.1", port: 22, keyPath: key } });
    expect(readFileSync(log, "utf8")).toMatch(/launchctl load -w \/System.*ssh.plist\nssh -i .*BatchMode=yes/);
  });

  it("find nothing on a clean Mac, and list what is left behind", async () => {
    const test = await testMac();
    try {
      const script = `ROOT="$SLM_NETWORK_ROOT" sh '${join(project, ".github/scripts/removed.sh")}'`;
      expect(await test.run(script)).toMatchObject({ code: 0, stderr: "" });
      mkdirSync(join(test.mac.root, "private/etc/slm-network"));
      await test.run("sudo -n dscl . -create /Users/_slmnetwork");
      const left = await test.run(script);
      expect(left.code).toBe(1);
      expect(left.stderr).toBe("left behind: /etc/slm-network\nleft behind: the account _slmnetwork\n");
    } finally {
      await test.end();
    }
  });
});

describe("this machine as the Mac", () => {
  it("is refused on another system", async () => {
    const ssh = { user: "me", host: "127.0.0.1", port: 22, keyPath: "/none" };
    const options = { ssh, environment: {}, log: () => {} };
    await expect(useThisMac({ ...options, platform: "linux" })).rejects.toThrow(/is no Mac \(linux\)/);
    expect(() => readSettings({ SANDBOX_MAC: "this" })).toThrow(/SANDBOX_SSH is missing/);
    expect(() => readSettings({ SANDBOX_MAC: "that" })).toThrow(/SANDBOX_MAC is "that": it must be emulated or this/);
  });

  it("is reached by its own sshd, and what launchd starts finds the sandbox until it is closed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "slm-this-mac-test-"));
    const key = keyPair(folder, "id_ed25519");
    const server = await startSshServer("/", { publicKey: key.publicKey });
    writeFileSync(join(folder, "ca.pem"), "authority", { mode: 0o600 });
    const calls: string[][] = [];
    const mac = await useThisMac({
      ssh: { user: "me", host: "127.0.0.1", port: server.port, keyPath: key.privateKeyPath },
      environment: { PROXY: "http://127.0.0.1:1", CA: join(folder, "ca.pem") },
      log: () => {},
      run: async (name, args) => void calls.push([name, ...args]),
      platform: "darwin",
    });
    try {
      expect(mac).toMatchObject({
        root: "/",
        user: "me",
        port: server.port,
        hostKey: server.hostKey.split(" ").slice(0, 2).join(" "),
      });
      expect(calls[0]).toEqual(["sudo", "-n", "launchctl", "setenv", "PROXY", "http://127.0.0.1:1"]);
      const copy = calls[1]?.at(-1) ?? "";
      expect(statSync(copy).mode & 0o777).toBe(0o644);
      expect(readFileSync(copy, "utf8")).toBe("authority");
      await expect(mac.powerCut()).rejects.toThrow(/cannot be cut/);
      await mac.close();
      expect(calls.slice(2)).toEqual([
        ["sudo", "-n", "launchctl", "unsetenv", "PROXY"],
        ["sudo", "-n", "launchctl", "unsetenv", "CA"],
      ]);
      expect(existsSync(copy)).toBe(false);
    } finally {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
