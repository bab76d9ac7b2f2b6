import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newKey } from "../../../sandbox/mac/keys.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { Asset, type Props, Secret, unknown } from "../../../sandbox/providers/plugin/values.ts";
import { testMac } from "../mac/fixture.ts";
import { type Plugin, startPlugin } from "./plugin.ts";
import { startSshAgent } from "./ssh-agent.ts";
import { type SshServer, startSshServer } from "./ssh-server.ts";

const local = "command:local:Command";
const remote = "command:remote:Command";
const copy = "command:remote:CopyToRemote";

let plugin: Plugin;
let ssh: SshServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "slm-command-"));
  mkdirSync(join(folder, "remote"));
  ssh = await startSshServer(join(folder, "remote"));
  plugin = await startPlugin("command");
  await plugin.configure({});
});
afterAll(async () => {
  await plugin.stop();
  await ssh.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  ssh.commands.length = 0;
  ssh.users.length = 0;
  ssh.acceptEnv.clear();
  plugin.log.length = 0;
});

function connection(more: Props = {}): Secret {
  const base = {
    host: "127.0.0.1",
    port: ssh.port,
    privateKey: ssh.privateKey,
    hostKey: ssh.hostKey,
    dialErrorLimit: 0,
  };
  return new Secret({ ...base, ...more });
}

