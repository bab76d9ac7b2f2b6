/** The commands that only look: what a diagnosis asks of a Mac. */

import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelServerLabel } from "../../../sandbox/mac/outside-daemon.ts";
import { connect, finish, open, type TestMac, testMac } from "./fixture.ts";

let test: TestMac;
beforeAll(async () => {
  test = await testMac();
});
afterAll(() => test.end());

describe("emulated read-only commands", () => {
  it("last shows starts, and a shutdown only where there was one", async () => {
    const kinds = async () => {
      const client = await connect(test.mac); // a connection does not outlive a power cut
      const { stdout } = await finish(await open(client, "last reboot shutdown"));
      client.end();
      return [...stdout.matchAll(/^(\w+) time {20,}\w{3} \w{3} [ \d]\d \d\d:\d\d $/gm)].map(([, kind]) => kind);
    };
    expect(await kinds()).toEqual(["reboot"]);
    await test.mac.powerCut();
    await test.mac.boot();
    expect(await kinds()).toEqual(["reboot", "reboot"]);
    expect((await test.run("last")).code).toBe(1);
  });

  it("defaults reads property lists as they are there", async () => {
    const updates = "/Library/Preferences/com.apple.SoftwareUpdate";
    expect((await test.run(`defaults read ${updates}`)).stdout).toContain(
      "    AutomaticallyInstallMacOSUpdates = 1;\n",
    );
    expect((await test.run(`defaults read ${updates} AutomaticDownload`)).stdout).toBe("1\n");
    const missing = await test.run("defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser");
    expect([missing.code, missing.stdout]).toEqual([1, ""]);
    expect(missing.stderr).toContain("does not exist");
    expect((await test.run(`defaults write ${updates} X 1`)).code).toBe(1);
  });

  it("lsof names the process that listens, and ps shows its environment", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = address && typeof address === "object" ? address.port : 0;
    const found = await test.run(`sudo -n lsof -nP -iTCP:${port} -sTCP:LISTEN -t`);
    expect(found.stdout).toBe(`${process.pid}\n`);
    const child = await test.run(
      `SLM_MARK=here sh -c 'ps -E -ww -o command= -p $$; exit 0' | tr ' ' '\\n' | grep ^SLM_MARK=`,
    );
    expect(child.stdout).toBe("SLM_MARK=here\n");
    await new Promise((resolve) => server.close(resolve));
    expect((await test.run(`lsof -nP -iTCP:${port} -sTCP:LISTEN -t`)).code).toBe(1);
  });

  it.runIf(process.platform === "linux")(
    "ps shows the executable of a process as `comm`, not its thread's name",
    async () => {
      const ran = await test.run(`ps -axo pid=,ppid=,comm= | grep -E '^ *${process.pid} '`);
      expect(ran.stdout.trim().split(/\s+/)).toEqual([String(process.pid), String(process.ppid), process.execPath]);
      expect((await test.run(`ps -o comm= -p ${process.pid}`)).stdout.trim()).toBe(process.execPath);
    },
  );

  it("launchctl lists a daemon that the sandbox runs itself, and its plist has its environment", async () => {
    const outside = await testMac({
      outsideDaemon: { label: modelServerLabel, pid: 4242, environment: { SLOTS: "4" } },
    });
    try {
      expect((await outside.run("sudo -n launchctl list")).stdout).toContain(`4242\t0\t${modelServerLabel}\n`);
      const plist = `/Library/LaunchDaemons/${modelServerLabel}.plist`;
      const read = `sudo -n plutil -extract EnvironmentVariables.SLOTS raw -o - ${plist}`;
      expect((await outside.run(read)).stdout.trim()).toBe("4");
      // Standard input is not read: an installer's may never end.
      const endless = `mkfifo endless && exec 3<>endless && ${read} <&3`;
      expect((await outside.run(endless)).stdout.trim()).toBe("4");
      expect((await outside.run(`sudo -n launchctl bootstrap system ${plist}`)).code).toBe(119);
    } finally {
      await outside.end();
    }
    expect((await test.run("sudo -n launchctl list")).stdout).not.toContain(modelServerLabel);
  });

  it("ioreg and system_profiler show one hardware UUID", async () => {
    const { hardwareUuid } = test.mac;
    expect(hardwareUuid).toMatch(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/);
    const printed = (await test.run("ioreg -rd1 -c IOPlatformExpertDevice")).stdout;
    expect(printed).toContain(`      "IOPlatformUUID" = "${hardwareUuid}"\n`);
    expect((await test.run("ioreg -l")).code).toBe(64);
    expect((await test.run("system_profiler SPHardwareDataType")).stdout).toContain(`Hardware UUID: ${hardwareUuid}\n`);
  });

  it("system_profiler shows graphics with Metal", async () => {
    expect((await test.run("system_profiler SPDisplaysDataType")).stdout).toMatch(/^ {6}Metal Support: Metal \d$/m);
    expect((await test.run("system_profiler SPStorageDataType")).code).toBe(1);
  });
});
