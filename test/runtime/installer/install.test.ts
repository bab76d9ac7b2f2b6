import { access, copyFile, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asRoot, installScript, removeScript } from "../../../components/mac-host.ts";
import { buildRelease, type Release } from "../../../runtime/build.ts";
import type { InstallInput } from "../../../runtime/config.ts";
import { freeId } from "../../../runtime/installer/account.ts";
import { type Artifacts, serveArtifacts } from "../../../sandbox/artifacts.ts";
import { type Result, type TestMac, testMac, until } from "../../sandbox/mac/fixture.ts";

// A connector that says it is connected, unless its token tells it otherwise: what counts here is the installation. It is
// busy with one request for a while after it was told to stop.
const connector = `#!${process.execPath}
const { readFileSync } = require("node:fs");
const after = (flag) => process.argv[process.argv.indexOf(flag) + 1];
const [host, port] = after("--metrics").split(":");
const token = readFileSync(after("--token-file"), "utf8");
const connections = token === "refused" ? 0 : 4;
let requests = token === "very-secret-token" ? 1 : 0;
const say = (what) => console.log(JSON.stringify({ what, port: Number(port), requests, at: Date.now() }));
require("node:http").createServer(({ url }, r) => {
  if (url === "/ready") r.writeHead(connections ? 200 : 503).end(JSON.stringify({ readyConnections: connections, connectorId: String(process.pid) }));
  else if (url === "/config") r.end(JSON.stringify({ version: 3, config: {} }));
  else r.end("cloudflared_tunnel_concurrent_requests_per_tunnel " + requests);
}).listen(Number(port), host, () => say("up"));
process.on("SIGTERM", () => {
  say("leaves");
  setTimeout(() => (requests = 0), 300);
  setTimeout(() => { say("down"); process.exit(0); }, 600);
});
`;

let folder: string;
let mac: TestMac;
let artifacts: Artifacts;
let release: Release;
let input: InstallInput;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "slm-install-"));
  await writeFile(join(folder, "cloudflared"), connector, { mode: 0o755 });
  artifacts = await serveArtifacts({
    port: 0,
    node: process.execPath,
    cloudflared: join(folder, "cloudflared"),
    log: () => {},
  });
  release = await buildRelease(folder);
  mac = await testMac();
  const [port, adminPort, connectorPort] = (await freePorts(3)) as [number, number, number];
  input = {
    relay: {
      port,
      adminPort,
      hostname: "slm.example.com",
      access: { teamDomain: "127.0.0.1", audiences: { servers: "a", people: "b" } },
      callers: [{ name: "backend", clientId: "0.access", companies: ["*"], weight: 1, enabled: true }],
      model: { kind: "ollama", url: "http://127.0.0.1:1", embeddingModel: "bge-m3" },
      limits: { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 64, whenBusy: "queue" },
      documents: { store: "embedded", ttlDays: 30 },
      jobs: { retentionDays: 7, maxDiskMiB: 64, minFreeMiB: 0, maxAttempts: 3, attemptMinutes: 30 },
      graceSeconds: 2,
    },
    secrets: { mongodbUri: "mongodb://u:very-secret-password@127.0.0.1/" },
    connectorToken: "very-secret-token",
    connectorPort,
    cloudflared: { url: artifacts.cloudflared.url, sha256: artifacts.cloudflared.sha256 },
  };
});
afterAll(async () => {
  await mac?.end();
  await artifacts?.close();
  await rm(folder, { recursive: true, force: true });
});

const at = (path: string) => join(mac.mac.root, path);
const readyz = async () => (await fetch(`http://127.0.0.1:${input.relay.port}/readyz`)).status;
const pids = () =>
  mac.mac.launchd
    .jobs()
    .map((job) => `${job.definition.label} ${job.pid}`)
    .sort();

async function connectorEvents(log: string) {
  const lines = (await readFile(log, "utf8")).split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as { what: string; port: number; requests: number; at: number });
}

async function upload({ path, sha256 }: Release): Promise<void> {
  await copyFile(path, at(`private/tmp/slm-network-${sha256}.tgz`));
}

