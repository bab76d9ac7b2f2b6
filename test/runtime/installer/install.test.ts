import { execFile } from "node:child_process";
import { access, mkdtemp, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asRoot, removeScript } from "../../../components/mac-host.ts";
import { buildRelease } from "../../../runtime/build.ts";
import { freeId } from "../../../runtime/installer/account.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

let here: Installation;
beforeAll(async () => {
  here = await prepareInstallation();
}, 300_000);
afterAll(() => here?.end());

async function connectorEvents(log: string) {
  const lines = (await readFile(log, "utf8")).split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as { what: string; port: number; requests: number; at: number });
}

describe("the installer", { timeout: 120_000 }, () => {
  it("refuses what does not have the hash it should, and says so", async () => {
    await writeFile(here.at(`private/tmp/slm-network-${here.release.sha256}.tar`), "damaged");
    const damaged = await here.install();
    expect(damaged.code).toBe(1);
    expect(damaged.stderr).toContain("the upload arrived damaged: send it again with: pulumi up --replace");
    await here.upload(here.release);
    const wrongNode = await here.install({}, here.release, { ...here.artifacts.node, sha256: "0".repeat(64) });
    expect(wrongNode.stderr).toContain(`does not have the sha256 ${"0".repeat(64)}: not used`);
    const wrongConnector = await here.install({ cloudflared: { ...here.input.cloudflared, sha256: "0".repeat(64) } });
    expect(wrongConnector.stderr).toMatch(/has sha256 [0-9a-f]{64}, not 0{64}: not used/);
    expect(here.mac.mac.launchd.jobs()).toEqual([]);
  });

  it("brings a bare Mac to a relay that serves", async () => {
    const ran = await here.install();
    expect(ran.code, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      release: here.release.sha256,
      restarted: ["local.slm-network.relay", "local.slm-network.connector"],
      reloaded: [],
    });
    expect(await here.readyz()).toBe(200);
    expect(await readlink(here.at("usr/local/slm-network/current"))).toBe(`releases/${here.release.sha256}`);
    expect((await here.mac.run("id -u _slmnetwork")).stdout.trim()).toMatch(/^[34]\d\d$/);
  });

  it("leaves config and secrets to root and the daemons' group, and secrets out of plists, logs and the process list", async () => {
    for (const file of ["relay.json", "secrets.json", "tunnel-token"]) {
      const path = here.at(`etc/slm-network/${file}`);
      expect(here.mac.mac.ownerOf(path), file).toEqual({ user: "root", group: "_slmnetwork", mode: 0o640 });
    }
    const daemons = here.at("Library/LaunchDaemons");
    const logs = here.at("var/log/slm-network");
    const seen = [(await here.mac.run("ps -axww -o command")).stdout, here.mac.lines.join("\n")];
    for (const name of await readdir(daemons)) {
      expect(here.mac.mac.ownerOf(join(daemons, name))).toEqual({ user: "root", group: "wheel", mode: 0o644 });
      seen.push(await readFile(join(daemons, name), "utf8"));
    }
    for (const name of await readdir(logs)) seen.push(await readFile(join(logs, name), "utf8"));
    expect(seen.join("\n")).not.toMatch(/very-secret/);
  });

  it("changes nothing the second time, and starts only what changed", async () => {
    const before = here.pids();
    expect(JSON.parse((await here.install()).stdout).restarted).toEqual([]);
    expect(here.pids()).toEqual(before);
    const other = await here.install({ relay: { ...here.input.relay, graceSeconds: 3 } });
    expect(JSON.parse(other.stdout)).toMatchObject({ restarted: ["local.slm-network.relay"], reloaded: [] });
  });

  it("gives the running relay other callers and limits without starting it anew", async () => {
    await here.install();
    const before = here.pids();
    const [caller] = here.input.relay.callers;
    const relay = {
      ...here.input.relay,
      callers: [{ ...caller!, enabled: false }],
      limits: { ...here.input.relay.limits, chat: 8 },
    };
    const ran = await here.install({ relay });
    expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: [], reloaded: ["local.slm-network.relay"] });
    expect(here.pids()).toEqual(before);
    const inUse: unknown = await (await fetch(`http://127.0.0.1:${here.input.relay.adminPort}/config`)).json();
    expect(inUse).toEqual({ callers: relay.callers, limits: relay.limits });
    expect(JSON.parse(await readFile(here.at("etc/slm-network/relay.json"), "utf8"))).toMatchObject({
      limits: { chat: 8 },
    });
    await here.install();
    expect(here.pids()).toEqual(before);
  });

  it("hands over to a connector with a new token without a moment that has none, and drains the old one first", async () => {
    const log = here.at("var/log/slm-network/connector.log");
    const known = (await connectorEvents(log)).length;
    const ran = await here.install({ connectorToken: "very-secret-second" });
    expect(ran.code, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: ["local.slm-network.connector"], reloaded: [] });
    const events = (await connectorEvents(log)).slice(known);
    const own = here.input.connectorPort;
    const first = (what: string, isOwn: boolean) =>
      events.find((event) => event.what === what && (event.port === own) === isOwn)!.at;
    const lastUp = events.findLast((event) => event.what === "up" && event.port === own)!.at;
    const order = [first("up", false), first("leaves", true), lastUp, first("leaves", false)];
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(events.find((event) => event.what === "down" && event.port === own)!.requests).toBe(0);
    expect(here.mac.mac.launchd.jobs().map((job) => job.definition.label)).toHaveLength(2);
    expect(await readdir(here.at("Library/LaunchDaemons"))).toHaveLength(2);
  });

  it("leaves the connector alone that serves when the new token is refused, and says so", async () => {
    const before = here.pids();
    const ran = await here.install({ connectorToken: "refused" });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/with the new token, did not connect within 30 s; the first one serves on/);
    expect(here.pids()).toEqual(before);
    expect(await readFile(here.at("etc/slm-network/tunnel-token"), "utf8")).toBe("very-secret-second");
  });

  it("does not touch the relay that serves when the new one's port is somebody else's, and says so", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const before = here.pids();
    try {
      const ran = await here.install({ relay: { ...here.input.relay, port } });
      expect(ran.code).toBe(1);
      expect(ran.stderr).toMatch(/the relay can not have port \d+ on the Mac: another process holds it .*lsof/);
      expect(ran.stderr).toMatch(/The previous installation was put back and serves on/);
    } finally {
      taken.close();
    }
    expect(here.pids()).toEqual(before);
    expect(await here.readyz()).toBe(200);
  });

  it("says in one message what is wrong with its input, without repeating it", async () => {
    const node = here.at(`usr/local/slm-network/node/${here.artifacts.node.sha256}/bin/node`);
    const installer = here.at(`usr/local/slm-network/releases/${here.release.sha256}/installer.mjs`);
    const args = `install --root '${here.mac.mac.root}/' --release r --node n`;
    const ran = await here.mac.run(`sudo -n '${node}' '${installer}' ${args}`, "very-secret {");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/the installer's input is no JSON \(13 characters arrived\)/);
    expect(ran.stderr).not.toContain("very-secret");
  });

  it("starts by itself after a power cut", async () => {
    await here.mac.mac.powerCut();
    await expect(here.readyz()).rejects.toThrow();
    await here.mac.mac.boot();
    await expect.poll(() => here.readyz().catch(() => 0), { timeout: 10_000 }).toBe(200);
  });

  it("removes everything but the data, also when it is asked twice", async () => {
    for (let time = 0; time < 2; time++) {
      const ran = await here.mac.run(asRoot(removeScript, "--installation", installation));
      expect(ran.code, ran.stderr).toBe(0);
    }
    for (const gone of ["usr/local/slm-network", "etc/slm-network", "var/log/slm-network"]) {
      await expect(access(here.at(gone)), gone).rejects.toThrow();
    }
    expect(await readdir(here.at("Library/LaunchDaemons"))).toEqual([]);
    expect((await here.mac.run("id -u _slmnetwork")).code).not.toBe(0);
    expect((await stat(here.at("var/db/slm-network"))).isDirectory()).toBe(true);
    expect(here.mac.mac.launchd.jobs()).toEqual([]);
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
    expect((await buildRelease(here.folder)).sha256).toBe(here.release.sha256);
  });

  it("does not depend on the machine that makes it: neither on its zlib nor on its umask", async () => {
    // gzip's output differs between versions of Node; a tar's does not.
    const archive = await readFile(here.release.path);
    expect(archive.subarray(257, 262).toString()).toBe("ustar");
    const script = `process.umask(0o077);
const { buildRelease } = await import(${JSON.stringify(new URL("../../../runtime/build.ts", import.meta.url).href)});
console.log((await buildRelease(process.argv[1])).sha256);`;
    const args = ["--input-type=module", "-e", script, await mkdtemp(join(here.folder, "other-"))];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(stdout.trim()).toBe(here.release.sha256);
  });
});
