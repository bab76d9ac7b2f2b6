import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { connect, finish, isAlive, open, type TestMac, testMac, until } from "./fixture.ts";

let dir: string;
let test: TestMac;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "slm-mac-test-"));
  test = await testMac({ dir });
});
afterEach(async () => {
  await test.end();
  rmSync(dir, { recursive: true, force: true });
});

const label = "com.example.job";
const pidOf = () => until(() => test.mac.launchd.job(label)?.pid, "the job's process");

it("kills everything in a power cut, and restarts at boot", async () => {
  const told = join(dir, "was-told");
  const script = `trap 'echo > ${told}' TERM; while :; do sleep 0.05; done`;
  const plist = test.daemon(label, { ProgramArguments: ["/bin/sh", "-c", script], RunAtLoad: true, ExitTimeOut: 1 });
  test.daemon("com.example.disabled", { ProgramArguments: ["/bin/sleep", "60"], RunAtLoad: true });
  test.mac.launchd.override("com.example.disabled", "disabled");
  test.mac.launchd.bootstrap(plist);
  const before = await pidOf();
  writeFileSync(join(test.mac.root, "tmp/upload"), "");
  const client = await connect(test.mac);
  const channel = await open(client, "sleep 60 & echo $!; echo $$; sleep 60");
  const session = finish(channel);
  const pids = await new Promise<string>((resolve) => {
    let seen = "";
    channel.on("data", (data: Buffer) => {
      seen += data.toString();
      if (seen.trim().split("\n").length === 2) resolve(seen);
    });
  });

  await test.mac.powerCut();
  for (const pid of [before, ...pids.trim().split("\n").map(Number)]) {
    await until(() => !isAlive(pid), `process ${pid} to be gone`, 2000);
  }
  expect(existsSync(told)).toBe(false);
  expect((await session).code).toBeNull();
  await expect(connect(test.mac)).rejects.toThrow("ECONNREFUSED");

  await test.mac.boot();
  expect(await pidOf()).not.toBe(before);
  expect(test.mac.launchd.job("com.example.disabled")).toBeUndefined();
  expect(
    test.lines.some((line) => line.includes("com.example.disabled.plist is not loaded: Service is disabled")),
  ).toBe(true);
  expect(existsSync(join(test.mac.root, "tmp/upload"))).toBe(false);
  expect(await test.run("echo back")).toMatchObject({ code: 0, stdout: "back\n" });
});

it("stays off when power returns unless pmset says otherwise, and waits for a password when the disk is encrypted", async () => {
  test.daemon(label, { ProgramArguments: ["/bin/sleep", "60"], RunAtLoad: true });
  await test.mac.powerCut();
  await expect(test.mac.powerReturns()).rejects.toThrow("the Mac stays off: autorestart is 0");
  await expect(connect(test.mac)).rejects.toThrow("ECONNREFUSED");
  await test.mac.boot(); // somebody pressed the button
  await pidOf();
  for (const key of ["autorestart", "autorestartatconnect"]) {
    Object.assign(test.mac.power.value.ac, { autorestart: 0, autorestartatconnect: 0, [key]: 1 });
    test.mac.power.save();
    await test.mac.powerCut();
    await test.mac.powerReturns();
    expect(isAlive(await pidOf()), key).toBe(true);
  }
  await test.end();
  test = await testMac({ dir, fileVault: true });
  await test.mac.powerCut();
  await expect(test.mac.powerReturns()).rejects.toThrow(/waits for a password .* FileVault is on/);
  expect(test.mac.launchd.job(label)).toBeUndefined();
  await test.mac.boot();
  expect(isAlive(await pidOf())).toBe(true);
});

it("ends its jobs by SIGTERM when it is shut down, and leaves no process and no socket", async () => {
  const told = join(dir, "was-told");
  const up = join(dir, "up");
  const polite = `trap 'echo > ${told}; exit 0' TERM; echo > ${up}; while :; do sleep 0.05; done`;
  test.mac.launchd.bootstrap(test.daemon(label, { ProgramArguments: ["/bin/sh", "-c", polite], KeepAlive: true }));
  const stubborn = "com.example.stubborn";
  const script = `trap '' TERM; while :; do sleep 0.05; done`;
  test.mac.launchd.bootstrap(
    test.daemon(stubborn, { ProgramArguments: ["/bin/sh", "-c", script], RunAtLoad: true, ExitTimeOut: 1 }),
  );
  const pids = [await pidOf(), await until(() => test.mac.launchd.job(stubborn)?.pid, "the other")];
  await until(() => existsSync(up), "the trap");
  const left = await test.run("nohup sleep 60 >/dev/null 2>&1 </dev/null & echo $!");
  pids.push(Number(left.stdout));
  expect(isAlive(Number(left.stdout))).toBe(true);
  await test.mac.close();
  expect(existsSync(told)).toBe(true);
  for (const pid of pids) await until(() => !isAlive(pid), `process ${pid} to be gone`, 1000);
  expect(existsSync(test.mac.agentSocket)).toBe(false);
});

it("keeps its keys, accounts, owners and settings, and starts what is installed, when it is started again", async () => {
  const root = test.mac.root;
  await test.run(
    [
      "sudo -n dscl . -create /Users/_slm",
      "sudo -n dscl . -create /Users/_slm UniqueID 460",
      "sudo -n pmset -a sleep 0",
      'echo x > "$HOME/file"',
      'sudo -n chown _slm:wheel "$HOME/file"',
    ].join(" && "),
  );
  test.daemon(label, { ProgramArguments: ["/bin/sleep", "60"], KeepAlive: true });
  const { hostKey, privateKeyPath } = test.mac;
  const key = readFileSync(privateKeyPath, "utf8");
  await test.end();
  test = await testMac({ dir });
  expect(test.mac.hostKey).toBe(hostKey);
  expect(readFileSync(test.mac.privateKeyPath, "utf8")).toBe(key);
  expect(test.mac.ownerOf(join(root, "Users/deploy/file"))).toMatchObject({ user: "_slm", group: "wheel" });
  expect(await test.run("id -u _slm; pmset -g custom")).toMatchObject({
    stdout: expect.stringMatching(/^460\n[\s\S]* sleep +0\n/),
  });
  expect(isAlive(await pidOf())).toBe(true);
});

it("finds a short place for its sockets when its folder's path is long", async () => {
  const long = join(dir, "a-long-folder-name-".repeat(6));
  const other = await testMac({ dir: long });
  try {
    expect(Buffer.byteLength(other.mac.agentSocket)).toBeLessThan(104);
    expect(await other.run("id -un")).toMatchObject({ stdout: "deploy\n" });
  } finally {
    await other.end();
  }
  expect(existsSync(other.mac.agentSocket)).toBe(false);
});
