/** The Mac itself: power settings, model server, uploads. */
import { access, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "plist";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asRoot, removeScript } from "../../../components/mac/mac-host.ts";
import type { InstallInput, ModelService } from "../../../runtime/install-input-schema.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import { readSettings, valuesOfUps } from "../../../runtime/installer/power.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

/** Waits on a port, as Ollama does. */
const modelServer = `const { createServer } = require("node:http");
console.log("serves as " + process.env.OLLAMA_NUM_PARALLEL + " in " + process.cwd());
createServer((req, res) => res.end("{}")).listen(Number(process.argv[2]), "127.0.0.1");
`;

let here: Installation;
let modelPort: number;
let service: ModelService;
let relay: InstallInput["relay"];

beforeAll(async () => {
  here = await prepareInstallation();
  modelPort = await claimPort();
  const program = join(here.folder, "model.cjs");
  await writeFile(program, modelServer);
  service = {
    program: process.execPath,
    args: [program, String(modelPort)],
    env: { OLLAMA_NUM_PARALLEL: "2" },
    user: "deploy",
  };
  relay = { ...here.input.relay, model: { ...here.input.relay.model, url: `http://127.0.0.1:${modelPort}` } };
  await here.upload(here.release);
}, 300_000);
afterAll(() => here?.end());

async function installed(change: Partial<InstallInput> = {}): Promise<Report> {
  const ran = await here.install({ relay, ...change });
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Report;
}
const modelPid = () => here.mac.mac.launchd.job("local.slm-network.model")?.pid;
const modelPlist = "Library/LaunchDaemons/local.slm-network.model.plist";

