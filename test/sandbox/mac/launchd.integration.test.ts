import { chmodSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readJob, restarts } from "../../../sandbox/mac/launchd-plist.ts";
import { isAlive, type TestMac, testMac, until } from "./fixture.ts";

const label = "com.example.job";
let test: TestMac;
beforeEach(async () => {
  test = await testMac({ environment: { FROM_MAC: "mac", OVERRIDDEN: "mac" } });
});
afterEach(() => test.end());

/** A job that runs until SIGTERM and records each start. */
const sleeper = () => ({
  ProgramArguments: ["/bin/sh", "-c", `echo start >> ${join(test.dir, "starts")}; exec sleep 60`],
  RunAtLoad: true,
});
const starts = () =>
  existsSync(join(test.dir, "starts")) ? readFileSync(join(test.dir, "starts"), "utf8").trim().split("\n").length : 0;
const job = () => test.mac.launchd.job(label);
const pid = () => until(() => job()?.pid, "the job's process");
const bootstrap = (path: string) => test.run(`sudo -n launchctl bootstrap system '${path}'`);

describe("launchctl", () => {
  it("loads, shows, restarts and unloads a daemon", async () => {
    expect(await test.run(`launchctl print system/${label}`)).toMatchObject({
      code: 113,
      stderr: expect.stringContaining(`Could not find service "${label}" in domain for system`),
    });
    const path = test.daemon(label, sleeper());
    expect(await bootstrap(path)).toMatchObject({ code: 0, stderr: "" });
    const first = await pid();
    const shown = await test.run(`launchctl print system/${label}; launchctl list`);
    expect(shown.stdout).toContain("state = running");
    expect(shown.stdout).toContain(`pid = ${first}`);
    expect(shown.stdout).toContain(`${first}\t0\t${label}`);

    expect(await bootstrap(path)).toMatchObject({ code: 37, stderr: expect.stringContaining("already in progress") });

    const killed = await test.run(`sudo -n launchctl kickstart -kp system/${label}`);
    expect(killed).toMatchObject({ code: 0, stdout: `${job()?.pid}\n` });
    expect(job()?.lastExit).toEqual({ code: null, signal: "SIGKILL" });
    expect(await pid()).not.toBe(first);
    expect(await test.run(`sudo -n launchctl kickstart -p system/${label}`)).toMatchObject({
      stdout: `${job()?.pid}\n`,
    });

    const second = await pid();
    expect(await test.run(`sudo -n launchctl bootout system/${label}`)).toMatchObject({ code: 0 });
    await until(() => job() === undefined, "the job to be gone");
    expect(isAlive(second)).toBe(false);
    expect(await test.run(`sudo -n launchctl bootout system/${label}`)).toMatchObject({
      code: 3,
      stderr: "Boot-out failed: 3: No such process\n",
    });
  });

  it("refuses to change anything without root", async () => {
    const path = test.daemon(label, sleeper());
    expect(await test.run(`launchctl bootstrap system '${path}'`)).toMatchObject({ code: 5 });
    expect(await test.run(`launchctl disable system/${label}`)).toMatchObject({ code: 1 });
    expect(job()).toBeUndefined();
  });

  it("returns from bootout while the job is still ending, and refuses to load it again until it is gone", async () => {
    const marker = join(test.dir, "may-end");
    const script = `trap 'while [ ! -e ${marker} ]; do sleep 0.05; done; exit 0' TERM; echo > ${join(test.dir, "up")}; while :; do sleep 0.05; done`;
    const path = test.daemon(label, { ProgramArguments: ["/bin/sh", "-c", script], RunAtLoad: true });
    await bootstrap(path);
    await until(() => existsSync(join(test.dir, "up")), "the trap to be set");
    expect(await test.run(`sudo -n launchctl bootout system/${label}`)).toMatchObject({ code: 0 });
    expect(await test.run(`launchctl print system/${label}`)).toMatchObject({ code: 0 });
    expect(await test.run(`sudo -n launchctl bootout system/${label}`)).toMatchObject({ code: 36 });
    expect(await bootstrap(path)).toMatchObject({ code: 5, stderr: "Bootstrap failed: 5: Input/output error\n" });
    writeFileSync(marker, "");
    await until(() => job() === undefined, "the job to be gone");
    expect(await bootstrap(path)).toMatchObject({ code: 0 });
  });

  it("does not load a disabled label, and enables it again", async () => {
    const path = test.daemon(label, sleeper());
    await test.run(`sudo -n launchctl disable system/${label}`);
    expect((await test.run("launchctl print-disabled system")).stdout).toContain(`"${label}" => disabled`);
    expect(await bootstrap(path)).toMatchObject({ code: 119, stderr: "Bootstrap failed: 119: Service is disabled\n" });
    await test.run(`sudo -n launchctl enable system/${label}`);
    expect(await bootstrap(path)).toMatchObject({ code: 0 });
  });

  it("sends a signal", async () => {
    const path = test.daemon(label, { ...sleeper(), KeepAlive: { SuccessfulExit: true } });
    await bootstrap(path);
    await pid();
    expect(await test.run(`sudo -n launchctl kill TERM system/${label}`)).toMatchObject({ code: 0 });
    await until(() => job()?.state === "waiting", "the job to end");
    expect(job()?.lastExit).toEqual({ code: null, signal: "SIGTERM" });
    expect(await test.run(`sudo -n launchctl kill 15 system/${label}`)).toMatchObject({ code: 3 });
  });
});

