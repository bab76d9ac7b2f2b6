import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { environmentOf, parseSudo } from "../../../sandbox/mac/commands/sudo.ts";
import { parseSudoers } from "../../../sandbox/mac/commands/sudoers.ts";
import { type TestMac, testMac } from "./fixture.ts";

let test: TestMac;
beforeAll(async () => {
  test = await testMac();
});
afterAll(() => test.end());

it("sudo needs -n, runs as root with a reset environment, and passes input and exit code", async () => {
  expect(await test.run("sudo id -u")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("a password is required"),
  });
  expect(await test.run("id -u; sudo -n id -u; sudo -n -u nobody id -un")).toMatchObject({
    stdout: "501\n0\nnobody\n",
  });
  const result = await test.run("SECRET=1 sudo -n FOO=bar sh -c 'cat; env; exit 9'", "input\n");
  expect(result.code).toBe(9);
  expect(result.stdout).toMatch(/^input\n/);
  expect(result.stdout).toContain(`SLM_NETWORK_ROOT=${test.mac.root}\n`);
  expect(result.stdout).toContain("FOO=bar\n");
  expect(result.stdout).toContain("USER=root\n");
  expect(result.stdout).not.toContain("SECRET");
  expect(await test.run("sudo -n no-such-command")).toMatchObject({
    code: 1,
    stderr: "sudo: no-such-command: command not found\n",
  });
});

it("sudo asks for a password when no drop-in lets the administrator in", async () => {
  const dropIn = "$SLM_NETWORK_ROOT/etc/sudoers.d/slm-network-deploy";
  expect(await test.run(`sudo -n mv "${dropIn}" "${dropIn}.off"`)).toMatchObject({ code: 0 });
  expect(await test.run("sudo -n true")).toMatchObject({ code: 1, stderr: "sudo: a password is required\n" });
  await test.run(`mv "${dropIn}.off" "${dropIn}"`);
  expect(await test.run("sudo -n true")).toMatchObject({ code: 0 });
});

it("reads sudo's options and leaves of the environment what env_reset leaves", () => {
  expect(parseSudo(["-n", "-u", "_x", "--", "sh", "-c", "true"])).toMatchObject({
    user: "_x",
    command: [expect.stringMatching(/\/sh$/), "-c", "true"],
  });
  expect(parseSudo(["-n", "--badly"])).toEqual({ refusal: "sudo: the sandbox's sudo does not know --badly" });
  const call = { user: "root", command: ["/bin/true"], variables: {}, setsHome: false };
  const left = environmentOf(call, {
    PATH: "/bin",
    LC_ALL: "C",
    AWS_SECRET: "x",
    SSH_CONNECTION: "x",
    SLM_SANDBOX_USER: "deploy",
  });
  expect(left).toMatchObject({ PATH: "/bin", LC_ALL: "C", SUDO_USER: "deploy", SLM_SANDBOX_USER: "root" });
  expect(Object.keys(left)).not.toContain("AWS_SECRET");
  expect(Object.keys(left)).not.toContain("SSH_CONNECTION");
});

it("visudo finds a syntax error", async () => {
  expect(await test.run("sudo -n visudo -cf -", "deploy ALL = (root) NOPASSWD: /usr/bin/true\n")).toMatchObject({
    code: 0,
  });
  writeFileSync(join(test.mac.root, "tmp/bad"), "# fine\ndeploy ALL NOPASSWD ALL\n");
  expect(await test.run('sudo -n visudo -cf "$SLM_NETWORK_ROOT/tmp/bad"')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("line 2: syntax error"),
  });
  expect(() => parseSudoers("deploy ALL = NOPASSWD: relative")).toThrow("line 1");
});

