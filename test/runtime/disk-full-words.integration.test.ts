/** The words about a full disk, from the shell and from the installer. On real full volumes: installer/disk-full.integration.test.ts. */
import { spawnSync } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diskFullText, fitsShell } from "../../runtime/disk-full.ts";
import { CommandError } from "../../runtime/installer/commands.ts";
import { diskFullCause, sayIfDiskFull } from "../../runtime/installer/disk-full.ts";
import { layout } from "../../runtime/installer/layout.ts";
import { temporaryFolder } from "./relay/harness.ts";

const tar = "tar: node/bin/node: Cannot write: No space left on device";

/** Runs the shell's function with a df(1) that prints this line, as macOS does. */
async function fits(dfLine: string, command: string) {
  const bin = await temporaryFolder();
  const df = join(bin, "df");
  await writeFile(
    df,
    `#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity  Mounted on'\necho '${dfLine}'\n`,
  );
  await chmod(df, 0o755);
  const { status, stdout, stderr } = spawnSync("sh", ["-c", `set -eu\n${fitsShell}\n${command}\necho went on`], {
    encoding: "utf8",
    env: { PATH: `${bin}:${process.env.PATH}` },
  });
  return { status, stdout, stderr };
}

const roomy = "/dev/disk3s5   482797652 441253012 20971520    96%    /System/Volumes/Data";
const full = "/dev/disk4s1 with a blank  482797652 482797000 652    100%    /Volumes/a b";

describe("the shell's fits", () => {
  it("passes output on and goes on", async () => {
    expect(await fits(full, "x=$(fits /x echo out)\nfits /x sh -c 'echo warned >&2'\necho $x")).toEqual({
      status: 0,
      stdout: "out\nwent on\n",
      stderr: "warned\n",
    });
  });

  it.each([
    ["the command says so", roomy, `echo '${tar}' >&2; exit 2`, "/System/Volumes/Data", "20480 MiB"],
    ["less than 1 MiB is left", full, "exit 23", "/Volumes/a b", "0 MiB"],
  ])("ends with the words when %s", async (_when, dfLine, script, volume, free) => {
    const ran = await fits(dfLine, `fits /x sh -c "${script}" || echo not reached`);
    expect(ran).toEqual({
      status: 1,
      stdout: "",
      stderr: `${diskFullText(volume, free)}. What is in service was not changed.\n`,
    });
  });

  it("leaves any other failure as it is", async () => {
    const ran = await fits(roomy, "fits /x sh -c 'echo broken archive >&2; exit 3' || exit 4");
    expect(ran).toEqual({ status: 4, stdout: "", stderr: "broken archive\n" });
  });

  it("has words that a shell does not expand", () => {
    expect(diskFullText("", "")).not.toMatch(/["$`\\\n]/);
  });
});

describe("the installer", () => {
  const enospc = () => Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

  it.each([
    ["a write", enospc()],
    ["a write within another error", new Error("relay.json cannot be written", { cause: enospc() })],
    ["a command", new CommandError("tar", ["-xzof", "a"], 1, tar)],
    ["SQLite", Object.assign(new Error("database or disk is full"), { errcode: 13 })],
  ])("recognizes a full disk by %s", async (_what, error) => {
    expect(diskFullCause(error)).toBeDefined();
    const paths = layout(await temporaryFolder());
    const said = sayIfDiskFull(
      paths,
      () => "Nothing was changed.",
      () => Promise.reject(error),
    );
    await expect(said).rejects.toThrow(
      new RegExp(
        `^the Mac's disk is full: the volume /.* has \\d+ MiB free\\. .*\\n${error.message.slice(0, 12)}[^\\n]*\\nNothing was changed\\.$`,
      ),
    );
  });

  it("leaves any other error as it is", async () => {
    const error = new Error("the relay's log: no space left on device");
    const said = sayIfDiskFull(
      layout("/x"),
      () => "",
      () => Promise.reject(error),
    );
    await expect(said).rejects.toBe(error);
  });
});