describe("a plist is refused", () => {
  const refused = async (path: string, why: string | RegExp) => {
    expect(await bootstrap(path)).toMatchObject({ code: 5 });
    expect(test.lines.at(-1)).toMatch(why);
    expect(job()).toBeUndefined();
  };

  it("when it is not root's, or others may write it", async () => {
    const path = test.daemon(label, sleeper());
    await test.run(`sudo -n chown deploy:staff '${path}'`);
    await refused(path, /deploy:staff 0644\); it must be root:wheel 0644/);
    await test.run(`sudo -n chown root:wheel '${path}'`);
    chmodSync(path, 0o664);
    await refused(path, /root:wheel 0664/);
  });

  it("when it was uploaded and moved there by sudo with the uploader as owner", async () => {
    const path = test.daemon(label, sleeper());
    const uploaded = join(test.mac.root, "tmp/job.plist");
    renameSync(path, uploaded);
    await test.run(`sudo -n chown deploy:staff '${uploaded}'; sudo -n mv '${uploaded}' '${path}'`);
    await refused(path, /deploy:staff/);
  });

  it("when it is malformed, missing, or named unlike its label", async () => {
    const path = test.daemon(label, { ...sleeper(), EnvironmentVariables: { PORT: 1 } });
    await refused(path, /EnvironmentVariables\.PORT/);
    writeFileSync(path, "<plist><dict>");
    await refused(path, /it is not a job/);
    rmSync(path);
    await refused(path, /there is no such file/);
    const other = test.daemon(label, sleeper()).replace(label, "com.example.other");
    renameSync(test.daemon(label, sleeper()), other);
    await refused(other, new RegExp(`its name must be ${label}.plist`));
  });
});