describe("the power settings", { timeout: 240_000 }, () => {
  it("are set where they differ, read back and reported; the second time nothing is changed", async () => {
    const first = await installed();
    const wanted = { sleep: 0, disksleep: 0, womp: 1, powernap: 0, autorestart: 1, autorestartatconnect: 1 };
    expect(first.power).toEqual({
      settings: wanted,
      // As a Mac comes, womp is on already.
      changed: ["sleep", "disksleep", "powernap", "autorestart", "autorestartatconnect"],
      fileVault: "off",
    });
    expect(here.mac.mac.power.value.ac).toMatchObject({ ...wanted, displaysleep: 10 });
    const second = await installed();
    expect(second.power).toEqual({ settings: wanted, changed: [], fileVault: "off" });
    expect(second.restarted).toEqual([]);
  });

  it("that have no effect are warnings with their consequence; the installation succeeds", async () => {
    const { power } = here.mac.mac;
    Object.assign(power.value.ac, { sleep: 1, autorestart: 0, autorestartatconnect: 0 });
    Object.assign(power.value, { forgotten: ["sleep", "autorestart", "autorestartatconnect"], fileVault: true });
    const report = await installed();
    expect(report.power).toMatchObject({ changed: [], fileVault: "on", settings: { sleep: 1, autorestart: 0 } });
    const said = report.warnings.join("\n");
    expect(said).toMatch(/`pmset -a sleep 0` had no effect: the Mac goes to sleep/);
    expect(said).toMatch(/`pmset -a autorestart 1` had no effect: after a power cut the Mac stays off/);
    expect(said).toMatch(/FileVault is on: .*waits for a password.*Turn it off/);
    Object.assign(power.value, { forgotten: [], fileVault: false });
  });

  it("need one of the two keys for a start after a power cut, even if they exclude each other or only one exists", async () => {
    const { power } = here.mac.mac;
    power.value.oneRestartKey = true;
    const both = await installed();
    expect(both.power.settings).toMatchObject({ autorestart: 0, autorestartatconnect: 1 });
    expect((await installed()).power.changed).toEqual([]); // does not go back and forth
    power.value.oneRestartKey = false;
    delete power.value.ac.autorestartatconnect;
    power.value.ac.autorestart = 0;
    const one = await installed();
    expect(one.power.changed).toEqual(["autorestart"]);
    expect(one.warnings.join()).not.toMatch(/stays off/);
    power.value.ac.autorestartatconnect = 0;
  });

  it("are not changed when the config says so, with a warning about the consequence", async () => {
    const { power } = here.mac.mac;
    Object.assign(power.value.ac, { sleep: 15, autorestart: 0, autorestartatconnect: 0 });
    const report = await installed({ power: { set: false } });
    expect(power.value.ac).toMatchObject({ sleep: 15, autorestart: 0 });
    expect(report.power.changed).toEqual([]);
    expect(report.warnings.join("\n")).toMatch(/sleep 0` is not set, and the config says not to change it/);
  });

  it("of a UPS are set only when configured", async () => {
    expect(here.mac.mac.power.value.ups).toEqual({ haltlevel: -1, haltafter: -1, haltremain: -1 });
    const report = await installed({ power: { set: true, ups: { haltLevel: 20, haltRemain: 5 } } });
    expect(here.mac.mac.power.value.ups).toEqual({ haltlevel: 20, haltafter: -1, haltremain: 5 });
    expect(report.power.settings).toMatchObject({ haltlevel: 20, haltremain: 5 });
    expect(report.power.changed).toEqual(expect.arrayContaining(["sleep", "haltlevel", "haltremain"]));
  });

  it("are parsed from macOS's output with several power sources and extra words", () => {
    const custom =
      "AC Power:\n Sleep On Power Button 1\n autorestart          1\n sleep                0 (sleep prevented by x)\n womp 1\nUPS Power:\n sleep                10\n";
    const settings = readSettings(custom);
    expect(settings.get("AC Power")?.get("autorestart")).toBe(1);
    expect(settings.get("AC Power")?.get("sleep")).toBe(0);
    expect(settings.get("UPS Power")?.get("sleep")).toBe(10);
    const ups = valuesOfUps("UPS settings:\n  haltlevel\ton\t20\n  haltafter\toff\t0\n");
    expect([...ups]).toEqual([
      ["haltlevel", 20],
      ["haltafter", -1],
    ]);
  });
});

describe("the model server", { timeout: 240_000 }, () => {
  it("that is not running, or was started by hand, is a warning", async () => {
    const nobody = await installed();
    expect(nobody.modelServer).toEqual({ startedBy: "nobody" });
    expect(nobody.warnings.join("\n")).toMatch(/nothing listens at the model server's address.*Set model\.service/);
    const { createServer } = await import("node:http");
    const byHand = createServer().listen(modelPort, "127.0.0.1");
    try {
      const another = await installed();
      expect(another.modelServer).toMatchObject({ startedBy: "another" });
      expect(another.warnings.join("\n")).toMatch(/not started by launchd.*does not restart until someone logs in/);
    } finally {
      byHand.close();
    }
  });

  it("that cannot be started as configured is refused before any change, all problems at once", async () => {
    const before = here.pids();
    const wrong = { ...service, program: "/opt/none/ollama", user: "nobody-here", workingDirectory: "/none" };
    const ran = await here.install({ relay, modelService: wrong });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/model\.service\.program: \/opt\/none\/ollama is not a program on this Mac/);
    expect(ran.stderr).toMatch(/model\.service\.user: this Mac has no account nobody-here/);
    expect(ran.stderr).toMatch(/model\.service\.workingDirectory: there is no folder \/none/);
    expect(here.pids()).toEqual(before);
  });

  it("is a daemon of its own account, with its own log, restarted only when its plist changed", async () => {
    const report = await installed({ modelService: service });
    expect(report.restarted).toEqual(["local.slm-network.model"]);
    expect(report.modelServer).toEqual({ startedBy: "launchd", label: "local.slm-network.model" });
    expect(report.warnings.join("\n")).toMatch(/OLLAMA_NUM_PARALLEL is 2; limits\.chat is 4/);
    expect(parse(await readFile(here.at(modelPlist), "utf8"))).toMatchObject({
      ProgramArguments: [process.execPath, ...service.args],
      UserName: "deploy",
      GroupName: "staff",
      RunAtLoad: true,
      KeepAlive: true,
      ProcessType: "Interactive",
      EnvironmentVariables: { OLLAMA_NUM_PARALLEL: "2", HOME: here.at("Users/deploy") },
    });
    expect(here.mac.mac.ownerOf(here.at("var/log/slm-network/model.log"))).toMatchObject({ user: "deploy" });
    const pid = modelPid();
    expect((await installed({ modelService: service })).restarted).toEqual([]);
    expect(modelPid()).toBe(pid);
    const more = { ...service, env: { OLLAMA_NUM_PARALLEL: "4" } };
    const changed = await installed({ modelService: more });
    expect(changed.restarted).toEqual(["local.slm-network.model"]);
    expect(changed.warnings).toEqual([]);
    expect(modelPid()).not.toBe(pid);
    expect(await readFile(here.at("var/log/slm-network/model.log"), "utf8")).toContain("serves as 4");
  });

  it("restarts after a power cut without a login", async () => {
    await here.mac.mac.powerCut();
    await here.mac.mac.boot();
    await expect
      .poll(
        () =>
          fetch(relay.model.url).then(
            (r) => r.status,
            () => 0,
          ),
        { timeout: 20_000 },
      )
      .toBe(200);
  });

  it("is removed when it is removed from the config", async () => {
    await installed();
    expect(modelPid()).toBeUndefined();
    await expect(access(here.at(modelPlist))).rejects.toThrow();
  });
});

describe("a Mac without internet access", { timeout: 240_000 }, () => {
  it("installs uploaded Node and cloudflared, verifies them, and reports the fix when they are missing", async () => {
    const { artifacts, release, input } = here;
    await here.mac.run(
      `sudo -n rm -rf '${here.at("usr/local/slm-network/node")}' '${here.at("usr/local/slm-network/cloudflared")}'`,
    );
    const node = { ...artifacts.node, url: "uploaded" };
    const cloudflared = { url: "http://127.0.0.1:1/none", sha256: input.cloudflared.sha256, uploaded: true };
    const gone = await here.install({ relay, cloudflared }, release, node);
    expect(gone.stderr).toMatch(
      /upload is gone from .*\/Users\/deploy on the Mac: send it again with: pulumi up --replace.*-upload-node/,
    );
    for (const { url, sha256 } of [artifacts.node, artifacts.cloudflared]) {
      const archive = Buffer.from(await (await fetch(url)).arrayBuffer());
      await writeFile(here.at(`Users/deploy/slm-network-${sha256}.tgz`), archive);
    }
    const ran = await here.install({ relay, cloudflared }, release, node);
    expect(ran.code, ran.stderr).toBe(0);
    expect(await here.readyz()).toBe(200);
    const other = await here.install({ relay, cloudflared: { ...cloudflared, sha256: "0".repeat(64) } }, release, node);
    expect(other.stderr).toMatch(/upload of cloudflared is missing at .*-upload-cloudflared/);
  });
});

describe("the removal", { timeout: 240_000 }, () => {
  it("deletes the data when asked to", async () => {
    const ran = await here.mac.run(asRoot(removeScript, "--installation", installation, "--data"));
    expect(ran.code, ran.stderr).toBe(0);
    for (const gone of ["var/db/slm-network", "usr/local/slm-network", "etc/slm-network", "var/log/slm-network"]) {
      await expect(access(here.at(gone)), gone).rejects.toThrow();
    }
    expect(await readdir(here.at("Library/LaunchDaemons"))).toEqual([]);
  });
});
