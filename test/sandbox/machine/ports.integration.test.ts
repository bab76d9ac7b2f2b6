import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Identity, type Instance, identity, thisInstance } from "../../../sandbox/instance.ts";
import { claim, claimant } from "../../../sandbox/machine/claim.ts";
import {
  claimPort,
  claimPorts,
  ephemeralRange,
  fixedRange,
  isFree,
  listenOn,
  PortTaken,
  releasePort,
  startOnPorts,
} from "../../../sandbox/machine/ports.ts";

let folder: string;
const open: Server[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-ports-"));
});
afterEach(async () => {
  for (const server of open.splice(0)) await new Promise((closed) => server.close(closed));
  await rm(folder, { recursive: true, force: true });
});

const source = (path: string) => JSON.stringify(resolve(import.meta.dirname, "../../../sandbox/machine", path));
const sandboxIn = (name: string): Instance => thisInstance({ SANDBOX_DIR: join(folder, name) });

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await listenOn(server, port, "a test");
  open.push(server);
  return server;
}

/** Loopback connections that come and go, each from a port of the system's choice. */
async function traffic(): Promise<() => Promise<void>> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => socket.on("error", () => {}).resume());
  const port = await listenOn(server, 0, "a test");
  let isOver = false;
  const one = (): void => {
    if (isOver) return;
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    sockets.add(socket);
    socket.once("connect", () => setImmediate(() => socket.destroy()));
    socket.once("close", () => {
      sockets.delete(socket);
      one();
    });
  };
  for (let n = 0; n < 50; n++) one();
  return async () => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
    await new Promise((closed) => server.close(closed));
  };
}

describe("where ports are chosen", () => {
  it.each([
    ["Linux", { first: 32_768, last: 60_999 }, { first: 20_000, last: 32_767 }],
    ["macOS", { first: 49_152, last: 65_535 }, { first: 20_000, last: 32_767 }],
    ["a range that begins early", { first: 10_000, last: 60_999 }, { first: 61_000, last: 65_535 }],
    ["a range that leaves only the low ports", { first: 15_000, last: 65_535 }, { first: 5_000, last: 14_999 }],
    ["a range that leaves nothing", { first: 1_024, last: 65_535 }, { first: 20_000, last: 32_767 }],
  ])("is outside the range of outgoing connections: %s", (_, ephemeral, chosen) => {
    expect(fixedRange(ephemeral)).toEqual(chosen);
  });

  it("is asked of this system", async () => {
    const { first, last } = ephemeralRange();
    const server = await listen(0);
    const { port } = server.address() as AddressInfo;
    expect(port).toBeGreaterThanOrEqual(first);
    expect(port).toBeLessThanOrEqual(last);
    const claimed = await claimPort();
    expect(claimed < first || claimed > last).toBe(true);
  });
});

