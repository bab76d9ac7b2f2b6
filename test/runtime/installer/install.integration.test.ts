import { execFile } from "node:child_process";
import { access, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asRoot, removeScript } from "../../../components/mac/mac-host.ts";
import { asUser, sendScript, uploadName } from "../../../components/mac/scripts.ts";
import { buildRelease } from "../../../runtime/build.ts";
import { freeId } from "../../../runtime/installer/account.ts";
import { layout } from "../../../runtime/installer/layout.ts";
import { runsFrom } from "../../../runtime/installer/ports.ts";
import { cut } from "../../sandbox/vendors.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

let here: Installation;
beforeAll(async () => {
  here = await prepareInstallation();
}, 300_000);
afterAll(() => here?.end());

interface ConnectorEvent {
  readonly what: string;
  readonly port: number;
  readonly requests: number;
  /** Of `--edge-ip-version`. */
  readonly edge?: string;
  readonly at: number;
}

async function connectorEvents(log: string) {
  const lines = (await readFile(log, "utf8")).split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as ConnectorEvent);
}

/** Listens on 127.0.0.1. @param port 0: any */
const listening = (server: Server, port = 0) =>
  new Promise<Server>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", () => resolve(server));
  });

/** The files of an installation. */
const installed = () =>
  ["relay.json", "secrets.json", "tunnel-token", "../../Library/LaunchDaemons/local.slm-network.relay.plist"].map(
    (file) => join("etc/slm-network", file),
  );

