/** Installations on volumes that are really full, with room for one block more each time, until they succeed. */
import { realpathSync } from "node:fs";
import { readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { asUser, sendScript } from "../../../components/mac/scripts.ts";
import { canMount, Disk } from "../../prove/faults/disk.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

const folders = {
  base: "usr/local/slm-network",
  config: "etc/slm-network",
  plists: "Library/LaunchDaemons",
  home: "Users/deploy",
};
const block = 4096;
const MiB = 2 ** 20;

let here: Installation;
let disks: Record<keyof typeof folders, Disk>;

describe.runIf(canMount)("a full disk", { timeout: 240_000 }, () => {
  beforeAll(async () => {
    here = await prepareInstallation();
    disks = {
      base: new Disk(here.at(folders.base), 600),
      config: new Disk(here.at(folders.config), 1),
      plists: new Disk(here.at(folders.plists), 1),
      home: new Disk(here.at(folders.home), 64),
    };
    await here.upload(here.release);
  }, 120_000);
  afterAll(async () => {
    await here?.mac.mac.close();
    for (const disk of Object.values(disks ?? {})) disk.unmount();
    await here?.end();
  });

  const says = (folder: string, freeMiB = /\d+/) =>
    new RegExp(
      `^the Mac's disk is full: the volume ${realpathSync(here.at(folder))} has ${freeMiB.source} MiB free\\. Delete files there .*then run pulumi up again`,
    );
  const serving = async () => ({
    pids: here.pids(),
    current: await readlink(here.at(`${folders.base}/current`)),
    config: await readFile(here.at(`${folders.config}/relay.json`), "utf8"),
    names: await Promise.all([folders.base, folders.config, folders.plists].map((path) => readdir(here.at(path)))).then(
      (lists) => lists.flat().filter((name) => name !== ".filling" && name !== "installed.json"),
    ),
  });
  /** Runs the installer, as the shell does that has unpacked it. */
  const installer = (graceSeconds: number) => {
    const base = here.at(folders.base);
    const node = here.artifacts.node.sha256;
    return here.mac.run(
      `sudo -n '${base}/node/${node}/bin/node' '${base}/releases/${here.release.sha256}/installer.mjs' install --root '${here.mac.mac.root}/' --release ${here.release.sha256} --node ${node} --installation ${installation}`,
      JSON.stringify({ ...here.input, relay: { ...here.input.relay, graceSeconds } }),
    );
  };

  it.each([
    ["the download of Node", 1],
    ["unpacking Node", 90],
    ["unpacking Node but for its last files", 120],
  ])("that has no room for %s is named, and nothing stays", async (_what, leaveMiB) => {
    disks.base.fill(leaveMiB * MiB);
    const ran = await here.install();
    disks.base.free();
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(says(folders.base))]);
    expect(ran.stderr).toContain("What is in service was not changed.");
    expect(ran.stderr.trim().split("\n")).toHaveLength(1);
    expect((await readdir(here.at(folders.base))).sort()).toEqual(["node", "releases"]);
    expect(await readdir(here.at(`${folders.base}/node`))).toEqual([]);
  });

  it("of the account's home is named when an archive is sent, and no part of it stays", async () => {
    disks.home.fill(block);
    const before = await readdir(here.at(folders.home));
    const ran = await here.mac.run(asUser(sendScript, "slm-network-x.tgz"), Buffer.alloc(MiB));
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(says(folders.home, /0/))]);
    expect(await readdir(here.at(folders.home))).toEqual(before);
    disks.home.free();
  });

  it("is named when an installed release is compared with its archive", async () => {
    const first = await here.install();
    expect(first.code, first.stderr).toBe(0);
    const before = await serving();
    disks.base.fill();
    const ran = await here.install();
    disks.base.free();
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringMatching(says(folders.base, /0/))]);
    expect(await serving()).toEqual(before);
  });

  it.each([
    ["base", 5],
    ["config", 6],
    ["plists", 7],
  ] as const)("is named at every write of the installer in %s, and what serves stays", async (name, graceSeconds) => {
    const before = await serving();
    let failures = 0;
    for (let blocks = 0; ; blocks += 1) {
      disks[name].fill(blocks * block);
      const ran = await installer(graceSeconds);
      disks[name].free();
      if (ran.code === 0) break;
      failures += 1;
      expect([blocks, ran.stderr]).toEqual([blocks, expect.stringMatching(says(folders[name], /0/))]);
      expect(ran.stderr).toMatch(
        /onfig and daemons were not changed|previous installation was restored and is serving/,
      );
      const after = await serving();
      expect([blocks, after.config, after.current, after.names]).toEqual([
        blocks,
        before.config,
        before.current,
        before.names,
      ]);
      await expect.poll(() => here.readyz().catch(() => 0), { timeout: 30_000 }).toBe(200);
      expect(blocks).toBeLessThan(40);
    }
    expect(failures).toBeGreaterThan(0);
    expect((await serving()).config).toContain(`"graceSeconds": ${graceSeconds}`);
  });

  it("is named when an altered cloudflared has to be unpacked again", async () => {
    const program = here.at(`${folders.base}/cloudflared/${here.input.cloudflared.sha256}/cloudflared`);
    await writeFile(program, `${await readFile(program, "utf8")}\n// altered\n`);
    const before = await serving();
    let failures = 0;
    for (let blocks = 1; ; blocks += 1) {
      disks.base.fill(blocks * block);
      const ran = await installer(7);
      disks.base.free();
      if (ran.code === 0) break;
      failures += 1;
      expect([blocks, ran.stderr]).toEqual([blocks, expect.stringMatching(says(folders.base, /0/))]);
      expect((await serving()).names).toEqual(before.names);
      expect(blocks).toBeLessThan(40);
    }
    expect(failures).toBeGreaterThan(0);
    expect(await readFile(program, "utf8")).not.toContain("// altered");
  });
});
