/** The command line of `npm run up`: its own options, and those passed on to `pulumi up`. */

export const command = {
  name: "up",
  summary:
    "Checks first (preflight), runs `pulumi up`, and explains its errors. Other options are passed on to `pulumi up`.",
  options: {
    "no-preflight": { type: "boolean", default: false, help: "skips the check" },
    yes: { type: "boolean", short: "y", default: false, help: "of `pulumi up`: does not ask" },
    stack: { type: "string", short: "s", value: "NAME", help: "of `pulumi up`; default: the selected stack" },
  },
  examples: [
    ["npm run up", "previews, asks, deploys"],
    ["npm run up -- --yes --skip-preview", "deploys without a question"],
    ["npm run up -- --no-preflight --diff", "without the check, with details"],
  ],
  exitCodes: { 0: "deployed", 1: "preflight found a problem; or the exit code of `pulumi up`" },
} as const;

/** The arguments, by who they are for. */
export interface UpArgs {
  readonly preflight: boolean;
  /** Value of `--stack` or `-s`, for preflight; the engine gets it too. */
  readonly stack: string | undefined;
  /** For the engine, as given. */
  readonly args: readonly string[];
}

/** Never refuses: unknown options are the engine's to judge. */
export function splitArgs(given: readonly string[]): UpArgs {
  const at = given.findIndex((arg) => arg === "--stack" || arg === "-s");
  const joined = given.find((arg) => arg.startsWith("--stack="));
  return {
    preflight: !given.includes("--no-preflight"),
    stack: at >= 0 ? given[at + 1] : joined?.slice("--stack=".length),
    args: given.filter((arg) => arg !== "--no-preflight"),
  };
}
