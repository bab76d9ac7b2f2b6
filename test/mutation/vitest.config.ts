/** The tests that StrykerJS runs for each mutant: unit tests of the mutated folders, in one process. */
import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: join(import.meta.dirname, "../.."),
  test: {
    // As in the project's own configuration: modules run natively.
    experimental: { viteModuleRunner: false },
    include: (process.env.MUTATION_TESTS ?? "test/runtime/relay/{access,admission,jobs,documents}/**/*.test.ts").split(
      ";",
    ),
    exclude: ["**/*.integration.test.ts"],
    setupFiles: "test/no-processes.ts",
    testTimeout: 30_000,
  },
});
