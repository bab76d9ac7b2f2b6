/** A cache of tools of a test's own, offline, and programs made for it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";

/** Writes a program that runs these lines of sh. @returns its path */
export function program(path: string, script: string): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A folder whose `cache` is the cache, until `removeCache`. Nothing is downloaded meanwhile. */
export function ownCache(): string {
  const folder = mkdtempSync(join(tmpdir(), "slm-tools-"));
  vi.stubEnv("SLM_NETWORK_CACHE", join(folder, "cache"));
  vi.stubEnv("SANDBOX_OFFLINE", "1");
  return folder;
}

export function removeCache(folder: string): void {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
}
