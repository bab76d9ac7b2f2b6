// StrykerJS: `npm run mutation`, or `npm run mutation -- --mutate runtime/relay/access/names.ts`. See docs/proving.md.
export default {
  testRunner: "vitest",
  vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
  plugins: ["@stryker-mutator/vitest-runner"],
  mutate: ["runtime/relay/access/names.ts"],
  concurrency: 1,
  coverageAnalysis: "perTest",
  ignorePatterns: ["/docs", "/sandbox", "/.sandbox*", "/commands", "/components"],
  tempDirName: ".stryker-tmp",
  reporters: ["clear-text", "json"],
  jsonReporter: { fileName: "node_modules/.cache/stryker-report.json" },
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  timeoutMS: 10_000,
};
