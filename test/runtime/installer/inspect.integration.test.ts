/** Inspecting the Mac: each kind of drift is found, and repaired with the minimal restarts. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asRoot, removeScript } from "../../../components/mac/mac-host.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import {
  driftOf,
  inspectCommand,
  inspectProgram,
  type MacExpected,
  parseMacState,
} from "../../../runtime/installer/mac-state.ts";
import { keyPair } from "../../../sandbox/mac/keys.ts";
import { readAuth } from "../../../ssh/auth.ts";
import { prepareInspectText } from "../../../ssh/prepare.ts";
import { openSession } from "../../../ssh/session.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

let here: Installation;
let expected: MacExpected;

beforeAll(async () => {
  here = await prepareInstallation();
  await here.upload(here.release);
}, 300_000);
afterAll(() => here?.end());

async function installed(id = installation): Promise<Report> {
  const ran = await here.install({}, here.release, here.artifacts.node, id);
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Report;
}
const drift = async () => driftOf(expected, await here.inspect());
/** Manual changes; paths of the Mac are written `@/…`. */
async function byHand(...commands: string[]): Promise<void> {
  for (const command of commands) {
    const ran = await here.mac.run(`sudo -n /bin/sh -c '${command.replaceAll("@/", `${here.at("")}/`)}'`);
    expect(ran.code, `${command}: ${ran.stderr}`).toBe(0);
  }
}
const relay = "local.slm-network.relay";
const connector = "local.slm-network.connector";
const plist = (label: string) => `@/Library/LaunchDaemons/${label}.plist`;

describe("a Mac's state", { timeout: 240_000 }, () => {
  it("without an installation contains only the machine's identity", async () => {
    expect(await here.inspect()).toMatchObject({
      hardwareUuid: here.mac.mac.hardwareUuid,
      installation: null,
      release: null,
      files: {},
      findings: ["the inspect command is not installed on this Mac"],
    });
  });

  it("after an installation equals the expected state and contains no secret", async () => {
    const report = await installed();
    expected = report.expected;
    expect(report).toMatchObject({ installation, hardwareUuid: here.mac.mac.hardwareUuid, notes: [] });
    const state = await here.inspect();
    expect(driftOf(expected, state)).toEqual([]);
    expect(state).toMatchObject({
      installation,
      release: here.release.sha256,
      node: here.artifacts.node.sha256,
      cloudflared: here.artifacts.cloudflared.sha256,
      account: true,
      findings: [],
      daemons: { [relay]: { loaded: true, running: true } },
    });
    expect(state.files["/etc/slm-network/secrets.json"]).toMatchObject({ owner: "root:_slmnetwork", mode: "640" });
    expect(Object.keys(state.files)).toContain(`/usr/local/slm-network/releases/${here.release.sha256}/relay.mjs`);
    expect(JSON.stringify(state)).not.toMatch(/very-secret/);
  });

  it("is read without changing anything", async () => {
    const listing = async () =>
      (await here.mac.run(`ls -lR '${here.at("usr/local/slm-network")}' '${here.at("private/etc")}'`)).stdout;
    const before = [here.pids(), await listing(), await here.inspect()];
    expect([here.pids(), await listing(), await here.inspect()]).toEqual(before);
    expect(await listing()).toBe(before[1]);
  });

  it("in an unknown format is refused", () => {
    expect(() => parseMacState("usage: installer.mjs")).toThrow(/not JSON/);
    expect(() => parseMacState('{"schema":2}')).toThrow(/not in the format this version knows/);
  });
});