it("pmset returns the set values, and changes nothing on an unknown key", async () => {
  expect(await test.run("pmset -a sleep 0")).toMatchObject({ code: 1, stderr: "'pmset' must be run as root...\n" });
  expect(await test.run("sudo -n pmset -a sleep 0 disksleep 0 womp 1 autorestart 1")).toMatchObject({ code: 0 });
  expect(await test.run("sudo -n pmset -a displaysleep 0 nosuchkey 1")).toMatchObject({
    code: 64,
    stderr: expect.stringContaining("Usage"),
  });
  const { stdout } = await test.run("pmset -g custom");
  expect(stdout).toMatch(/^AC Power:\n/);
  expect(stdout).toMatch(/^ sleep +0$/m);
  expect(stdout).toMatch(/^ autorestart +1$/m);
  expect(stdout).toMatch(/^ displaysleep +10$/m);
  // One name has spaces, and the live view says who keeps the Mac awake: no program may split at spaces alone.
  expect(stdout).toMatch(/^ Sleep On Power Button 1$/m);
  expect((await test.run("sudo -n pmset sleep 5; pmset -g")).stdout).toMatch(
    /^ sleep +5 \(sleep prevented by sshd\)$/m,
  );
  expect((await test.run("pmset -g cap")).stdout).toMatch(/^ autorestartatconnect$/m);
  const ups = await test.run(
    "sudo -n pmset -u haltlevel 10 haltremain 5 && sudo -n pmset -u haltremain -1; pmset -g ups",
  );
  expect(ups.stdout).toBe("UPS settings:\n  haltlevel\ton\t10\n  haltafter\toff\t0\n  haltremain\toff\t0\n");
  expect((await test.run("sudo -n systemsetup -getrestartpowerfailure")).stdout).toBe(
    "Restart After Power Failure: On\n",
  );
});

it("pmset silently ignores settings the machine lacks: only reading back shows it", async () => {
  const before = (await test.run("pmset -g custom")).stdout;
  for (const flags of ["-a disablesleep 1", "-a hibernatemode 0 lidwake 1", "-b sleep 3", "-u sleep 3"]) {
    expect(await test.run(`sudo -n pmset ${flags}`), flags).toMatchObject({ code: 0, stdout: "", stderr: "" });
  }
  expect((await test.run("pmset -g custom")).stdout).toBe(before);
  for (const wrong of [
    "-a sleep",
    "-a sleep never",
    "-a sleep -1",
    "-c haltlevel 5",
    "-a",
    "-x sleep 0",
    "-g nothing",
  ]) {
    expect((await test.run(`sudo -n pmset ${wrong}`)).code, wrong).toBe(64);
  }
});

it("an older macOS has no autorestartatconnect, and refuses the whole line", async () => {
  const old = await testMac({ macos: "15.6", fileVault: true });
  try {
    expect((await old.run("pmset -g cap; pmset -g custom")).stdout).not.toContain("autorestartatconnect");
    expect((await old.run("sudo -n pmset -a autorestart 1 autorestartatconnect 1")).code).toBe(64);
    expect((await old.run("pmset -g custom")).stdout).toMatch(/^ autorestart +0$/m);
    expect((await old.run("sudo -n pmset -a autorestart 1; pmset -g custom")).stdout).toMatch(/^ autorestart +1$/m);
    expect(await old.run("sw_vers -productVersion; sw_vers -buildVersion; uname -r; fdesetup status")).toMatchObject({
      stdout: "15.6\n24G80\n24.6.0\nFileVault is On.\n",
    });
    expect(await old.run("fdesetup isactive")).toMatchObject({ code: 0, stdout: "true\n" });
  } finally {
    await old.end();
  }
});

it("dscl makes, reads, lists and deletes records with the real one's exit codes", async () => {
  expect(await test.run("dscl . -read /Users/_new")).toMatchObject({
    code: 56,
    stderr: expect.stringContaining("eDSRecordNotFound"),
  });
  expect(await test.run("dscl . -create /Users/_new")).toMatchObject({
    code: 40,
    stderr: expect.stringContaining("eDSPermissionError"),
  });
  expect(await test.run("sudo -n dscl . -create /Users/_new UniqueID 461")).toMatchObject({ code: 56 });
  const steps = [
    "create /Groups/_new",
    "create /Groups/_new PrimaryGroupID 461",
    "create /Users/_new",
    "create /Users/_new UniqueID 461",
    "create /Users/_new PrimaryGroupID 461",
    "create /Users/_new RealName 'Two Words'",
  ];
  expect(await test.run(steps.map((step) => `sudo -n dscl . -${step}`).join(" && "))).toMatchObject({ code: 0 });
  expect(await test.run("dscl . -read /Users/_new UniqueID RealName")).toMatchObject({
    stdout: "UniqueID: 461\nRealName:\n Two Words\n",
  });
  expect((await test.run("dscl . -list /Users UniqueID")).stdout).toMatch(/^_new +461$/m);
  expect(await test.run("id _new")).toMatchObject({ stdout: "uid=461(_new) gid=461(_new) groups=461(_new)\n" });
  expect(
    await test.run("sudo -n dseditgroup -o edit -a deploy -t user _new && dseditgroup -o checkmember -m deploy _new"),
  ).toMatchObject({ code: 0 });
  expect(await test.run("dseditgroup -o checkmember -m nobody _new")).toMatchObject({ code: 67 });
  expect(await test.run("sudo -n dscl . -delete /Users/_new && id _new")).toMatchObject({
    code: 1,
    stderr: "id: _new: no such user\n",
  });
  expect(await test.run("sudo -n dscl . -delete /Users/_new")).toMatchObject({ code: 185 });
});

