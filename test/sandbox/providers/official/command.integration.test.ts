/** Rows 7 to 10 and 23 to 25: the command plugin. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newKey } from "../../../../sandbox/mac/keys.ts";
import { Asset, type Props, Secret } from "../../../../sandbox/providers/plugin/values.ts";
import { testMac } from "../../mac/fixture.ts";
import { type Plugin, startPlugin } from "../plugin.ts";
import { startSshAgent } from "../ssh-agent.ts";
import { type SshServer, startSshServer } from "../ssh-server.ts";
import { clock, timeout } from "./clock.ts";

const remote = "command:remote:Command";
const copy = "command:remote:CopyToRemote";

let plugin: Plugin;
let ssh: SshServer;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "slm-command-"));
  mkdirSync(join(folder, "remote"));
  ssh = await startSshServer(join(folder, "remote"));
  plugin = await startPlugin("command", clock);
  await plugin.configure({});
});
afterAll(async () => {
  await plugin.stop();
  await ssh.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  plugin.log.length = 0;
});

const connection = (more: Props = {}): Secret =>
  new Secret({
    host: "127.0.0.1",
    port: ssh.port,
    user: "deploy",
    privateKey: ssh.privateKey,
    hostKey: ssh.hostKey,
    dialErrorLimit: 0,
    ...more,
  });

/** Accepts TCP and says nothing. */
async function muteServer(): Promise<{ port: number; connected: Promise<Socket>; close(): void }> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    resolve(socket);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, connected: promise, close };
}

/** Whether a promise is settled by now. */
const settled = async (promise: Promise<unknown>) =>
  (await Promise.race([
    promise.then(() => "settled").catch(() => "settled"),
    new Promise((resolve) => setImmediate(resolve, "open")),
  ])) === "settled";

it("row 7: the time limit covers the TCP connection, not the handshake", async () => {
  const mute = await muteServer();
  const creating = plugin.create(remote, {
    connection: connection({ port: mute.port, perDialTimeout: 1 }),
    create: "true",
  });
  const failing = expect(creating).rejects.toThrow("ssh: handshake failed: EOF");
  await mute.connected;
  // The proof of a missing limit needs one: twice the limit of a dial.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(await settled(creating)).toBe(false);
  mute.close();
  await failing;
});

it("row 8: the engine's cancellation does not cut a running command", async () => {
  const creating = plugin.create(remote, {
    connection: connection(),
    create: "echo started; read line; echo $line",
    stdin: "end",
  });
  await plugin.cancel();
  expect((await creating).state.stdout).toBe("started\nend");
  const slow = plugin.create(remote, { connection: connection(), create: "echo slow; sleep 1; echo done" });
  await expect.poll(() => plugin.log, { timeout: 20_000 }).toContain("info: slow");
  await plugin.cancel();
  expect((await slow).state.stdout).toBe("slow\ndone");
});

describe("row 9: a jump host", () => {
  const through = async (more: Props, work: (jump: SshServer, inputs: Props) => Promise<void>) => {
    const jump = await startSshServer(folder);
    const proxy = {
      host: "127.0.0.1",
      port: jump.port,
      user: "jumper",
      privateKey: jump.privateKey,
      dialErrorLimit: 0,
    };
    try {
      await work(jump, { connection: connection({ proxy, ...more }), create: "echo through" });
    } finally {
      await jump.close();
    }
  };

  it("leads to the Mac", () =>
    through({}, async (_jump, inputs) => {
      expect((await plugin.create(remote, inputs)).state.stdout).toBe("through");
    }));

  it(
    "hides a wrong host key behind an EOF, since every attempt uses the connection that the first one ended",
    () =>
      through({ hostKey: newKey("").public.trim(), dialErrorLimit: 2 }, async (_jump, inputs) => {
        await expect(plugin.create(remote, inputs)).rejects.toThrow(
          /proxy: .*after 2 failed attempts: ssh: handshake failed: EOF/,
        );
      }),
    timeout,
  );
});

it("row 10: exactly the pinned type of host key is asked for; ssh-rsa is RSA with SHA-1", async () => {
  const { mac, end } = await testMac();
  const [ecdsa, rsa] = mac.otherHostKeys as [string, string];
  const { host, port, user } = mac;
  const privateKey = readFileSync(mac.privateKeyPath, "utf8");
  const inputs = (hostKey: string) => ({
    connection: connection({ host, port, user, privateKey, hostKey }),
    create: "uname",
  });
  try {
    expect((await plugin.create(remote, inputs(ecdsa))).state.stdout).toBe("Darwin");
    await expect(plugin.create(remote, inputs(rsa))).rejects.toThrow(
      /ssh: handshake failed: ssh: no common algorithm for host key/,
    );
  } finally {
    await end();
  }
});

it("row 23: a changed element of triggers is an update; the package's replaceOnChanges makes it a replacement", async () => {
  const before = { connection: connection(), create: "true", triggers: ["a"] };
  const found = await plugin.diff(remote, "x", before, before, { ...before, triggers: ["b"] });
  expect(found).toMatchObject({ changes: true, replaces: [] });
});

it("row 24: with a private key the agent's keys are not tried", async () => {
  const agentSocketPath = join(folder, "agent");
  const agent = await startSshAgent(agentSocketPath, ssh.privateKey);
  try {
    const both = connection({ privateKey: newKey("").private, agentSocketPath });
    await expect(plugin.create(remote, { connection: both, create: "true" })).rejects.toThrow(
      /ssh: unable to authenticate, attempted methods \[none publickey\], no supported methods remain/,
    );
  } finally {
    await agent.close();
  }
});

it("row 25: a text asset's missing folders are made", async () => {
  const remotePath = "/new/folder/text"; // below the server's root
  await plugin.create(copy, {
    connection: connection(),
    source: new Asset("asset", { text: "hello", hash: "h" }),
    remotePath,
  });
  expect(readFileSync(join(folder, "remote", remotePath), "utf8")).toBe("hello");
});