describe("drift", { timeout: 480_000 }, () => {
  /** The drift found, what an installation restarts for it, and that no drift is left. */
  async function seenAndMended(seen: readonly (string | RegExp)[], restarted: readonly string[]): Promise<void> {
    const found = (await drift()).join("\n");
    for (const one of seen) expect(found).toMatch(one);
    const before = here.pids();
    expect((await installed()).restarted).toEqual(restarted);
    if (restarted.length === 0) expect(here.pids()).toEqual(before);
    const state = await here.inspect();
    expect([driftOf(expected, state), state.findings]).toEqual([[], []]);
    expect(await here.readyz()).toBe(200);
  }

  it("in files that no process has read is repaired without a restart", async () => {
    await byHand(
      `rm ${plist(relay)}`,
      `chmod 666 ${plist(connector)}`,
      "chmod 644 @/etc/slm-network/secrets.json",
      "rm @/etc/slm-network/relay.json",
      "chown deploy:staff @/var/db/slm-network",
      "chmod 777 @/usr/local/slm-network",
      `chmod 600 @/usr/local/slm-network/releases/${here.release.sha256}/jobs-worker.mjs`,
      "rm @/usr/local/slm-network/installation.json",
      "pmset -a sleep 10",
      `launchctl disable system/${relay}`,
    );
    expect((await here.inspect()).findings).toEqual([]); // its plist is gone: that is said instead
    await seenAndMended(
      [
        `${relay}: plist missing`,
        /connector\.plist: mode: 666 instead of 644/,
        "/etc/slm-network/secrets.json: mode: 644 instead of 640",
        "/etc/slm-network/relay.json: missing",
        "/var/db/slm-network: owner: deploy:staff instead of _slmnetwork:_slmnetwork",
        "/usr/local/slm-network: mode: 777 instead of 755",
        /jobs-worker\.mjs: mode: 600 instead of 644/,
        `installation: none instead of ${installation}`,
        "pmset sleep: 10 instead of 0",
      ],
      [],
    );
  });

  it("in files that the relay may have read is repaired, with a relay handover", async () => {
    const release = `@/usr/local/slm-network/releases/${here.release.sha256}`;
    await byHand(
      `echo "/* by hand */" >>${release}/relay.mjs`,
      `rm ${release}/jobs-worker.mjs`,
      `echo >${release}/more.mjs`,
      "rm -f @/Users/deploy/slm-network-*",
    );
    await seenAndMended([/relay\.mjs: changed/, /jobs-worker\.mjs: missing/], [relay]);
    for (const change of [`echo >>${plist(relay)}`, "echo >>@/etc/slm-network/relay.json"]) {
      await byHand(change);
      await seenAndMended([change.includes("plist") ? `${relay}: plist changed` : "relay.json: changed"], [relay]);
    }
  });

  it("in files that the connector may have read is repaired, with a connector handover", async () => {
    const program = `@/usr/local/slm-network/cloudflared/${here.artifacts.cloudflared.sha256}/cloudflared`;
    await byHand("echo other >@/etc/slm-network/tunnel-token", `echo "// by hand" >>${program}`);
    await seenAndMended(["/etc/slm-network/tunnel-token: changed", /cloudflared: changed/], [connector]);
  });

  it("in Node is repaired: it is unpacked again", async () => {
    const program = `@/usr/local/slm-network/node/${here.artifacts.node.sha256}/bin/node`;
    await byHand(`cp ${program} ${program}.new && echo >>${program}.new && mv ${program}.new ${program}`);
    await seenAndMended([/bin\/node: changed/], [relay]);
  });

  it("in unloaded, disabled or killed daemons is repaired", async () => {
    await byHand(`launchctl disable system/${relay}`);
    expect((await here.inspect()).findings).toEqual([`${relay} is disabled: it would not start with the Mac`]);
    await byHand(`launchctl bootout system/${connector}`);
    await expect.poll(drift, { timeout: 60_000 }).toEqual([`${connector}: not loaded`]);
    await seenAndMended([`${connector}: not loaded`], [connector]);
    await byHand(`launchctl bootout system/${relay}`);
    await seenAndMended([`${relay}: not loaded`], [relay]);
  });

  it("in the account is repaired: it is created again, with its files", async () => {
    await byHand("dscl . -delete /Users/_slmnetwork");
    await seenAndMended(["the daemons' account: missing"], [relay, connector]);
    expect(here.mac.mac.ownerOf(here.at("var/db/slm-network/jobs.db")).user).toBe("_slmnetwork");
  });

  it("after everything, or the inspect command, was removed by hand is repaired", async () => {
    await byHand("rm -rf @/usr/local/slm-network/node");
    expect((await here.inspect()).findings).toEqual([
      "Node or the installer is missing from the installation: run pulumi up",
    ]);
    await byHand("rm -rf @/usr/local/slm-network");
    expect((await drift()).join("\n")).toMatch(/release: none instead of/);
    await here.upload(here.release);
    await installed();
    expected = (await installed()).expected; // with another key for the hashes of secrets
    expect(await drift()).toEqual([]);
  });
});

