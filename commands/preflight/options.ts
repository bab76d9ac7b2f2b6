/** The command line of `npm run preflight`. */
import { parseArgs } from "node:util";

export const usage = `npm run preflight [-- options]     what would make \`pulumi up\` fail or disappoint, before it starts

  --stack NAME   else PULUMI_STACK, else the selected one
  --read-only    only what a preview in a pull request needs: tokens that read, no Mac
  --cheap        without the Mac and what takes long: what \`npm run up\` does by itself
  --json         for a machine

It changes nothing anywhere. Exit code: 0 nothing in the way; 1 something is; 2 it could not be asked.`;

/** What was asked for. */
export interface Options {
  readonly stack: string | undefined;
  readonly readOnly: boolean;
  readonly cheap: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

/** A command line that cannot be used; the message says why. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** @throws UsageError */
export function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        stack: { type: "string" },
        "read-only": { type: "boolean", default: false },
        cheap: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    const { stack, cheap, json, help } = values;
    return { stack, readOnly: values["read-only"], cheap, json, help };
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}
