/**
 * StrykerJS: `npm run mutation`, or `npm run mutation -- --mutate runtime/relay/access/names.ts`. See docs/proving.md,
 * "Mutation".
 */

/** Modules that unit tests load in their own process. Code in workers and child processes is not mutated there. */
const MODULES = {
  access: ["access", "company", "direct", "failure-throttle", "keys", "names", "operators"],
  admission: ["adaptive", "deficit-round-robin", "estimate", "queue", "service-times", "waiting-list"],
  jobs: ["answer-rows", "disk-quota", "disposition", "idempotency", "key-claims", "lease-clock", "prefer", "transfer"],
  documents: ["bodies", "chunker", "fingerprint", "lifetime", "pieces", "vectors"],
};

export default {
  testRunner: "vitest",
  vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
  plugins: ["@stryker-mutator/vitest-runner"],
  mutate: Object.entries(MODULES).flatMap(([folder, names]) =>
    names.map((name) => `runtime/relay/${folder}/${name}.ts`),
  ),
  concurrency: 1,
  coverageAnalysis: "perTest",
  // A mutant of a constant or a table at the top of a module would run every test of the four folders: half of the time for a
  // twentieth of the mutants. Set it to false for one module and few tests in MUTATION_TESTS.
  ignoreStatic: true,
  ignorePatterns: ["/docs", "/sandbox", "/.sandbox*", "/commands", "/components"],
  tempDirName: ".stryker-tmp",
  reporters: ["clear-text", "json"],
  jsonReporter: { fileName: "node_modules/.cache/stryker-report.json" },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  // Beside one and a half times what the mutant's tests take unchanged: a mutant that loops is ended then.
  timeoutMS: 5000,
  // In percent of all mutants, also of those that no test reaches.
  thresholds: { break: 80 },
};
