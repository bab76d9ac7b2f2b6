/**
 * The Mac as a resource with state, by the real engine: changed by hand, switched off, killed on the way, moved. A client calls
 * all the while and counts what fails.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { newKey, publicKeyOf } from "../../sandbox/mac/keys.ts";
import { secondMacSchema } from "../../sandbox/second-mac.ts";
import { eventually, folder, inFolder, project, run, sandbox, start, strays } from "./harness.ts";
import { type Client, exists, fine, installationOn, MacNetwork, said, tell } from "./mac-network.ts";

inFolder(".sandbox-macres");
// Each test runs the engine several times; on a machine that is busy with other things that takes minutes.
vi.setConfig({ testTimeout: 900_000 });

/** Of this machine, by number. */
async function processes() {
  const { stdout } = await run("ps", ["-axo", "pid=,ppid=,lstart="]);
  const rows = stdout.matchAll(/^ *(\d+) +(\d+) +(.+?) *$/gm);
  return [...rows].map(([, pid, parent, started = ""]) => [Number(pid), { parent: Number(parent), started }] as const);
}

/** @returns the processes that a process started, and those that they did, with the time of their start */
async function below(ancestor: number): Promise<Map<number, string>> {
  const all = await processes();
  const found = new Map<number, string>();
  const add = (parent: number) => {
    for (const [pid, one] of all) {
      if (one.parent !== parent) continue;
      found.set(pid, one.started);
      add(pid);
    }
  };
  add(ancestor);
  return found;
}

let network: MacNetwork;
let client: Client;

beforeAll(async () => {
  await sandbox("--stop");
  network = new MacNetwork(await start());
  client = await network.client();
  client.start();
});
afterAll(async () => {
  await client?.stop();
  console.log("report:", JSON.stringify(network?.report, null, 1));
  await tell("boot").catch(() => {});
  const ran = await sandbox("--reset");
  expect(ran.code, said(ran)).toBe(0);
  expect(await strays()).toEqual([]);
});

describe("what is changed on the Mac by hand", () => {
  it("shows in a preview, each with its name, and the next up repairs it", async () => {
    const plist = "Library/LaunchDaemons/local.slm-network.connector.plist";
    await rm(network.onMac(plist));
    await writeFile(network.onMac("etc/slm-network/relay.json"), "{}");
    const session = await network.session();
    for (const command of [
      ["chown", "deploy:staff", `${network.ready.macRoot}/etc/slm-network/secrets.json`],
      ["pmset", "-a", "sleep", "10"],
      ["launchctl", "bootout", "system/local.slm-network.relay"],
    ]) {
      const ran = await session.run(["sudo", "-n", ...command]);
      expect(ran.exitCode, ran.stderr).toBe(0);
    }
    await session.close();
    const preview = await network.pulumi("preview", "--refresh", "--diff", "--expect-no-changes");
    expect(preview.code).not.toBe(0);
    for (const shown of [
      `/${plist}: missing`,
      "/etc/slm-network/relay.json: changed",
      "/etc/slm-network/secrets.json: owner",
      "pmset sleep: 10",
      "local.slm-network.relay: not loaded",
    ]) {
      expect(said(preview)).toContain(shown);
    }
    // Without a refresh as well: what a preview shows an up repairs.
    await network.up();
    await eventually(() => client.answers(), 60_000);
    await network.noDrift();
    await client.during("damage done by hand, with the relay stopped");
  });
});

