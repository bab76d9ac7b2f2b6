import { availableParallelism } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { loopbackWithoutProxy } from "./sandbox/machine/no-proxy.ts";
import { straysIn } from "./sandbox/providers/environment.ts";

// Before a worker starts: what a developer's shell has for a real stack is none of the tests' business, and a proxy does
// not reach the loopback they run on.
for (const name of straysIn(process.env)) delete process.env[name];
Object.assign(process.env, loopbackWithoutProxy(process.env), { SLM_NETWORK_ENV_FILE: "" });

// The emulated provider plugins pause as long as the official ones do (Cloudflare's retries: minutes).
process.env.SANDBOX_PROVIDER_CLOCK ??= "0.02";

// Every test file, provider plugin and Pulumi program loads the same modules: compiled once, loading takes two thirds of the time.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, "node_modules/.cache/compile");

/** The tests of the real model come last: the model server is built meanwhile, and they would keep a worker waiting for it. */
class RealModelLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isReal = ({ moduleId }: TestSpecification) => moduleId.endsWith("real-model.test.ts");
    return [...sorted.filter((file) => !isReal(file)), ...sorted.filter(isReal)];
  }
}

// Modules run natively (Node strips the types): Vitest's own module runner rewrites functions, and Pulumi can then not
// serialise a dynamic provider (throwSerializationError).
export default defineConfig({
  test: {
    experimental: { viteModuleRunner: false },
    globalSetup: "test/setup.ts",
    // All projects share the workers, end-to-end tests first: those wait most of their time, for processes and for time to
    // pass, and the shorter files fill the gaps.
    sequence: { sequencer: RealModelLast },
    maxWorkers: Math.max(4, availableParallelism()),
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/**/*.integration.test.ts", "test/prove/prove.test.ts"],
          setupFiles: ["test/no-processes.ts", "test/leave-as-found.ts"],
          // The files share a process, which saves half of the time: most of it went into loading the same modules again.
          isolate: false,
          testTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/**/*.integration.test.ts"],
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
        },
      },
    ],
  },
});