describe("the installer", { timeout: 120_000 }, () => {
  it("refuses archives with a wrong hash", async () => {
    await writeFile(here.at(`Users/deploy/slm-network-${here.release.sha256}.tar`), "damaged");
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

  it("takes nothing from /tmp, where anybody can put a link in the way of an upload", async () => {
    const planted = here.at(`private/tmp/slm-network-${here.release.sha256}.tar`);
    const victim = here.at("Users/deploy/victim");
    await writeFile(victim, "the administrator's");
    await symlink(victim, planted);
    const upload = here.at(`Users/deploy/slm-network-${here.release.sha256}.tar`);
    await rm(upload);
    const command = asUser(sendScript, uploadName(here.release.sha256, "tar"));
    expect((await here.mac.run(command, await readFile(here.release.path))).code).toBe(0);
    expect(await readFile(victim, "utf8")).toBe("the administrator's");
    expect((await readFile(upload)).length).toBe((await readFile(here.release.path)).length);
    await rm(planted);
    await rm(victim);
  });

  it("installs a serving relay on a bare Mac, although the first transfer of each archive is cut", async () => {
    const asked: string[] = [];
    const site = createHttpServer((request, response) => {
      const isCut = !asked.includes(request.url ?? "");
      asked.push(request.url ?? "");
      const from = new URL(request.url ?? "", here.artifacts.node.url);
      void fetch(from).then(async (archive) => {
        const body = Buffer.from(await archive.arrayBuffer());
        if (isCut) cut(response, body);
        else response.end(body);
      });
    });
    await new Promise<void>((listens) => site.listen(0, "127.0.0.1", listens));
    const through = (url: string) => `http://127.0.0.1:${(site.address() as AddressInfo).port}${new URL(url).pathname}`;
    const { node, cloudflared } = here.artifacts;
    await rm(here.at(`usr/local/slm-network/node/${node.sha256}`), { recursive: true }); // of the refused installation
    const ran = await here.install(
      { cloudflared: { ...here.input.cloudflared, url: through(cloudflared.url) } },
      here.release,
      {
        ...node,
        url: through(node.url),
      },
    );
    site.close();
    expect(ran.code, ran.stderr).toBe(0);
    expect(asked).toHaveLength(4);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      release: here.release.sha256,
      restarted: ["local.slm-network.relay", "local.slm-network.connector"],
      reloaded: [],
    });
    expect(await here.readyz()).toBe(200);
    expect(await readlink(here.at("usr/local/slm-network/current"))).toBe(`releases/${here.release.sha256}`);
    expect((await here.mac.run("id -u _slmnetwork")).stdout.trim()).toMatch(/^[34]\d\d$/);
  });

  it("makes config and secrets readable by root and the daemons' group only, and keeps secrets out of plists, logs and the process list", async () => {
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
    for (const name of (await readdir(logs)).filter((one) => one.endsWith(".log"))) {
      seen.push(await readFile(join(logs, name), "utf8"));
    }
    expect(seen.join("\n")).not.toMatch(/very-secret/);
  });

  it("changes nothing the second time, and restarts only changed daemons", async () => {
    const before = here.pids();
    expect(JSON.parse((await here.install()).stdout).restarted).toEqual([]);
    expect(here.pids()).toEqual(before);
    const other = await here.install({ relay: { ...here.input.relay, graceSeconds: 3 } });
    expect(JSON.parse(other.stdout)).toMatchObject({ restarted: ["local.slm-network.relay"], reloaded: [] });
  });

  it("reloads callers, limits, limits of jobs and what is known of tokens without restarting the relay", async () => {
    await here.install();
    const before = here.pids();
    const [caller] = here.input.relay.callers;
    const relay = {
      ...here.input.relay,
      callers: [{ ...caller!, enabled: false }],
      limits: { ...here.input.relay.limits, chat: 8 },
      jobs: { ...here.input.relay.jobs, retentionDays: 9, maxAttempts: 2 },
      tokens: { [caller!.name]: { duration: "8760h", expiresAt: "2030-01-01T00:00:00Z" } },
    };
    const ran = await here.install({ relay });
    expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: [], reloaded: ["local.slm-network.relay"] });
    expect(here.pids()).toEqual(before);
    const inUse: unknown = await (await fetch(`http://127.0.0.1:${here.input.relay.adminPort}/config`)).json();
    const { callers, limits, jobs, tokens } = relay;
    expect(inUse).toEqual({ callers, limits, jobs, tokens });
    expect(JSON.parse(await readFile(here.at("etc/slm-network/relay.json"), "utf8"))).toMatchObject({
      limits: { chat: 8 },
    });
    await here.install();
    expect(here.pids()).toEqual(before);
  });

  it("hands over to a connector with a new token without a gap, and drains the old one first", async () => {
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

  it("hands over to a connector with another IP version, which the temporary one has too, and takes it back", async () => {
    const log = here.at("var/log/slm-network/connector.log");
    const plist = here.at("Library/LaunchDaemons/local.slm-network.connector.plist");
    for (const edgeIpVersion of ["6", undefined] as const) {
      const known = (await connectorEvents(log)).length;
      const change = { connectorToken: "very-secret-second", ...(edgeIpVersion && { edgeIpVersion }) };
      const ran = await here.install(change);
      expect(ran.code, ran.stderr).toBe(0);
      expect(JSON.parse(ran.stdout)).toMatchObject({ restarted: ["local.slm-network.connector"] });
      const up = (await connectorEvents(log)).slice(known).filter(({ what }) => what === "up");
      // After its drain launchd may have started the old one once more, as it was loaded; the new one comes after it.
      const own = up.filter(({ port }) => port === here.input.connectorPort);
      expect([up.length - own.length, up[0]?.edge, own.at(-1)?.edge]).toEqual([1, edgeIpVersion, edgeIpVersion]);
      const argument = `<string>--edge-ip-version</string>`;
      expect((await readFile(plist, "utf8")).includes(argument)).toBe(edgeIpVersion !== undefined);
      const before = here.pids();
      expect(JSON.parse((await here.install(change)).stdout).restarted).toEqual([]);
      expect(here.pids()).toEqual(before);
    }
  });

  it("keeps the running connector when the new token is refused", async () => {
    const before = here.pids();
    const ran = await here.installInVain({ connectorToken: "refused" });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/with the new token, did not connect within 6 s; the first one keeps running unchanged/);
    expect(here.pids()).toEqual(before);
    expect(await readFile(here.at("etc/slm-network/tunnel-token"), "utf8")).toBe("very-secret-second");
  });

  it("refuses ports in use before any change, all at once, with their processes", async () => {
    const taken = await Promise.all([1, 2, 3].map(() => listening(createServer())));
    const [port, adminPort, connectorPort] = taken.map((server) => (server.address() as AddressInfo).port);
    const before = here.pids();
    const files = await Promise.all(installed().map((path) => readFile(here.at(path), "utf8")));
    try {
      const ran = await here.install({
        relay: { ...here.input.relay, port: port!, adminPort: adminPort! },
        connectorPort: connectorPort!,
      });
      expect(ran.code).toBe(1);
      for (const [who, number, setting] of [
        ["the relay", port, "relay"],
        ["the relay's admin listener", adminPort, "admin"],
        ["cloudflared's metrics", connectorPort, "connector"],
      ] as const) {
        expect(ran.stderr).toMatch(
          new RegExp(
            `${who} cannot use port ${number} on the Mac: process ${process.pid} \\(.*\\) listens on it .*macs\\[\\]\\.ports\\.${setting}`,
          ),
        );
      }
      expect(ran.stderr).toMatch(/Nothing was changed on the Mac/);
    } finally {
      for (const server of taken) server.close();
    }
    expect(here.pids()).toEqual(before);
    expect(await Promise.all(installed().map((path) => readFile(here.at(path), "utf8")))).toEqual(files);
    expect(await here.readyz()).toBe(200);
  });

  it("refuses its own former port when another program has bound it", async () => {
    const { adminPort } = here.input.relay;
    expect((await here.mac.run("sudo -n launchctl bootout system/local.slm-network.relay")).code).toBe(0);
    await expect.poll(() => here.readyz().catch(() => 0), { timeout: 20_000 }).toBe(0);
    const taken = createServer();
    await expect
      .poll(
        () =>
          listening(taken, adminPort).then(
            () => true,
            () => false,
          ),
        { timeout: 20_000 },
      )
      .toBe(true);
    try {
      expect((await here.install()).stderr).toMatch(
        new RegExp(`^the relay's admin listener cannot use port ${adminPort} on the Mac: process ${process.pid} `, "m"),
      );
    } finally {
      taken.close();
    }
    expect((await here.install()).code).toBe(0);
    expect(await here.readyz()).toBe(200);
  });

  it("reports invalid input in one message without repeating the input", async () => {
    const node = here.at(`usr/local/slm-network/node/${here.artifacts.node.sha256}/bin/node`);
    const installer = here.at(`usr/local/slm-network/releases/${here.release.sha256}/installer.mjs`);
    const args = `install --root '${here.mac.mac.root}/' --release r --node n`;
    const ran = await here.mac.run(`sudo -n '${node}' '${installer}' ${args}`, "very-secret {");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/the installer's input is not JSON \(13 characters arrived\)/);
    expect(ran.stderr).not.toContain("very-secret");
  });

  it("starts by itself after a power cut", async () => {
    await here.mac.mac.powerCut();
    await expect(here.readyz()).rejects.toThrow();
    await here.mac.mac.boot();
    await expect.poll(() => here.readyz().catch(() => 0), { timeout: 10_000 }).toBe(200);
  });

  it("removes everything but the data, even when run twice", async () => {
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

it("the installation's own programs are recognised below any root folder", () => {
  const base = layout("/Users/김/a (b)").onMac(layout("/Users/김/a (b)").base);
  for (const root of ["", "/Users/???/a (b)", "/Users/\\352\\271\\200/a (b)", "/another/mac"]) {
    expect(runsFrom(base, `${root}/usr/local/slm-network/current/bin/node main.mjs`), root).toBe(true);
  }
  expect(runsFrom(base, "/usr/local/slm-network-other/node")).toBe(false);
  expect(runsFrom(base, "/usr/local/bin/ollama serve")).toBe(false);
});

describe("the account's id", () => {
  it("is the highest unused one below 500", () => {
    expect(freeId("root 0\n_www 70\ndeploy 501\n", "wheel 0\n")).toBe(499);
    expect(freeId("_a 499\n", "_b   498\n")).toBe(497);
  });
  it("is an error when all are in use", () => {
    const all = Array.from({ length: 200 }, (_, i) => `_u${i} ${300 + i}`).join("\n");
    expect(() => freeId(all)).toThrow(/no id is free/);
  });
});

describe("the release", () => {
  it("is the same archive from the same sources", async () => {
    expect((await buildRelease(here.folder)).sha256).toBe(here.release.sha256);
  });

  it("does not depend on the build machine's zlib or umask", async () => {
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