function install(change: Partial<InstallInput> = {}, { sha256 } = release, node = artifacts.node): Promise<Result> {
  return mac.run(asRoot(installScript, sha256, node.url, node.sha256), JSON.stringify({ ...input, ...change }));
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

describe("the installer", { timeout: 120_000 }, () => {
  it("refuses what does not have the hash it should, and says so", async () => {
    await writeFile(at(`private/tmp/slm-network-${release.sha256}.tgz`), "damaged");
    const damaged = await install();
    expect(damaged.code).toBe(1);
    expect(damaged.stderr).toContain("the upload arrived damaged: run pulumi up again");
    await upload(release);
    const wrongNode = await install({}, release, { ...artifacts.node, sha256: "0".repeat(64) });
    expect(wrongNode.stderr).toContain(`does not have the sha256 ${"0".repeat(64)}: not used`);
    const wrongConnector = await install({ cloudflared: { ...input.cloudflared, sha256: "0".repeat(64) } });
    expect(wrongConnector.stderr).toMatch(/has sha256 [0-9a-f]{64}, not 0{64}: not used/);
    expect(mac.mac.launchd.jobs()).toEqual([]);
  });

  it("brings a bare Mac to a relay that serves", async () => {
    const ran = await install();
    expect(ran.code, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toEqual({
      release: release.sha256,
      restarted: ["local.slm-network.relay", "local.slm-network.connector"],
      reloaded: [],
    });
    expect(await readyz()).toBe(200);
    expect(await readlink(at("usr/local/slm-network/current"))).toBe(`releases/${release.sha256}`);
    expect((await mac.run("id -u _slmnetwork")).stdout.trim()).toMatch(/^[34]\d\d$/);
  });

  it("leaves config and secrets to root and the daemons' group, and secrets out of plists, logs and the process list", async () => {
    for (const file of ["relay.json", "secrets.json", "tunnel-token"]) {
      const path = at(`etc/slm-network/${file}`);
      expect(mac.mac.ownerOf(path), file).toEqual({ user: "root", group: "_slmnetwork", mode: 0o640 });
    }
    const daemons = at("Library/LaunchDaemons");
    const logs = at("var/log/slm-network");
    const seen = [(await mac.run("ps -axww -o command")).stdout, mac.lines.join("\n")];
    for (const name of await readdir(daemons)) {
      expect(mac.mac.ownerOf(join(daemons, name))).toEqual({ user: "root", group: "wheel", mode: 0o644 });
      seen.push(await readFile(join(daemons, name), "utf8"));
    }
    for (const name of await readdir(logs)) seen.push(await readFile(join(logs, name), "utf8"));
    expect(seen.join("\n")).not.toMatch(/very-secret/);
  });

  it("changes nothing the second time, and starts only what changed", async () => {
    const before = pids();
    expect(JSON.parse((await install()).stdout).restarted).toEqual([]);
    expect(pids()).toEqual(before);
    const other = await install({ relay: { ...input.relay, graceSeconds: 3 } });
    expect(JSON.parse(other.stdout)).toMatchObject({ restarted: ["local.slm-network.relay"], reloaded: [] });
  });

  it("gives the running relay other callers and limits without starting it anew", async () => {
    await install();
    const before = pids();
    const [caller] = input.relay.callers;
    const relay = {
      ...input.relay,
      callers: [{ ...caller!, enabled: false }],
      limits: { ...input.relay.limits, chat: 8 },
    };
    const ran = await install({ relay });
    expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: [], reloaded: ["local.slm-network.relay"] });
    expect(pids()).toEqual(before);
    const inUse: unknown = await (await fetch(`http://127.0.0.1:${input.relay.adminPort}/config`)).json();
    expect(inUse).toEqual({ callers: relay.callers, limits: relay.limits });
    expect(JSON.parse(await readFile(at("etc/slm-network/relay.json"), "utf8"))).toMatchObject({ limits: { chat: 8 } });
    await install();
    expect(pids()).toEqual(before);
  });

  it("hands over to a connector with a new token without a moment that has none, and drains the old one first", async () => {
    const log = at("var/log/slm-network/connector.log");
    const known = (await connectorEvents(log)).length;
    const ran = await install({ connectorToken: "very-secret-second" });
    expect(ran.code, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: ["local.slm-network.connector"], reloaded: [] });
    const events = (await connectorEvents(log)).slice(known);
    const own = input.connectorPort;
    const first = (what: string, isOwn: boolean) =>
      events.find((event) => event.what === what && (event.port === own) === isOwn)!.at;
    const lastUp = events.findLast((event) => event.what === "up" && event.port === own)!.at;
    const order = [first("up", false), first("leaves", true), lastUp, first("leaves", false)];
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(events.find((event) => event.what === "down" && event.port === own)!.requests).toBe(0);
    expect(mac.mac.launchd.jobs().map((job) => job.definition.label)).toHaveLength(2);
    expect(await readdir(at("Library/LaunchDaemons"))).toHaveLength(2);
  });

  it("leaves the connector alone that serves when the new token is refused, and says so", async () => {
    const before = pids();
    const ran = await install({ connectorToken: "refused" });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/with the new token, did not connect within 30 s; the first one serves on/);
    expect(pids()).toEqual(before);
    expect(await readFile(at("etc/slm-network/tunnel-token"), "utf8")).toBe("very-secret-second");
  });

  it("puts the previous installation back when the new one does not become ready, and says why", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    try {
      const ran = await install({ relay: { ...input.relay, port } });
      expect(ran.code).toBe(1);
      expect(ran.stderr).toMatch(/the relay did not become ready within 30 s/);
      expect(ran.stderr).toMatch(/another process holds it/);
      expect(ran.stderr).toMatch(/The previous installation was put back and serves on/);
    } finally {
      taken.close();
    }
    await until(() => mac.mac.launchd.job("local.slm-network.relay")?.pid !== undefined, "the relay runs");
    await expect.poll(readyz, { timeout: 10_000 }).toBe(200);
  });

  it("says in one message what is wrong with its input, without repeating it", async () => {
    const node = at(`usr/local/slm-network/node/${artifacts.node.sha256}/bin/node`);
    const installer = at(`usr/local/slm-network/releases/${release.sha256}/installer.mjs`);
    const args = `install --root '${mac.mac.root}/' --release r --node n`;
    const ran = await mac.run(`sudo -n '${node}' '${installer}' ${args}`, "very-secret {");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/the installer's input is no JSON \(13 characters arrived\)/);
    expect(ran.stderr).not.toContain("very-secret");
  });

  it("starts by itself after a power cut", async () => {
    await mac.mac.powerCut();
    await expect(readyz()).rejects.toThrow();
    await mac.mac.boot();
    await expect.poll(() => readyz().catch(() => 0), { timeout: 10_000 }).toBe(200);
  });

  it("removes everything but the data, also when it is asked twice", async () => {
    for (let time = 0; time < 2; time++) {
      const ran = await mac.run(asRoot(removeScript));
      expect(ran.code, ran.stderr).toBe(0);
    }
    for (const gone of ["usr/local/slm-network", "etc/slm-network", "var/log/slm-network"]) {
      await expect(access(at(gone)), gone).rejects.toThrow();
    }
    expect(await readdir(at("Library/LaunchDaemons"))).toEqual([]);
    expect((await mac.run("id -u _slmnetwork")).code).not.toBe(0);
    expect((await stat(at("var/db/slm-network"))).isDirectory()).toBe(true);
    expect(mac.mac.launchd.jobs()).toEqual([]);
  });
});

describe("the account's number", () => {
  it("is the highest below 500 that nobody has", () => {
    expect(freeId("root 0\n_www 70\ndeploy 501\n", "wheel 0\n")).toBe(499);
    expect(freeId("_a 499\n", "_b   498\n")).toBe(497);
  });
  it("is refused when all are taken", () => {
    const all = Array.from({ length: 200 }, (_, i) => `_u${i} ${300 + i}`).join("\n");
    expect(() => freeId(all)).toThrow(/no number is free/);
  });
});

describe("the release", () => {
  it("is the same archive from the same sources", async () => {
    expect((await buildRelease(folder)).sha256).toBe(release.sha256);
  });
});