describe("an agent with seven keys, of which the last is the right one", () => {
  it("is refused by sshd, and is no obstacle with a named key: the uploads go by the program's own agent", async () => {
    const work = await mkdtemp(join(tmpdir(), "slm-agent-"));
    const socket = join(work, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    try {
      await eventually(() => exists(socket), 60_000);
      for (let index = 0; index < 6; index++) {
        const stranger = join(work, `stranger-${index}`);
        await writeFile(stranger, newKey(stranger).private, { mode: 0o600 });
        await fine(run("ssh-add", ["-q", stranger], { SSH_AUTH_SOCK: socket }));
      }
      await fine(run("ssh-add", ["-q", network.ready.ssh.privateKeyPath], { SSH_AUTH_SOCK: socket }));
      const named = join(work, "named.pub"); // the agent signs
      await writeFile(named, publicKeyOf(await readFile(network.ready.ssh.privateKeyPath, "utf8")));

      const uploads = network.onMac("Users/deploy");
      const sent = async () => (await readdir(uploads)).filter((name) => /^slm-network-[0-9a-f]{64}\.tar$/.test(name));
      for (const name of await sent()) await rm(join(uploads, name));
      const upload = (await network.resources()).find(({ urn }) => urn.endsWith("::slm-mac-upload"))!.urn;
      const up = (key: string) => {
        const environment = { SSH_AUTH_SOCK: socket, SLM_NETWORK_SSH_KEY: key };
        return network.pulumiIn(project, environment, "up", "--yes", "--skip-preview", "--replace", upload);
      };
      const refused = await up("");
      expect(refused.code, said(refused)).not.toBe(0);
      expect(await sent()).toEqual([]);
      await fine(up(named));
      expect(await sent()).toHaveLength(1);
      await fine(up(network.ready.ssh.privateKeyPath));
      await network.noDrift();
    } finally {
      agent.kill();
      await rm(work, { recursive: true, force: true });
    }
  });
});

describe("a Mac that is off", () => {
  it("fails neither a preview nor an up that leaves it alone, keeps its state, and stops a removal with the way out", async () => {
    await tell("power-cut");
    const state = await network.macState();
    expect(await fine(network.pulumi("preview", "--expect-no-changes"))).toMatch(/the Mac was not looked at/);
    await network.up("--expect-no-changes");
    expect(await fine(network.pulumi("refresh", "--yes", "--skip-preview"))).toMatch(
      /warning: the Mac at .* could not be read/,
    );
    expect(await network.macState()).toEqual({ ...state, outputs: expect.objectContaining({ drift: [] }) });
    const nightly = await network.pulumiIn(
      project,
      { SLM_NETWORK_MAC_UNREAD: "fail" },
      "preview",
      "--refresh",
      "--expect-no-changes",
    );
    expect(nightly.code).not.toBe(0);
    expect(said(nightly)).toMatch(/the Mac at .* could not be read/);
    const destroy = await network.pulumi("destroy", "--yes", "--skip-preview", "--target", network.installUrn);
    expect(destroy.code).not.toBe(0);
    expect(said(destroy)).toMatch(
      /cannot be reached, so nothing can be removed from it.*macs\[\]\.skipRemoval to true/s,
    );
    await network.configure([["limits", "chat"], 3]);
    const changed = await network.pulumi("up", "--yes", "--skip-preview");
    expect(changed.code).not.toBe(0);
    expect(said(changed)).toMatch(/is not reachable/);
    await tell("boot");
    await eventually(() => client.answers(), 60_000);
    expect(await network.up()).toMatch(/the Mac: reload the relay: limits changed/);
    await client.during("a Mac that is off");
  });
});

describe("an up that is killed while it installs", () => {
  it("is finished by the next one", async () => {
    await network.configure([["model", "timeouts"], { connect: 6 }]);
    const child = spawn(network.ready.pulumi.bin, ["up", "--yes", "--skip-preview", "--non-interactive"], {
      cwd: project,
      env: { ...process.env, ...network.ready.environment },
      stdio: "ignore",
      detached: true,
    });
    const ended = new Promise((resolve) => child.once("close", resolve));
    await eventually(() => exists(network.onMac("var/run/slm-network-install.lock")), 300_000);
    // The engine's plugins have process groups of their own; the dynamic provider's goes on without an engine.
    const plugins = await below(child.pid!);
    process.kill(-child.pid!, "SIGKILL");
    await ended;
    await fine(network.pulumi("cancel", "--yes"));
    await network.up();
    const left = new Map(await processes());
    const strayPlugins = [...plugins].filter(([pid, started]) => left.get(pid)?.started === started);
    if (strayPlugins.length > 0) await run("kill", ["-9", ...strayPlugins.map(([pid]) => String(pid))]);
    expect((await client.during("an up that is killed, and the next")).failures).toEqual([]);
  });
});

describe("secrets", () => {
  it("stand in neither the state, nor the outputs, nor what a preview prints", async () => {
    const read = (path: string) => readFile(network.onMac(path), "utf8");
    const secrets = Object.values(
      z.record(z.string(), z.unknown()).parse(JSON.parse(await read("etc/slm-network/secrets.json"))),
    );
    const { tunnelSecret } = z
      .looseObject({ tunnelSecret: z.string() })
      .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
    const token = (await read("etc/slm-network/tunnel-token")).trim();
    const key = await readFile(network.ready.ssh.privateKeyPath, "utf8");
    const hidden = [tunnelSecret, token, ...key.split("\n").slice(1, 3), ...secrets.map((value) => String(value))];
    const shown = {
      state: (await network.pulumi("stack", "export")).stdout,
      outputs: (await network.pulumi("stack", "output", "--json")).stdout,
      preview: said(await network.pulumi("preview", "--refresh", "--diff", "--show-config")),
    };
    expect(hidden.length).toBeGreaterThan(3);
    for (const [where, text] of Object.entries(shown)) {
      expect(text.length, where).toBeGreaterThan(100);
      for (const [index, secret] of hidden.entries()) {
        expect(secret.length, `secret ${index}`).toBeGreaterThan(10);
        expect(text.includes(secret), `secret ${index} in the ${where}`).toBe(false);
      }
    }
  });
});

describe("a move to another Mac", () => {
  it("installs the new one first, says what lies on the old one, and takes that out of service", async () => {
    await tell("second-mac");
    const second = secondMacSchema.parse(JSON.parse(await readFile(join(folder, "second-mac.json"), "utf8")));
    const { ports } = second;
    await network.configure(
      [["macs", 0, "port"], second.port],
      [["macs", 0, "hostKey"], second.hostKey],
      // Both Macs have one loopback here: the relay waits for its port, as after a restart; the other two must differ.
      [["macs", 0, "ports", "admin"], ports.admin],
      [["macs", 0, "ports", "connector"], ports.connector],
    );
    const preview = await fine(network.pulumi("preview"));
    expect(preview).toMatch(/move to another Mac: .* is installed and becomes ready first/);
    expect(preview).toMatch(/jobs and their answers \(jobs\.db, /);
    expect(preview).toMatch(/ssh .* sudo tar -cf - -C \/private\/var\/db slm-network \| ssh/);
    expect(preview).not.toMatch(/to (create|delete|replace)/);
    const moved = await network.up();
    expect(moved).toMatch(/the former Mac at .* is out of service; its data stays/);
    expect(await exists(network.onMac("usr/local/slm-network"))).toBe(false);
    expect(await exists(network.onMac("var/db/slm-network/jobs.db"))).toBe(true);
    expect((await network.macState())?.outputs.installation).toBe(await installationOn(second.root));
    await eventually(() => client.answers(), 60_000);
    const { calls, failures } = await client.during("a move with the old Mac there");
    // Seen: none of 244. Between the two relays nobody listens for some milliseconds, or seconds on a busy machine.
    expect(failures.length).toBeLessThan(calls / 10);
  });

  it("stops before it changes anything when the old one is gone, until the config says so", async () => {
    await tell("power-cut", '{"mac": "second"}');
    const first = network.ready.ssh.port;
    const { ports } = z
      .looseObject({ ports: z.looseObject({ relayAdmin: z.int(), connectorMetrics: z.int() }) })
      .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
    const firstPorts = { admin: ports.relayAdmin, connector: ports.connectorMetrics };
    const hostKey = await readFile(join(folder, "mac/host_ed25519.pub"), "utf8");
    await network.configure(
      [["macs", 0, "port"], first],
      [["macs", 0, "hostKey"], hostKey.trim()],
      [["macs", 0, "ports", "admin"], firstPorts.admin],
      [["macs", 0, "ports", "connector"], firstPorts.connector],
    );
    const stopped = await network.pulumi("up", "--yes", "--skip-preview");
    expect(stopped.code).not.toBe(0);
    expect(said(stopped)).toMatch(/cannot be reached to take it out of service.*Nothing was changed.*previous: gone/s);
    expect(await exists(network.onMac("usr/local/slm-network"))).toBe(false);
    await network.configure([["macs", 0, "previous"], "gone"]);
    expect(await network.up()).toMatch(/is forgotten \(macs\[0\]\.previous: gone/);
    await eventually(() => client.answers(), 60_000);
    expect(await installationOn(network.ready.macRoot)).toBe((await network.macState())?.outputs.installation);
    await network.configure([["macs", 0, "previous"], undefined]);
    await network.noDrift();
    await client.during("a move with the old Mac gone (it served nothing)");
  });
});