it("chown and install set owners that stat shows and a rename keeps", async () => {
  const script = [
    'cd "$HOME"',
    "mkdir -p tree/inner && echo x > tree/inner/file",
    "sudo -n chown -R root:wheel tree",
    "stat -f '%Su:%Sg %Lp %z %HT' tree/inner/file",
    "mv tree/inner/file moved && stat -f %Su:%Sg moved",
    "sudo -n install -m 0640 -o root -g admin moved installed && stat -f '%Su:%Sg %Lp' installed",
    "rm installed && echo y > installed && stat -f %Su:%Sg installed",
  ];
  expect(await test.run(script.join(" && "))).toMatchObject({
    code: 0,
    stdout: "root:wheel 644 2 Regular File\nroot:wheel\nroot:admin 640\ndeploy:staff\n",
  });
  expect(await test.run("chown root moved")).toMatchObject({
    code: 1,
    stderr: "chown: moved: Operation not permitted\n",
  });
  expect(await test.run("sudo -n chown nouser moved")).toMatchObject({
    code: 1,
    stderr: "chown: nouser: illegal user name\n",
  });
});

it("chown never reaches a file outside the root folder", async () => {
  expect(await test.run("sudo -n chown root /etc/hostname")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("ENOENT"),
  });
});

it("shasum prints and checks checksums", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect(await test.run("shasum -a 256", "abc")).toMatchObject({ stdout: `${abc}  -\n` });
  expect(await test.run("printf abc > abc.txt; shasum -a 256 abc.txt")).toMatchObject({ stdout: `${abc}  abc.txt\n` });
  expect(await test.run("shasum -a 256 -c -", `${abc}  abc.txt\n`)).toMatchObject({ code: 0, stdout: "abc.txt: OK\n" });
  expect(await test.run("printf abd > abc.txt; shasum -a 256 -c -", `${abc}  abc.txt\n`)).toMatchObject({
    code: 1,
    stdout: "abc.txt: FAILED\n",
  });
});

it("plutil checks and converts property lists", async () => {
  const plist = test.daemon("com.example.lint", { Program: "/bin/true", RunAtLoad: true });
  expect(await test.run(`plutil -lint '${plist}'`)).toMatchObject({ code: 0, stdout: `${plist}: OK\n` });
  const { stdout } = await test.run(`plutil -convert json -o - '${plist}'`);
  expect(JSON.parse(stdout)).toEqual({ Label: "com.example.lint", Program: "/bin/true", RunAtLoad: true });
  expect(await test.run(`plutil -extract Program raw -o - '${plist}'`)).toMatchObject({ stdout: "/bin/true\n" });
  expect(await test.run("plutil -convert xml1 -o - -", '{"a": 1}')).toMatchObject({
    stdout: expect.stringContaining("<integer>1</integer>"),
  });
  writeFileSync(plist, readFileSync(plist, "utf8").replace("</dict>", ""));
  expect(await test.run(`plutil -lint '${plist}'`)).toMatchObject({ code: 1 });
});

it("answers as a Mac Studio with FileVault off", async () => {
  expect(await test.run("uname -sm; sw_vers -productVersion; sysctl -n hw.memsize; csrutil status")).toMatchObject({
    stdout: "Darwin arm64\n26.5.1\n137438953472\nSystem Integrity Protection status: enabled.\n",
  });
  expect(await test.run("fdesetup isactive")).toMatchObject({ code: 1, stdout: "false\n" });
});

it.each(["stat -c %s .", "stat --format=%s .", "id --user", "uname --machine"])("`%s` is GNU's", async (command) => {
  expect(await test.run(command)).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/illegal option/),
  });
});

it("places each emulated command where macOS has it", async () => {
  expect(
    await test.run(
      '"$SLM_NETWORK_ROOT/bin/launchctl" list && "$SLM_NETWORK_ROOT/usr/bin/sudo" -n "$SLM_NETWORK_ROOT/usr/bin/id" -u',
    ),
  ).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^PID\tStatus\tLabel\n[\s\S]*0\n$/),
  });
});
