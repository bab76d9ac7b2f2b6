/** What a daemon that was broken into can put in root's way: links, FIFOs and folders in place of files it may write. */
import { execFile } from "node:child_process";
import { link, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { asRoot, removeScript } from "../../../components/mac/mac-host.ts";
import { readLineState } from "../../../runtime/direct-log.ts";
import type { Report } from "../../../runtime/installer/install.ts";
import { lastLines } from "../../../runtime/installer/readiness.ts";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

const mkfifo = (path: string) => promisify(execFile)("mkfifo", [path]);
const secret = "only root may read this\n";

/** Each puts something at `path` that stands for root's own file, or blocks who opens it. */
const tricks: Record<string, (path: string, victim: string) => Promise<unknown>> = {
  "a symbolic link": (path, victim) => symlink(victim, path),
  "a hard link": (path, victim) => link(victim, path),
  "a FIFO": (path) => mkfifo(path),
  "a folder": (path) => mkdir(path),
};

describe("reading a log as root", () => {
  it.each(Object.entries(tricks))("does not read through %s, and does not wait", async (_name, put) => {
    const folder = await mkdtemp(join(tmpdir(), "slm-log-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(join(folder, "victim"), secret);
    const path = join(folder, "relay.log");
    await put(path, join(folder, "victim"));
    const read = [await lastLines(path), JSON.stringify(await readLineState(path))];
    for (const text of read) {
      expect(text).toContain("not opened");
      expect(text).not.toContain("only root");
    }
  });
});

describe("an installation", { timeout: 240_000 }, () => {
  let here: Installation;
  let victim: string;
  const logs = () => here.at("var/log/slm-network");
  const data = () => here.at("var/db/slm-network");
  const daemon = { user: "_slmnetwork", group: "_slmnetwork" };

  beforeAll(async () => {
    here = await prepareInstallation();
    await here.upload(here.release);
    expect((await here.install()).code).toBe(0);
    victim = here.at("private/etc/master.passwd");
    await writeFile(victim, secret, { mode: 0o600 });
  }, 300_000);
  afterAll(() => here?.end());

  async function installed(): Promise<Report> {
    const ran = await here.install();
    expect(ran.code, ran.stderr).toBe(0);
    const report = JSON.parse(ran.stdout) as Report;
    // Not that no model server runs here.
    return { ...report, warnings: report.warnings.filter((warning) => warning.includes("/var/")) };
  }
  async function byHand(...commands: string[]) {
    const ran = await here.mac.run(commands.map((one) => `sudo -n ${one}`).join(" && "));
    expect(ran.code, ran.stderr).toBe(0);
  }
  async function expectVictimUnchanged() {
    expect(here.mac.mac.ownerOf(victim)).toEqual({ user: "root", group: "wheel", mode: 0o600 });
    expect(await readFile(victim, "utf8")).toBe(secret);
  }

  it("leaves the daemons nothing to write but their logs, the copies of these, and their data", () => {
    expect(here.mac.mac.ownerOf(logs())).toEqual({ user: "root", group: "_slmnetwork", mode: 0o751 });
    expect(here.mac.mac.ownerOf(join(logs(), "rotated"))).toEqual({ ...daemon, mode: 0o750 });
    expect(here.mac.mac.ownerOf(join(logs(), "relay.log"))).toEqual({ ...daemon, mode: 0o640 });
    expect(here.mac.mac.ownerOf(data())).toEqual({ ...daemon, mode: 0o750 });
    for (const parent of [join(logs(), ".."), join(data(), ".."), here.at("etc/slm-network")]) {
      expect(here.mac.mac.ownerOf(parent).user, parent).toBe("root");
    }
  });

  it("takes over the logs of the version before without a restart, and keeps them and the data", async () => {
    await byHand(`chown _slmnetwork:_slmnetwork ${logs()}`, `rm -rf ${logs()}/rotated`);
    await writeFile(join(logs(), "relay.log.1"), "an older line\n");
    const [log, pids] = [await readFile(join(logs(), "relay.log"), "utf8"), here.pids()];
    const jobs = await lstat(join(data(), "jobs.db"));
    const report = await installed();
    expect([report.restarted, report.warnings]).toEqual([[], []]);
    expect(here.pids()).toEqual(pids);
    expect(here.mac.mac.ownerOf(logs())).toEqual({ user: "root", group: "_slmnetwork", mode: 0o751 });
    expect(await readFile(join(logs(), "rotated", "relay.log.1"), "utf8")).toBe("an older line\n");
    expect((await readFile(join(logs(), "relay.log"), "utf8")).startsWith(log)).toBe(true);
    expect((await lstat(join(data(), "jobs.db"))).ino).toBe(jobs.ino);
  });

  it.each(Object.entries(tricks))("does not touch what is behind %s in place of a log", async (name, put) => {
    const path = join(logs(), "connector.log");
    await byHand(`chown _slmnetwork:_slmnetwork ${logs()}`); // as the version before left it
    await rename(path, `${path}.away`);
    await put(path, victim);
    const report = await installed();
    await expectVictimUnchanged();
    expect((await lstat(path)).isFile()).toBe(true);
    expect((await lstat(path)).nlink).toBe(1);
    expect(here.mac.mac.ownerOf(path)).toEqual({ ...daemon, mode: 0o640 });
    const kind = name === "a hard link" ? "a file with 2 names (hard links)" : name;
    expect(report.warnings.join("\n")).toContain(`/var/log/slm-network/connector.log was ${kind}`);
    expect(report.restarted).toEqual(["local.slm-network.connector"]); // it wrote to the former file
    expect((await installed()).warnings).toEqual([]);
    for (const aside of await readdir(join(logs(), "rotated"))) {
      if (aside.includes(".replaced-")) await rm(join(logs(), "rotated", aside), { recursive: true });
    }
  });

  it("that creates the account again gives it its data, and nothing behind a link in them", async () => {
    await mkdir(join(data(), "sub"));
    await writeFile(join(data(), "sub", "own"), "", { mode: 0o640 });
    await symlink(victim, join(data(), "sub", "link"));
    await link(victim, join(data(), "other-name"));
    await symlink(here.at("private/etc"), join(data(), "folder"));
    await byHand(
      "dscl . -delete /Users/_slmnetwork",
      "dscl . -delete /Groups/_slmnetwork",
      `chown -R -h root:wheel ${data()}/sub`,
    );
    const report = await installed();
    await expectVictimUnchanged();
    expect(here.mac.mac.ownerOf(here.at("private/etc"))).toMatchObject({ user: "root", group: "wheel" });
    expect(here.mac.mac.ownerOf(data())).toEqual({ ...daemon, mode: 0o750 });
    expect(here.mac.mac.ownerOf(join(data(), "sub"))).toMatchObject(daemon);
    expect(here.mac.mac.ownerOf(join(data(), "sub", "own"))).toEqual({ ...daemon, mode: 0o640 });
    for (const name of ["sub/link", "other-name", "folder"]) {
      expect(report.warnings.join("\n")).toContain(`/var/db/slm-network/${name} is a link`);
    }
  });

  it("that is removed with its data removes nothing behind a link", async () => {
    const kept = here.at("private/etc/kept");
    await mkdir(kept);
    await writeFile(join(kept, "file"), "");
    await symlink(kept, join(data(), "kept"));
    await symlink(kept, join(logs(), "rotated", "kept"));
    const ran = await here.mac.run(asRoot(removeScript, "--data", "--installation", installation));
    expect(ran.code, ran.stderr).toBe(0);
    expect(await readdir(kept)).toEqual(["file"]);
    await expectVictimUnchanged();
    for (const gone of [logs(), data()]) await expect(lstat(gone)).rejects.toThrow("ENOENT");
  });
});
