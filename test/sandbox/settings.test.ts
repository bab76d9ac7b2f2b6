import { expect, it } from "vitest";
import { readSettings } from "../../sandbox/settings.ts";

it("has defaults as slow as Atlas and as strict as the edge", () => {
  const settings = readSettings({ SANDBOX_READ_TIMEOUT_MS: "" });
  expect(settings).toMatchObject({ ttlMonitorMs: 60_000, readTimeoutMs: 100_000, bodyLimitBytes: 104_857_600 });
  expect(settings.atlas.userMs).toBeGreaterThan(0);
  expect(settings).toMatchObject({ macos: "26.5.1", fileVault: false });
  expect(settings.ssh).toBeUndefined();
});

it("reads an external SSH server", () => {
  const { ssh } = readSettings({ SANDBOX_SSH: "me@127.0.0.1:2222", SANDBOX_SSH_KEY: "/keys/id_ed25519" });
  expect(ssh).toEqual({ user: "me", host: "127.0.0.1", port: 2222, keyPath: "/keys/id_ed25519" });
});

it.each([
  [undefined, "emulated"],
  ["stand-in", "emulated"],
  ["emulated", "emulated"],
])("emulates the Mac with SANDBOX_MAC=%s", (given, mac) => {
  expect(readSettings({ SANDBOX_MAC: given }).mac).toBe(mac);
});

it("reports all problems at once, each with its value and the allowed ones", () => {
  const wrong = {
    SANDBOX_ATLAS_USER_MS: "1s",
    SANDBOX_MACOS: "Tahoe",
    SANDBOX_TTL_MONITOR_MS: "1",
    SANDBOX_SSH: "me@host",
  };
  expect(() => readSettings(wrong)).toThrow(
    /SANDBOX_ATLAS_USER_MS is "1s": .*0 to 600000\n.*SANDBOX_TTL_MONITOR_MS is "1".*\n.*SANDBOX_MACOS is "Tahoe": .*26\.5\.1\n.*SANDBOX_SSH is "me@host": .*user@host:port\n.*SANDBOX_SSH_KEY is missing/s,
  );
});

it("refuses an unknown word instead of treating it as unset", () => {
  expect(() =>
    readSettings({ SANDBOX_OFFLINE: "yes", SANDBOX_VERBOSE: "true", SANDBOX_MODEL_URL: "localhost:11434" }),
  ).toThrow(
    /^SANDBOX_OFFLINE is "yes": it must be 0 or 1\nSANDBOX_VERBOSE is "true": it must be 0 or 1\nSANDBOX_MODEL_URL is "localhost:11434": it must be the http\(s\) address/,
  );
  readSettings({ SANDBOX_OFFLINE: "0", SANDBOX_VERBOSE: "1", SANDBOX_MODEL_URL: "http://gpu-1:11434" });
});
