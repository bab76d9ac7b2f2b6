/** The script that runs the suite with the official provider plugins, with stubs for what it downloads and starts. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { providerNames } from "../../sandbox/providers/install.ts";
import { pinnedVersion } from "../../sandbox/providers/pinned.ts";

const project = join(import.meta.dirname, "../..");
const script = join(project, ".github/scripts/official-plugins.sh");

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-official-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function stub(name: string, text: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${text}`);
  chmodSync(join(folder, name), 0o755);
}

/** Runs the script; @returns the lines that the stubs wrote */
function run(...args: string[]): string[] {
  const log = join(folder, "log");
  writeFileSync(log, "");
  // An archive with the one program that the address names.
  stub(
    "curl",
    `for url do :; done; echo "curl $url" >> ${log}
name=$(basename "$url" | sed -E 's/^(pulumi-resource-[a-z]+)-v.*/\\1/'); cd ${folder} && mkdir -p made && printf '#!/bin/sh\n' > "made/$name"
chmod 755 "made/$name" && tar -czf - -C made "$name"`,
  );
  stub("npx", `echo "npx $* $SANDBOX_PROVIDERS $(command -v pulumi-resource-command)" >> ${log}`);
  const plugins = join(folder, "plugins");
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, OFFICIAL_PLUGINS: plugins };
  execFileSync(script, args, { env, stdio: "ignore" });
  for (const name of providerNames) expect(statSync(join(plugins, `pulumi-resource-${name}`)).mode & 0o100).not.toBe(0);
  return readFileSync(log, "utf8").trim().split("\n");
}

it("downloads the pinned plugins once, and runs both suites with them", () => {
  const plugin = join(folder, "plugins/pulumi-resource-command");
  const suites = [
    `npx vitest run --project integration test/sandbox/providers/official --maxWorkers=1 installed ${plugin}`,
    `npx vitest run --project e2e installed ${plugin}`,
  ];
  const lines = run();
  for (const name of providerNames) {
    const archive = `/releases/plugins/pulumi-resource-${name}-v${pinnedVersion(name)}-`;
    expect(lines.filter((line) => line.startsWith("curl ") && line.includes(archive))).toHaveLength(1);
  }
  expect(lines.slice(3)).toEqual(suites);
  expect(run()).toEqual(suites);
  expect(run("--providers-only")).toEqual(suites.slice(0, 1));
});

it("is what the workflow runs", () => {
  const text = readFileSync(join(project, ".github/workflows/official-plugins.yml"), "utf8");
  const { jobs } = z
    .object({ jobs: z.record(z.string(), z.object({ steps: z.array(z.object({ run: z.string().optional() })) })) })
    .parse(parse(text));
  const runs = Object.values(jobs).map(({ steps }) => steps.at(-1)?.run);
  expect(runs).toEqual([".github/scripts/official-plugins.sh --providers-only", ".github/scripts/official-plugins.sh"]);
  expect(text).not.toContain("secrets.");
});