describe("a job", () => {
  it("gets its own environment over the Mac's, its folder, and its output appended", async () => {
    const out = join(test.mac.root, "var/log/job.log");
    writeFileSync(out, "before\n");
    const path = test.daemon(label, {
      ProgramArguments: ["/bin/sh", "-c", 'echo "$FROM_MAC $OVERRIDDEN $HOME $PWD"; echo err >&2'],
      EnvironmentVariables: { OVERRIDDEN: "job" },
      WorkingDirectory: join(test.mac.root, "usr/local"),
      StandardOutPath: out,
      StandardErrorPath: out,
      RunAtLoad: true,
    });
    await bootstrap(path);
    await until(() => job()?.lastExit, "the job to end");
    const root = test.mac.root;
    expect(readFileSync(out, "utf8")).toBe(`before\nmac job ${root}/var/root ${root}/usr/local\nerr\n`);
    expect(job()).toMatchObject({ runs: 1, state: "waiting", lastExit: { code: 0, signal: null } });
  });

  it("is started again by KeepAlive, not before ThrottleInterval has passed since the last start", async () => {
    const path = test.daemon(label, { ...sleeper(), KeepAlive: true, ThrottleInterval: 1 });
    await bootstrap(path);
    const first = await pid();
    await until(() => starts() === 1, "the first start");
    const from = performance.now();
    process.kill(first, "SIGKILL");
    await until(() => job()?.state === "throttled", "the job to be throttled");
    await until(() => starts() === 2, "the second start");
    expect(performance.now() - from).toBeGreaterThan(500);
    expect(job()?.runs).toBe(2);
  });

  it("that exited successfully stays stopped with SuccessfulExit false, and restarts after a failure", async () => {
    const flag = join(test.dir, "fail-once");
    writeFileSync(flag, "");
    const script = `echo start >> ${join(test.dir, "starts")}; [ -e ${flag} ] && rm ${flag} && exit 3; exit 0`;
    const path = test.daemon(label, {
      ProgramArguments: ["/bin/sh", "-c", script],
      KeepAlive: { SuccessfulExit: false },
      ThrottleInterval: 0,
    });
    await bootstrap(path);
    await until(() => job()?.state === "waiting" && job()?.lastExit?.code === 0, "the job to end well");
    expect(starts()).toBe(2);
  });

  it("is killed with all it started when it does not end in ExitTimeOut", async () => {
    const script = `trap '' TERM; sleep 60 & echo $! > ${join(test.dir, "child")}; while :; do sleep 0.05; done`;
    const path = test.daemon(label, { ProgramArguments: ["/bin/sh", "-c", script], RunAtLoad: true, ExitTimeOut: 1 });
    await bootstrap(path);
    const child = Number(
      await until(
        () => existsSync(join(test.dir, "child")) && readFileSync(join(test.dir, "child"), "utf8").trim(),
        "child",
      ),
    );
    const main = await pid();
    await test.run(`sudo -n launchctl bootout system/${label}`);
    expect(isAlive(main)).toBe(true);
    await until(() => job() === undefined, "the job to be gone");
    await until(() => !isAlive(main) && !isAlive(child), "both processes to be gone");
    expect(test.lines.some((line) => line.includes("did not end in 1 s after SIGTERM: SIGKILL"))).toBe(true);
  });

  it("kills its background processes when it ends", async () => {
    const script = `sleep 60 & echo $! > ${join(test.dir, "child")}`;
    await bootstrap(test.daemon(label, { ProgramArguments: ["/bin/sh", "-c", script], RunAtLoad: true }));
    await until(() => job()?.lastExit, "the job to end");
    const child = Number(readFileSync(join(test.dir, "child"), "utf8"));
    await until(() => !isAlive(child), "its child to be gone");
  });

  it("ends with 78 when its user, program or log file is not available", async () => {
    const account = "_slmnetwork";
    const log = join(test.mac.root, "var/log/slm/out.log");
    const path = test.daemon(label, { ...sleeper(), UserName: account, StandardOutPath: log });
    const tryIt = async () => {
      await bootstrap(path);
      const exit = job()?.lastExit;
      test.mac.launchd.bootout(label);
      return exit;
    };
    expect(await tryIt()).toEqual({ code: 78, signal: null });
    expect(test.lines.at(-1)).toContain(`there is no user ${account}`);
    await test.run(`sudo -n dscl . -create /Users/${account}; sudo -n dscl . -create /Users/${account} UniqueID 460`);
    expect(await tryIt()).toEqual({ code: 78, signal: null });
    expect(test.lines.at(-1)).toContain("there is no folder");
    await test.run(`sudo -n install -d -m 0755 -o root -g wheel '${join(log, "..")}'`);
    expect(await tryIt()).toEqual({ code: 78, signal: null });
    expect(test.lines.at(-1)).toContain(`${account} may not write ${log}`);
    await test.run(`sudo -n chown ${account} '${join(log, "..")}'`);
    expect(await tryIt()).toBeUndefined();

    const missing = test.daemon(label, { ProgramArguments: ["/nowhere/program"], RunAtLoad: true });
    await until(() => job() === undefined, "the job to be gone");
    await bootstrap(missing);
    await until(() => job()?.lastExit?.code === 78, "exit 78");
  });
});

it("keeps daemons out of a person's documents and of other disks", async () => {
  for (const folder of ["Users/deploy/Documents/models", "Users/deploy/Downloads", "Volumes/Models"]) {
    const path = test.daemon(label, { ...sleeper(), WorkingDirectory: join(test.mac.root, folder) });
    await bootstrap(path);
    expect(job()?.lastExit, folder).toEqual({ code: 78, signal: null });
    expect(test.lines.at(-1)).toContain(`Operation not permitted: macOS keeps daemons out of /${folder}`);
    test.mac.launchd.bootout(label);
  }
  await bootstrap(test.daemon(label, { ...sleeper(), WorkingDirectory: join(test.mac.root, "Users/deploy") }));
  expect(await pid()).toBeGreaterThan(0);
});

it("warns of keys launchd does not know, and judges exits as KeepAlive says", () => {
  const plist = (keys: string) =>
    `<plist version="1.0"><dict><key>Label</key><string>a</string><key>Program</key><string>/bin/true</string>${keys}</dict></plist>`;
  const { job: read, warnings } = readJob(
    plist(
      "<key>KeepAlife</key><true/><key>ProcessType</key><string>Interactive</string><key>Umask</key><string>027</string>",
    ),
  );
  expect(warnings).toEqual(["KeepAlife is not a key this launchd knows"]);
  expect(read).toMatchObject({ umask: 0o27, throttleSeconds: 10, exitTimeOutSeconds: 5, runAtLoad: false });
  const crashed = readJob(plist("<key>KeepAlive</key><dict><key>Crashed</key><true/></dict>")).job;
  expect(restarts(crashed, { code: 1, signal: null })).toBe(false);
  expect(restarts(crashed, { code: null, signal: "SIGSEGV" })).toBe(true);
  expect(() => readJob(plist("<key>ExitTimeOut</key><string>30</string>"))).toThrow("ExitTimeOut");
});
