/** A proxy of the shell's, which cannot reach this machine's loopback: the sandbox, its engine runs and curl go without it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { takeControl } from "../../../sandbox/control.ts";
import { isCurlProxied, loopbackWithoutProxy } from "../../../sandbox/machine/no-proxy.ts";
import { run } from "../../e2e/harness.ts";

it("names loopback beside what a shell leaves out already, in both cases", () => {
  const both = (hosts: string) => ({ NO_PROXY: hosts, no_proxy: hosts });
  expect(loopbackWithoutProxy({ HTTP_PROXY: "http://proxy:1" })).toEqual(both("127.0.0.1,localhost"));
  expect(loopbackWithoutProxy({ https_proxy: "x", NO_PROXY: ".acme.com, localhost" })).toEqual(
    both(".acme.com,localhost,127.0.0.1"),
  );
  expect(loopbackWithoutProxy({ ALL_PROXY: "x", no_proxy: "a", NO_PROXY: "b" })).toEqual(both("a,127.0.0.1,localhost"));
  expect(loopbackWithoutProxy({ ALL_PROXY: "x", NO_PROXY: "*" })).toEqual(both("*"));
  expect(loopbackWithoutProxy({ NO_PROXY: "a", HTTP_PROXY: "" })).toEqual({});
});

it.each([
  [{ http_proxy: "http://proxy:1" }, true],
  [{ all_proxy: "http://proxy:1" }, true],
  [{ ALL_PROXY: "http://proxy:1", NO_PROXY: "localhost" }, true],
  [{ HTTP_PROXY: "http://proxy:1" }, false],
  [{ https_proxy: "http://proxy:1", HTTPS_PROXY: "http://proxy:1" }, false],
  [{ http_proxy: "http://proxy:1", no_proxy: "localhost,127.0.0.1" }, false],
  [{ http_proxy: "http://proxy:1", NO_PROXY: "*" }, false],
])("knows what curl does with %j", async (proxies, isProxied) => {
  expect(isCurlProxied(proxies)).toBe(isProxied);
});

/** Nothing listens there. */
const deadProxy = "http://127.0.0.1:9";

it("finds and stops a sandbox where Node is told to use a proxy that does not reach loopback", async () => {
  const folder = mkdtempSync(join(tmpdir(), "slm-no-proxy-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const control = await takeControl(join(folder, "lock.json"), async () => resolve());
  writeFileSync(join(folder, "identity.json"), "");
  const ended = stopped.then(() => control.close());
  const ran = await run(process.execPath, ["sandbox/main.ts", "--stop"], {
    SANDBOX_DIR: folder,
    NODE_USE_ENV_PROXY: "1",
    HTTP_PROXY: deadProxy,
    http_proxy: deadProxy,
    NO_PROXY: "",
    no_proxy: "",
  });
  if (ran.code !== 0 || !ran.stdout.includes("stopped")) await control.close();
  expect(ran.stdout).toContain("stopped: nothing of it runs any more");
  await ended;
});
