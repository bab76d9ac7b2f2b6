import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { envFile, readEnvFile, withValues, writeEnvFile } from "../../commands/env-file.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-env-"));
  file = join(folder, ".env");
  vi.stubEnv("SLM_NETWORK_ENV_FILE", file);
  vi.stubEnv("SLM_TEST_A", undefined);
  vi.stubEnv("SLM_TEST_B", undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe(".env", () => {
  it("is read by commands; the shell's own variables win; a missing file is fine", () => {
    readEnvFile();
    writeFileSync(file, "SLM_TEST_A=from-file\nSLM_TEST_B='two words'\n");
    vi.stubEnv("SLM_TEST_A", "from-shell");
    readEnvFile();
    expect([process.env.SLM_TEST_A, process.env.SLM_TEST_B]).toEqual(["from-shell", "two words"]);
  });

  it("is written for its owner only, keeps other lines, and is read the same by a shell", async () => {
    writeFileSync(file, "# mine\nOTHER=1\nexport SLM_TEST_A=old\n", { mode: 0o644 });
    await writeEnvFile({ SLM_TEST_A: "new+/=", SLM_TEST_B: "with space $HOME" });
    expect(readFileSync(file, "utf8")).toBe("# mine\nOTHER=1\nSLM_TEST_A=new+/=\nSLM_TEST_B='with space $HOME'\n");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(process.env.SLM_TEST_A).toBe("new+/=");
    const script = `set -a; . '${file}'; printf '%s|%s' "$SLM_TEST_A" "$SLM_TEST_B"`;
    expect(execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" })).toBe("new+/=|with space $HOME");
  });

  it("refuses values that would break the file", () => {
    expect(() => withValues("", { SLM_TEST_A: "a\nB=1" })).toThrow(RangeError);
    expect(() => withValues("", { SLM_TEST_A: "it's" })).toThrow(RangeError);
  });

  it("is not read in a sandbox's shell, nor where it is switched off", () => {
    expect(envFile({ SANDBOX_URL: "http://127.0.0.1:1" })).toBeUndefined();
    expect(envFile({ SLM_NETWORK_ENV_FILE: "" })).toBeUndefined();
    expect(envFile({})).toMatch(/\/\.env$/);
    expect(envFile({ SLM_NETWORK_ENV_FILE: "/x", SANDBOX_URL: "http://127.0.0.1:1" })).toBe("/x");
  });

  it("is ignored by Git", () => {
    expect(readFileSync(join(import.meta.dirname, "../../.gitignore"), "utf8")).toMatch(/^\.env$/m);
  });
});