describe("a read-only key", { timeout: 240_000 }, () => {
  it("always gets the state, and can do nothing else, even without the forced command", async () => {
    const key = keyPair(here.folder, "inspect");
    const { mac } = here.mac;
    // The paste, for this root folder. The script's own words are the Mac's, its redirections the shell's.
    const paste = prepareInspectText("slm-inspect", key.publicKey, inspectCommand, inspectProgram)
      .replace("sudo ", "sudo -n ")
      .replaceAll(/(?<= |>)\/(Users|etc)\//g, `${mac.root}/$1/`);
    await byHand("mkdir -p @/Users/slm-inspect"); // createhomedir(1) of macOS
    for (let time = 0; time < 2; time++) {
      const pasted = await here.mac.run(paste);
      expect(pasted.code, pasted.stderr + pasted.stdout).toBe(0);
    }
    const { host, port, hostKey } = mac;
    const auth = await readAuth(key.privateKeyPath, {});
    const session = await openSession({ host, port, user: "slm-inspect", hostKey }, auth);
    for (const command of [inspectCommand, "sudo -n id", "rm -rf /"]) {
      const ran = await session.run(command);
      expect(ran.stderr).toBe("");
      expect(driftOf(expected, parseMacState(ran.stdout))).toEqual([]);
    }
    await session.close();
    const asInspect = (command: string) => here.mac.run(`SLM_SANDBOX_USER=slm-inspect USER=slm-inspect ${command}`);
    const program = here.at(inspectProgram);
    expect((await asInspect(`sudo -n '${program}'`)).code).toBe(0);
    expect((await asInspect(`sudo -n '${program}' --root /tmp`)).code).toBe(1);
    expect((await asInspect("sudo -n id")).code).toBe(1);
    const same = paste.replaceAll("restrict,command", "restrict,no-pty,command");
    expect((await here.mac.run(same)).stdout).toMatch(/^NOT DONE: .* has this key already with other rights/);
  });
});

describe("the owner of an installation", { timeout: 240_000 }, () => {
  const remove = (...args: string[]) => here.mac.run(asRoot(removeScript, ...args));

  it("is required for a removal: with another id or none nothing is removed, with a message", async () => {
    const before = [here.pids(), await here.inspect()];
    for (const args of [[], [""], ["--data"], ["--installation", "another", "--data"], ["--installation", ""]]) {
      const ran = await remove(...args);
      expect(ran.code).toBe(0);
      expect(ran.stderr).toMatch(/^nothing was removed: .*\n$/);
      expect(JSON.parse(ran.stdout)).toMatchObject({ removed: false });
    }
    expect([here.pids(), await here.inspect()]).toEqual(before);
  });

  it("is kept when an earlier version without ids installs", async () => {
    expect(await installed("")).toMatchObject({ installation, notes: [] });
  });

  it("changes when another resource installs, with a message; a removal by the former owner then does nothing", async () => {
    const before = here.pids();
    const report = await installed("another");
    expect(report).toMatchObject({ installation: "another", restarted: [] });
    expect(report.notes.join()).toMatch(
      new RegExp(`^the Mac belonged to installation ${installation} .* taken over by another`),
    );
    expect((await installed("another")).notes).toEqual([]);
    expect((await remove("--installation", installation)).stderr).toMatch(/this Mac belongs to installation another/);
    expect(here.pids()).toEqual(before);
  });

  it("does not change when another resource's installation fails", async () => {
    const ran = await here.install({ connectorToken: "refused" }, here.release, here.artifacts.node, "third");
    expect(ran.stderr).toMatch(/was restored and is serving/);
    expect((await here.inspect()).installation).toBe("another");
  });

  it("can remove it, even twice", async () => {
    expect(JSON.parse((await remove("--installation", "another")).stdout)).toEqual({ removed: true });
    expect((await here.inspect()).files).toEqual({});
    expect((await remove("--installation", "another")).code).toBe(0);
    await expect(readFile(here.at("usr/local/slm-network/installation.json"))).rejects.toThrow();
  });
});
