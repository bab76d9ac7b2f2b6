/**
 * Texts with characters that shells, plists and ssh's files use for themselves, read back by the programs that will read them:
 * sh, Python's plistlib and OpenSSH. What of the stack's config reaches them: `test/config/any-value.test.ts`.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { plistProblem } from "../../../config/rule-helpers.ts";
import { sshConfigText } from "../../../runtime/installer/direct-files.ts";
import { layout } from "../../../runtime/installer/layout.ts";
import { directDaemon, modelDaemon } from "../../../runtime/installer/plists.ts";
import { quote } from "../../../runtime/shell.ts";
import { ODD_TEXTS } from "../../odd-texts.ts";

/** Those that a plist can carry; the config refuses the others. */
const IN_PLIST = ODD_TEXTS.filter((text) => plistProblem(text) === undefined);

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "slm odd 'texts' "));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const hasPython = (() => {
  try {
    execFileSync("python3", ["-c", "import plistlib"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

test("each is one word for sh, as it is", () => {
  const script = `for word in ${ODD_TEXTS.map(quote).join(" ")}; do printf '%s\\0' "$word"; done`;
  const got = execFileSync("sh", ["-c", script]).toString("utf8").split("\0").slice(0, -1);
  expect(got).toEqual([...ODD_TEXTS]);
});

test("each is one word for sh behind ssh and sudo, which quote nothing themselves", () => {
  for (const word of ODD_TEXTS.filter((text) => text.length < 100)) {
    const inner = `printf %s ${quote(word)}`;
    expect(execFileSync("sh", ["-c", `sh -c ${quote(inner)}`]).toString("utf8")).toBe(word);
  }
});

test.runIf(hasPython)("each comes out of the model server's plist as it went in", () => {
  const env = Object.fromEntries(IN_PLIST.map((text, index) => [`V${index}`, text]));
  const service = {
    program: "/opt/bin/a <b> & 'c'",
    args: [...IN_PLIST],
    env,
    user: "models",
    workingDirectory: "/Users/한글 & <x>",
  };
  const { plist } = modelDaemon(layout("/"), service, { user: "models", group: "staff", home: "/" });
  const file = join(folder(), "model.plist");
  writeFileSync(file, plist);
  const read = 'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))';
  const got = JSON.parse(execFileSync("python3", ["-c", read, file]).toString("utf8")) as Record<string, unknown>;
  expect(got).toMatchObject({
    ProgramArguments: [service.program, ...IN_PLIST],
    EnvironmentVariables: env,
    WorkingDirectory: service.workingDirectory,
  });
});

test("a line's ssh reads its address, account and files as they are meant, from any folder", () => {
  const root = folder();
  const paths = layout(root);
  for (const [host, user] of [
    ["a.example.com", "line"],
    ["2001:db8::1", "_x-1"],
    ["192.0.2.1", "a_b"],
  ] as const) {
    const line = {
      server: "backend",
      host,
      port: 2222,
      user,
      hostKey: "ssh-ed25519 AAAA",
      listen: "127.0.0.1:18400",
      relayPort: 8793,
    };
    const file = join(root, "line.conf");
    writeFileSync(file, sshConfigText(paths, line));
    const got = execFileSync("ssh", ["-G", "-F", file, "direct"]).toString("utf8").split("\n");
    for (const wanted of [
      `hostname ${host}`,
      `user ${user}`,
      "port 2222",
      "stricthostkeychecking true",
      "batchmode yes",
    ]) {
      expect(got).toContain(wanted);
    }
    // A quote within a path would end it early: ssh shows the path it took.
    expect(got.find((option) => option.startsWith("identityfile "))).toContain(`${paths.direct}/backend.key`);
    expect(directDaemon(paths, line).plist).toContain("127.0.0.1:18400:127.0.0.1:8793");
  }
});