describe("a local command", () => {
  it("keeps both outputs without their last newline, and logs their lines", async () => {
    const { state } = await plugin.create(local, {
      create: "echo one; echo two; echo warn >&2; echo",
      logging: "stdout",
    });
    expect(state).toMatchObject({ stdout: "one\ntwo\n", stderr: "warn" });
    expect(plugin.log).toEqual(["info: one", "info: two", "info: "]);
  });

  it("passes environment, directory, interpreter and standard input", async () => {
    const { state } = await plugin.create(local, {
      create: 'process.stdin.on("data", (d) => console.log(process.cwd(), process.env.GREETING, String(d)))',
      dir: folder,
      environment: { GREETING: "hello" },
      interpreter: [process.execPath, "-e"],
      stdin: "input",
      logging: "none",
    });
    expect(state.stdout).toBe(`${folder} hello input`);
    expect(plugin.log).toEqual([]);
  });

  it("says the whole command and its output when it fails", async () => {
    await expect(plugin.create(local, { create: "echo partly; echo broken >&2; exit 3" })).rejects.toThrow(
      /exit status 3: running "echo partly; echo broken >&2; exit 3":\n(partly\nbroken|broken\npartly)\n$/,
    );
  });

  it("runs update on a changed input with the earlier outputs at hand, create again without one, and delete in the end", async () => {
    const inputs = {
      create: "echo made",
      update: 'echo "again after $PULUMI_COMMAND_STDOUT"',
      environment: { A: "1" },
    };
    const { id, state } = await plugin.create(local, inputs);
    const news = { ...inputs, environment: { A: "2" } };
    expect(await plugin.diff(local, id, state, inputs, news)).toEqual({
      changes: true,
      replaces: [],
      deletesFirst: false,
      detailed: { "environment.A": "update" },
    });
    const updated = await plugin.update(local, id, state, inputs, news);
    expect(updated.stdout).toBe("again after made");
    const without = { create: 'echo "create [$PULUMI_COMMAND_STDOUT]"', addPreviousOutputInEnv: false };
    expect((await plugin.update(local, id, updated, news, without)).stdout).toBe("create []");
    const marker = join(folder, "deleted");
    await plugin.delete(local, id, { ...updated, delete: `echo "$PULUMI_COMMAND_STDOUT" > ${marker}` });
    expect(readFileSync(marker, "utf8")).toBe("again after made\n");
  });

  it("updates on a changed trigger: the replacement is the package's option replaceOnChanges", async () => {
    const before = { create: "true", triggers: ["a"] };
    expect(await plugin.diff(local, "x", {}, before, { create: "true", triggers: ["b"] })).toEqual({
      changes: true,
      replaces: [],
      deletesFirst: false,
      detailed: { "triggers[0]": "update" },
    });
    const unknownTrigger = { create: "true", triggers: [unknown] };
    expect((await plugin.diff(local, "x", {}, before, unknownTrigger)).detailed).toEqual({ "triggers[0]": "update" });
    expect((await plugin.diff(local, "x", {}, before, { create: "true" })).replaces).toEqual(["triggers"]);
  });

  it("is refused a line at which the official provider would hang, unless nothing is logged", async () => {
    const command = { create: "head -c 70000 /dev/zero | tr '\\0' x; echo; echo end" };
    await expect(plugin.create(local, command)).rejects.toThrow(/a line of over 65536 bytes .* Set logging: "none"/);
    const made = await plugin.create(local, { ...command, logging: "none" });
    expect(String(made.state.stdout)).toMatch(/^x{70000}\nend$/);
  });

  it("is killed when the engine cancels", async () => {
    const creating = plugin.create(local, { create: "echo started; exec sleep 60" });
    const refusal = expect(creating).rejects.toMatchObject({ code: 1 }); // CANCELLED
    await expect.poll(() => plugin.log, { timeout: 20_000 }).toContain("info: started");
    await plugin.cancel();
    await refusal;
  });

  it("returns matching files as assets, minus later exclusions", async () => {
    const dir = join(folder, "assets");
    mkdirSync(join(dir, "deep"), { recursive: true });
    for (const name of ["a.txt", "b.txt", "c.md", "deep/d.txt"]) writeFileSync(join(dir, name), name);
    const { result } = await plugin.invoke("command:local:run", {
      command: "true",
      dir,
      assetPaths: ["*.txt", "!b.txt"],
    });
    expect(Object.keys(result.assets as Props)).toEqual(["a.txt"]);
    expect((result.assets as Props)["a.txt"]).toMatchObject({ path: join(dir, "a.txt"), kind: "asset" });
  });

  it("leaves its outputs unknown in a preview and runs nothing", async () => {
    const { state } = await plugin.create(local, { create: `touch ${join(folder, "never")}` }, true);
    expect(state).toMatchObject({ stdout: unknown, stderr: unknown });
    expect(statSync(join(folder, "never"), { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe("a remote command", () => {
  it("runs over SSH as root by default, with its standard input, and keeps the connection secret", async () => {
    const { state } = await plugin.create(remote, {
      connection: connection(),
      create: "cat; echo err >&2",
      stdin: "line\n",
    });
    expect(state).toMatchObject({ stdout: "line", stderr: "err" });
    expect(state.connection).toBeInstanceOf(Secret);
    expect(ssh.users).toEqual(["root"]);
  });

  it("runs update or create again on any changed input, and delete with the old state's text and connection", async () => {
    const inputs = { connection: connection({ user: "deploy" }), create: "echo create" };
    const { id, state } = await plugin.create(remote, inputs);
    await plugin.update(remote, id, state, inputs, { ...inputs, delete: "echo gone" });
    await plugin.update(remote, id, state, inputs, { ...inputs, update: "echo update" });
    await plugin.delete(remote, id, { ...state, delete: "echo delete" });
    expect(ssh.commands).toEqual(["echo create", "echo create", "echo update", "echo delete"]);
    expect(ssh.users).toEqual(["deploy", "deploy", "deploy", "deploy"]);
  });

  it("says the whole command and its output when it fails", async () => {
    const failing = plugin.create(remote, { connection: connection(), create: "echo why >&2; exit 1" });
    await expect(failing).rejects.toThrow('Process exited with status 1: running "echo why >&2; exit 1":\nwhy\n');
  });

  it("refuses a host with another key, and checks none when none is given", async () => {
    const other = await startSshServer(folder);
    const wrong = plugin.create(remote, { connection: connection({ hostKey: other.hostKey }), create: "true" });
    await expect(wrong).rejects.toThrow(/host key mismatch/);
    await other.close();
    expect(ssh.commands).toEqual([]);
    await plugin.create(remote, { connection: connection({ hostKey: undefined }), create: "true" });
    expect(ssh.commands).toEqual(["true"]);
    await expect(
      plugin.create(remote, { connection: connection({ hostKey: "nonsense" }), create: "true" }),
    ).rejects.toThrow(/ssh-keyscan/);
    // As known_hosts has it, with the host's name in front.
    await plugin.create(remote, { connection: connection({ hostKey: `studio ${ssh.hostKey}` }), create: "true" });
  });

  it("signs in with a password, says a wrong one, and dials again as often as it may", async () => {
    const password = { privateKey: undefined, password: "letmein" };
    await plugin.create(remote, { connection: connection(password), create: "true" });
    const wrong = connection({ ...password, password: "wrong", dialErrorLimit: 2 });
    await expect(plugin.create(remote, { connection: wrong, create: "true" })).rejects.toThrow(
      /^2 UNKNOWN: after 2 failed attempts: /,
    );
    expect(plugin.log).toEqual(["info: Dial 1/2 failed: retrying", "info: Dial 2/2 failed: retrying"]);
  });

  it("connects through a jump host", async () => {
    const jump = await startSshServer(folder);
    const proxy = {
      host: "127.0.0.1",
      port: jump.port,
      privateKey: jump.privateKey,
      user: "jumper",
      dialErrorLimit: 0,
    };
    const { state } = await plugin.create(remote, { connection: connection({ proxy }), create: "echo through" });
    expect(state.stdout).toBe("through");
    expect(jump.users).toEqual(["jumper"]);
    await jump.close();
  });

  it("fails at once with an SSH agent that does not answer", async () => {
    const agentSocketPath = join(folder, "no-agent");
    const failing = plugin.create(remote, {
      connection: connection({ agentSocketPath, dialErrorLimit: -1 }),
      create: "true",
    });
    await expect(failing).rejects.toThrow(/SSH agent at .*no-agent does not answer/);
  });

  it("asks for the pinned kind of host key only, as Go's client does: ECDSA works, RSA is SHA-1 and does not", async () => {
    const { mac, end } = await testMac();
    const [ecdsa, rsa] = mac.otherHostKeys as [string, string];
    const privateKey = readFileSync(mac.privateKeyPath, "utf8");
    const { host, port, user } = mac;
    const inputs = (hostKey: string) => ({
      connection: connection({ host, port, user, privateKey, hostKey, dialErrorLimit: 1 }),
      create: "uname",
    });
    try {
      expect((await plugin.create(remote, inputs(ecdsa))).state.stdout).toBe("Darwin");
      await expect(plugin.create(remote, inputs(rsa))).rejects.toThrow(/ssh: no common algorithm for host key/);
    } finally {
      await end();
    }
  });

  it("does not ask the agent when there is a private key: Go's client tries one method of a kind", async () => {
    const agent = await startSshAgent(join(folder, "both"), ssh.privateKey);
    const other = newKey("").private;
    const both = { privateKey: other, agentSocketPath: join(folder, "both"), dialErrorLimit: 1 };
    const failing = plugin.create(remote, { connection: connection(both), create: "echo in" });
    await expect(failing).rejects.toThrow(
      "after 1 failed attempts: ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
    );
    await agent.close();
  });

  it("signs in with a key of the SSH agent", async () => {
    const agent = await startSshAgent(join(folder, "agent"), ssh.privateKey);
    const agentSocketPath = join(folder, "agent");
    const inputs = { connection: connection({ privateKey: undefined, agentSocketPath }), create: "echo agent" };
    expect((await plugin.create(remote, inputs)).state.stdout).toBe("agent");
    await agent.close();
  });

  it("reports a connection lost during a command", async () => {
    const creating = plugin.create(remote, { connection: connection(), create: "echo started; exec sleep 60" });
    const failure = expect(creating).rejects.toThrow(/exited without exit status/);
    await expect.poll(() => plugin.log, { timeout: 20_000 }).toContain("info: started");
    ssh.drop();
    await failure;
  });

  it("needs the server to take environment variables, and only warns about the earlier outputs", async () => {
    const inputs = { connection: connection(), create: 'echo "$LC_NAME"', environment: { LC_NAME: "value" } };
    await expect(plugin.create(remote, inputs)).rejects.toThrow(
      /could not set environment variable "LC_NAME": .*AcceptEnv/,
    );
    expect(ssh.commands).toEqual([]);
    ssh.acceptEnv.add("LC_NAME");
    const { id, state } = await plugin.create(remote, inputs);
    expect(state.stdout).toBe("value");
    const update = { ...inputs, update: 'echo "[$PULUMI_COMMAND_STDOUT]"' };
    expect((await plugin.update(remote, id, state, inputs, update)).stdout).toBe("[]");
    expect(plugin.log).toEqual(
      expect.arrayContaining([expect.stringMatching(/^warning: Unable to set 'PULUMI_COMMAND_STDOUT'/)]),
    );
  });

  it("stops dialling when the engine cancels", async () => {
    const port = await claimPort(); // nobody listens there
    const dialling = plugin.create(remote, { connection: connection({ port, dialErrorLimit: -1 }), create: "true" });
    const gaveUp = expect(dialling).rejects.toMatchObject({ code: 1 });
    await expect.poll(() => plugin.log, { timeout: 20_000 }).toContain("info: Dial 1/inf failed: retrying");
    await plugin.cancel();
    await gaveUp;
  });

  it("refuses a connection without a host", async () => {
    const { failures } = await plugin.check(remote, { connection: new Secret({ port: 22 }), create: "true" });
    expect(failures).toEqual([expect.stringMatching(/^connection\.host: this input is required/)]);
  });
});

describe("a copy", () => {
  const remotePath = (name: string) => join(folder, "remote", name);

  it("writes a file and a text, in place, keeping the mode of what was there", async () => {
    const big = join(folder, "big.bin");
    const bytes = Buffer.alloc(1_500_001, "slm");
    writeFileSync(big, bytes);
    writeFileSync(remotePath("big"), Buffer.alloc(2_000_000), { mode: 0o600 });
    const source = new Asset("asset", { path: big, hash: "h1" });
    await plugin.create(copy, { connection: connection(), source, remotePath: "/big" });
    expect(readFileSync(remotePath("big")).equals(bytes)).toBe(true);
    expect(statSync(remotePath("big")).mode & 0o777).toBe(0o600);
    await plugin.create(copy, {
      connection: connection(),
      source: new Asset("asset", { text: "말" }),
      remotePath: "/text",
    });
    expect(readFileSync(remotePath("text"), "utf8")).toBe("말");
  });

  it("copies a directory to the path, and a file into an existing directory", async () => {
    const dir = join(folder, "release");
    mkdirSync(join(dir, "lib"), { recursive: true });
    writeFileSync(join(dir, "lib", "relay.js"), "code");
    const source = new Asset("archive", { path: dir, hash: "d1" });
    await plugin.create(copy, { connection: connection(), source, remotePath: "/into" });
    expect(readFileSync(remotePath("into/release/lib/relay.js"), "utf8")).toBe("code");
    const file = new Asset("asset", { path: join(dir, "lib", "relay.js"), hash: "f1" });
    await plugin.create(copy, { connection: connection(), source: file, remotePath: "/into" });
    expect(readFileSync(remotePath("into/relay.js"), "utf8")).toBe("code");
  });

  it("copies again only when the hash or the path changes", async () => {
    const file = join(folder, "once");
    writeFileSync(file, "first");
    const inputs = {
      connection: connection(),
      source: new Asset("asset", { path: file, hash: "1" }),
      remotePath: "/once",
    };
    const { id, state } = await plugin.create(copy, inputs);
    writeFileSync(remotePath("once"), "touched there");
    await plugin.update(copy, id, state, inputs, { ...inputs, connection: connection({ user: "other" }) });
    expect(readFileSync(remotePath("once"), "utf8")).toBe("touched there");
    const news = { ...inputs, source: new Asset("asset", { path: file, hash: "2" }) };
    const elided = { ...state, source: new Asset("asset", { hash: "1" }) };
    expect((await plugin.diff(copy, id, elided, { ...inputs, source: elided.source }, news)).changes).toBe(true);
    await plugin.update(copy, id, elided, inputs, news);
    expect(readFileSync(remotePath("once"), "utf8")).toBe("first");
  });

  it("refuses an archive made of assets", async () => {
    const source = new Asset("archive", { assets: { a: new Asset("asset", { text: "x" }) } });
    const { failures } = await plugin.check(copy, { connection: connection(), source, remotePath: "/x" });
    expect(failures).toEqual([expect.stringMatching(/^source: an archive must be a path/)]);
  });
});