describe("a sandbox's ports", () => {
  it("are bound without a failure twenty times, with other connections going on", async () => {
    const endTraffic = await traffic();
    try {
      for (let round = 0; round < 20; round++) {
        const { ports } = await identity(sandboxIn(`round-${round}`));
        const servers = await Promise.all(Object.values(ports).map(listen));
        expect(new Set(Object.values(ports)).size).toBe(Object.keys(ports).length);
        for (const server of servers) await new Promise((closed) => server.close(closed));
        open.length = 0;
      }
    } finally {
      await endTraffic();
    }
  });

  it("differ between processes that choose at the same time", async () => {
    // Each process claims, binds, says so, and holds its ports until all have theirs.
    const program = join(folder, "claims.mjs");
    await writeFile(
      program,
      `import { createServer } from "node:net";
       import { claimPorts, listenOn } from ${source("ports.ts")};
       for (let round = 0; round < 5; round++) {
         for (const port of await claimPorts(12)) await listenOn(createServer(), port, "a test");
       }
       process.stdin.resume().once("end", () => process.exit(0));
       console.log("bound");`,
    );
    const children = [1, 2, 3, 4].map(() => spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] }));
    const ended = children.map((child) => once(child, "exit"));
    const said = await Promise.all(
      children.map(async (child) => {
        for await (const line of createInterface({ input: child.stdout })) return line;
        return "nothing";
      }),
    );
    for (const child of children) child.stdin.end();
    expect(said).toEqual(["bound", "bound", "bound", "bound"]);
    expect((await Promise.all(ended)).map(([code]) => code as number | null)).toEqual([0, 0, 0, 0]);
  });

  it("leave alone what ended processes had: a sandbox that was killed finds its ports again", async () => {
    const claims = join(folder, `slm-network-ports-${process.getuid?.() ?? "user"}`);
    await mkdir(claims, { mode: 0o700 });
    const { first, last } = fixedRange(ephemeralRange());
    const odd = Array.from({ length: last - first + 1 }, (_, n) => first + n).filter((port) => port % 2 === 1);
    for (const port of odd) await writeFile(join(claims, String(port)), "0 ended\n");
    const program = `import { claimPorts } from ${source("ports.ts")};
      console.log(JSON.stringify(await claimPorts(8)));`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ports = JSON.parse(await text(child.stdout)) as number[];
    expect(ports).toHaveLength(8);
    expect(ports.filter((port) => port % 2 === 1)).toEqual([]);
  });

  it("wait for a remembered port whose process is about to end", async () => {
    const port = await claimPort();
    const server = await listen(port);
    const again = claimPort(port);
    open.splice(open.indexOf(server), 1);
    await new Promise((closed) => setTimeout(() => server.close(closed), 100));
    expect(await again).toBe(port);
  });

  it("are remembered; what another program has taken, or outgoing connections may take, is replaced", async () => {
    const instance = sandboxIn("remembers");
    const first = await identity(instance);
    for (const port of Object.values(first.ports)) await releasePort(port); // the sandbox has ended
    expect((await identity(instance)).ports).toEqual(first.ports);

    await listen(first.ports.relayAdmin);
    const ephemeral = await listen(0);
    const { port } = ephemeral.address() as AddressInfo;
    await new Promise((closed) => ephemeral.close(closed));
    const file = join(instance.folder, "identity.json");
    const kept = JSON.parse(await readFile(file, "utf8")) as Identity;
    await writeFile(file, JSON.stringify({ ...kept, ports: { ...kept.ports, ssh: port } })); // as sandboxes chose before
    const { ports } = await identity(instance);
    expect(ports.relayAdmin).not.toBe(first.ports.relayAdmin);
    expect(ports.ssh).not.toBe(port);
    expect({ ...ports, relayAdmin: 0, ssh: 0 }).toEqual({ ...first.ports, relayAdmin: 0, ssh: 0 });
    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ ports });
  });

  it("are chosen again when a program that knows of no claims takes one before it is bound", async () => {
    const instance = sandboxIn("again");
    let stolen = 0;
    const tried: number[] = [];
    const [, server] = await startOnPorts(
      () => identity(instance),
      async ({ ports }) => {
        if (tried.push(ports.mongo) === 1) {
          stolen = ports.mongo;
          await listen(stolen);
        }
        return listen(ports.mongo);
      },
    );
    expect(tried).toHaveLength(2);
    expect(tried[0]).toBe(stolen);
    expect((server.address() as AddressInfo).port).toBe(tried[1]);
  });

  it("do not hide another failure of the start", async () => {
    const tried: string[] = [];
    const claimAll = (name: string) => async () => void tried.push(name);
    const failing = () => Promise.reject(new Error("no model"));
    await expect(startOnPorts(claimAll("failing"), failing)).rejects.toThrow("no model");
    const [port] = (await claimPorts(1)) as [number];
    await listen(port);
    await expect(startOnPorts(claimAll("taken"), () => listen(port))).rejects.toThrow(PortTaken);
    expect(tried).toEqual(["failing", "taken", "taken", "taken"]);
  });
});

describe("a taken port", () => {
  it("is told with the process that has it", async () => {
    const port = await claimPort();
    const program = `require("node:net").createServer().listen(${port}, "127.0.0.1", () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    await once(child.stdout, "data");
    try {
      expect(await isFree(port)).toBe(false);
      await expect(listenOn(createServer(), port, "the Mac's SSH server")).rejects.toThrow(
        `the Mac's SSH server needs port ${port} of 127.0.0.1, and process ${child.pid} (${process.execPath} -e `,
      );
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
    await listen(port);
  });
});

describe("a claim", () => {
  it("holds for one process, and ends with it", async () => {
    const file = join(folder, "claims", "one");
    await mkdir(join(folder, "claims"));
    const program = `import { claim } from ${source("claim.ts")};
      console.log(await claim(${JSON.stringify(file)}) !== undefined);
      process.stdin.resume();`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = once(child, "exit");
    expect(String((await once(child.stdout, "data"))[0])).toBe("true\n");
    expect(await claimant(file)).toBe(child.pid);
    expect(await claim(file)).toBeUndefined();
    child.kill("SIGKILL");
    await ended;
    expect(await claimant(file)).toBeUndefined();
    // Many find the stale claim at once: one gets it.
    const claims = await Promise.all(Array.from({ length: 20 }, () => claim(file)));
    const got = claims.filter((one) => one !== undefined);
    expect(got).toHaveLength(1);
    expect(await claimant(file)).toBe(process.pid);
    await got[0]?.release();
    expect(await claim(file)).toBeDefined();
  });

  it.runIf(process.platform === "linux")(
    "ends with its process, even before the parent asks for the exit code",
    async () => {
      const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 30"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const pid = Number(String((await once(parent.stdout, "data"))[0]));
      try {
        await expect.poll(() => readFile(`/proc/${pid}/status`, "utf8"), { timeout: 20_000 }).toMatch(/^State:\s+Z/m);
        const file = join(folder, "zombie");
        await writeFile(file, `${pid} 0123\n`);
        expect(await claimant(file)).toBeUndefined();
        expect(await claim(file)).toBeDefined();
      } finally {
        parent.kill();
      }
    },
  );
});
