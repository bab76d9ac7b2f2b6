import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { build, sources } from "../../runtime/build.ts";

it("names every file that the release was built from", async () => {
  const folder = await mkdtemp(join(tmpdir(), "slm-build-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const { inputs } = await build(folder);
  const some = [
    ...Object.values(sources).map((path) => `runtime/${path}`),
    "runtime/relay/status/client/style.css",
    "node_modules/undici/lib/dispatcher/pool.js",
  ];
  expect(inputs).toEqual(expect.arrayContaining(some));
  expect(inputs.filter((path) => !existsSync(join(import.meta.dirname, "../..", path)))).toEqual([]);
});
