import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { cloudflared, goMod, isAtLeast, languageHost, pulumi } from "../../../sandbox/tools/recipes.ts";
import { cacheFolder, ensureTools } from "../../../sandbox/tools/tools.ts";
import { ownCache, removeCache, program as shellProgram } from "./cache.ts";

let folder: string;
const lines: string[] = [];
const log = (line: string) => void lines.push(line);

const program = (path: string, says: string) => shellProgram(path, `echo '${says}'`);

beforeEach(() => {
  folder = ownCache();
  lines.length = 0;
});
afterEach(() => removeCache(folder));

describe("the tools", () => {
  it("are taken from PATH where their version will do, else from the cache", async () => {
    const bin = join(folder, "bin");
    const cli = program(join(bin, "pulumi"), "v3.259.0");
    const host = program(join(bin, "pulumi-language-nodejs"), "");
    program(join(bin, "cloudflared"), "2024.1.0"); // before --token-file
    const cached = program(join(folder, `cache/tools/cloudflared-${cloudflared.version}/cloudflared`), "");
    vi.stubEnv("PATH", [bin, "/usr/bin", "/bin"].join(delimiter));
    const tools = await ensureTools(log);
    expect(tools).toEqual({ pulumi: cli, cloudflared: cached, path: [bin] });
    expect(host).toContain(bin);
    expect(lines.join("\n")).toContain("from the cache");
  });

  it("end with one sentence saying what to install when there is no way", async () => {
    vi.stubEnv("PATH", "/nonexistent");
    await expect(ensureTools(log)).rejects.toThrow(
      /^pulumi is not on PATH, could not be downloaded, and building it needs Go 1\.25\.11: install the Pulumi CLI \(https:.*\) or Go 1\.25\.11 or later \(https:.*\)\.$/,
    );
  });

  it("lie in the user's cache folder, which all checkouts share", () => {
    expect(cacheFolder({ XDG_CACHE_HOME: "/x" })).toBe("/x/slm-network");
    expect(cacheFolder({ SLM_NETWORK_CACHE: "/y" })).toBe("/y");
  });
});

describe("the recipes", () => {
  it.each([
    ["3.259.0", "3.220.0", true],
    ["3.220.0", "3.220.0", true],
    ["3.99.0", "3.220.0", false],
    ["2026.7.2", "2025.4.0", true],
    ["1.26", "1.25.11", true],
  ])("%s is at least %s: %s", (a, b, yes) => expect(isAtLeast(a, b)).toBe(yes));

  it("repeat the replacements that `go install` would ignore", () => {
    const text = goMod(cloudflared.build);
    for (const line of cloudflared.build.replace) expect(text).toContain(`replace ${line}`);
    expect(text).toContain(`require ${cloudflared.build.module} ${cloudflared.build.version}`);
  });

  it.each(["linux", "darwin"] as const)("name a download and its hash for %s", (platform) => {
    for (const arch of ["x64", "arm64"]) {
      expect(pulumi.download(platform, arch)?.url).toContain(pulumi.version);
      expect(cloudflared.download(platform, arch)?.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(cloudflared.download(platform, "mips")).toBeUndefined();
    expect(languageHost.download(platform, "x64")).toBeUndefined();
  });
});
