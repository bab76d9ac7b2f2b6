import { availableParallelism } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { loopbackWithoutProxy } from "./sandbox/machine/no-proxy.ts";
import { straysIn } from "./sandbox/providers/environment.ts";

// Before a worker starts: what a developer's shell has for a real stack is none of the tests' business, and a proxy does
// not reach the loopback they run on.
for (const name of straysIn(process.env)) delete process.env[name];
Object.assign(process.env, loopbackWithoutProxy(process.env), { SLM_NETWORK_ENV_FILE: "" });

// Every test file, provider plugin and Pulumi program loads the same modules: compiled once, loading takes two thirds of the time.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "node_modules/.cache/compile");

// Modules run natively (Node strips the types): Vitest's own module runner rewrites functions, and Pulumi can then not
// serialise a dynamic provider (throwSerializationError).
export default defineConfig({
  test: {
    experimental: { viteModuleRunner: false },
    globalSetup: "test/setup.ts",
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/prove/prove.test.ts"],
          // Most of a test's time is waiting for processes; by default two cores would run one file at a time.
          maxWorkers: Math.max(2, availableParallelism() - 1),
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts", "test/prove/prove.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 1_800_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
