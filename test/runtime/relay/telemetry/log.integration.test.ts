import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freePorts } from "../child.ts";
import { temporaryFolder, testConfig } from "../harness.ts";

const MAIN = join(import.meta.dirname, "../../../../runtime/relay/main.ts");

test("a log that cannot be written (full disk) does not stop the relay", async () => {
  const folder = await temporaryFolder();
  const ports = await freePorts();
  const files = [join(folder, "relay.json"), join(folder, "secrets.json")] as const;
  await writeFile(files[0], JSON.stringify({ ...testConfig("http://127.0.0.1:9", join(folder, "data")), ...ports }));
  await writeFile(files[1], "{}");
  // Opened to be read only: each write to it fails, as on a disk that is full.
  const log = await open(files[1], "r");
  const child = spawn(process.execPath, [MAIN, "--config", files[0], "--secrets", files[1]], {
    stdio: ["ignore", log.fd, "inherit"],
  });
  await log.close();
  const ended = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const ask = (path: string) => fetch(`http://127.0.0.1:${ports.port}${path}`).then(({ status }) => status);
  await expect.poll(() => ask("/healthz").catch(() => "not there"), { timeout: 60_000, interval: 100 }).toBe(200);
  expect(await ask("/v1/models")).toBe(403);
  expect(await ask("/v1/models")).toBe(403);
  expect(child.exitCode).toBe(null);
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
}, 120_000);
