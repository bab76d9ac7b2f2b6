/** The command line of `npm run up`: its own options, and those that go to `pulumi up`. */

export const usage = `npm run up [-- options of \`pulumi up\`]     looks first (preflight), then \`pulumi up\`, then says what to do about errors

  --no-preflight   goes on without looking
  --yes, --skip-preview, --stack NAME, --diff …   as for \`pulumi up\``;

/** What is for whom. */
export interface UpArgs {
  readonly help: boolean;
  readonly preflight: boolean;
  /** Of `--stack` or `-s`, for preflight; it goes to the engine, too. */
  readonly stack: string | undefined;
  /** For the engine, as they were given. */
  readonly args: readonly string[];
}

/** Never refuses: what is not known here is the engine's. */
export function splitArgs(given: readonly string[]): UpArgs {
  const at = given.findIndex((arg) => arg === "--stack" || arg === "-s");
  const joined = given.find((arg) => arg.startsWith("--stack="));
  return {
    help: given.includes("--help") || given.includes("-h"),
    preflight: !given.includes("--no-preflight"),
    stack: at >= 0 ? given[at + 1] : joined?.slice("--stack=".length),
    args: given.filter((arg) => arg !== "--no-preflight"),
  };
}
