import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { installProviders, launcher, providerNames } from "../../../sandbox/providers/install.ts";
import { pinnedVersion } from "../../../sandbox/providers/pinned.ts";

let home = "";
afterEach(() => rmSync(home, { recursive: true, force: true }));

it("puts each plugin where the engine looks for the pinned version, twice without a change", () => {
  home = mkdtempSync(join(tmpdir(), "slm-home-"));
  installProviders(home, process.execPath);
  const files = providerNames.map((name) =>
    join(home, "plugins", `resource-${name}-v${pinnedVersion(name)}`, `pulumi-resource-${name}`),
  );
  const before = files.map((file) => statSync(file));
  expect(before.every(({ mode }) => (mode & 0o777) === 0o755)).toBe(true);
  installProviders(home, process.execPath);
  expect(files.map((file) => statSync(file).ino)).toEqual(before.map(({ ino }) => ino));
});

it("starts: the first line is the port, and nothing else", async () => {
  home = mkdtempSync(join(tmpdir(), "slm-home-"));
  installProviders(home, process.execPath);
  const file = join(home, "plugins", `resource-command-v${pinnedVersion("command")}`, "pulumi-resource-command");
  const child = spawn(file, [], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const first = await new Promise<string>((resolve) =>
    child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())),
  );
  child.kill("SIGKILL");
  await exited;
  expect(first).toMatch(/^\d+\n$/);
});

it("quotes paths, and refuses relative ones", () => {
  expect(launcher("/opt/it's node", "/a b/command.ts")).toBe(
    `#!/bin/sh\nexec '/opt/it'\\''s node' '/a b/command.ts' "$@"\n`,
  );
  expect(() => installProviders("relative", "/node")).toThrow(/pulumiHome "relative" is not absolute/);
});
