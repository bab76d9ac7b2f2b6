/** The tests that StrykerJS runs for each mutant: unit tests of the mutated folders, in one process. */
import { basename, join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Tests of seconds. They run after the others: a mutant is done with once a test fails. */
const SLOW = [
  "token.test.ts",
  "fairness.test.ts",
  "bounds.test.ts",
  "body-worker.test.ts",
  "full.test.ts",
  "disk-quota.test.ts",
];

class SlowLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => SLOW.indexOf(basename(moduleId));
    return files.toSorted((one, other) => rank(one) - rank(other));
  }
}

export default defineConfig({
  root: join(import.meta.dirname, "../.."),
  test: {
    // As in the project's own configuration: modules run natively.
    experimental: { viteModuleRunner: false },
    include: (process.env.MUTATION_TESTS ?? "test/runtime/relay/{access,admission,jobs,documents}/**/*.test.ts").split(
      ";",
    ),
    exclude: ["**/*.integration.test.ts"],
    sequence: { sequencer: SlowLast },
    setupFiles: "test/no-processes.ts",
    testTimeout: 30_000,
  },
});
