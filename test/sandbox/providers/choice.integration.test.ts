import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { chooseProviders } from "../../../sandbox/providers/choice.ts";
import { providerNames } from "../../../sandbox/providers/install.ts";
import { pinnedVersion } from "../../../sandbox/providers/pinned.ts";

let folder: string;
const lines: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-choice-"));
  mkdirSync(join(folder, "bin"));
  lines.length = 0;
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const choose = (wanted: string) => {
  vi.stubEnv("SANDBOX_PROVIDERS", wanted);
  vi.stubEnv("SANDBOX_OFFLINE", "1");
  const log = (line: string) => void lines.push(line);
  return chooseProviders({ pulumi: "/nowhere/pulumi", home: join(folder, "home"), environment: {}, log });
};
const program = (name: string) => `pulumi-resource-${name}`;
const plugin = (name: string) =>
  join(folder, "home", "plugins", `resource-${name}-v${pinnedVersion(name)}`, program(name));
/** What stands for an official binary on PATH. */
function install(name: string): string {
  const file = join(folder, "bin", program(name));
  writeFileSync(file, `#!/bin/sh\necho ${name}\n`);
  chmodSync(file, 0o755);
  return file;
}

it("takes the official plugins on PATH, at the version the program asks for, and leaves them alone afterwards", async () => {
  vi.stubEnv("PATH", `${join(folder, "bin")}:/usr/bin:/bin`);
  const files = new Map(providerNames.map((name) => [name, install(name)]));
  await choose("ours"); // what an earlier run left
  await choose("installed");
  for (const [name, file] of files) expect(readlinkSync(plugin(name))).toBe(file);
  expect(lines.at(-1)).toBe("providers: the official plugins found on PATH");

  await choose("ours");
  for (const [name, file] of files) {
    expect(lstatSync(plugin(name)).isSymbolicLink()).toBe(false);
    expect(readFileSync(file, "utf8")).toBe(`#!/bin/sh\necho ${name}\n`);
  }
});

it("says all that are not on PATH and how to go on, and which words there are", async () => {
  vi.stubEnv("PATH", `${join(folder, "bin")}:/usr/bin:/bin`);
  install("cloudflare");
  await choose("ours");
  const before = readFileSync(plugin("cloudflare"), "utf8");
  await expect(choose("installed")).rejects.toThrow(
    /no pulumi-resource-mongodbatlas \(\d\S+\), no pulumi-resource-command \(\d\S+\) on PATH: .*SANDBOX_PROVIDERS=ours npm run sandbox$/,
  );
  expect(readFileSync(plugin("cloudflare"), "utf8")).toBe(before); // all or none
  await expect(choose("real")).rejects.toThrow('SANDBOX_PROVIDERS is "real"; it must be one of auto, ours, official');
});

it("uses the emulated ones where nothing can be downloaded, and logs it", async () => {
  await choose("auto");
  expect(lines.at(-1)).toMatch(/the sandbox's own plugins/);
  for (const name of providerNames) expect(readFileSync(plugin(name), "utf8")).toContain(`/${name}/main.ts`);
});
