/** `npm run explain`: how to fix the errors that `pulumi` printed, from a file or standard input. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { jsonOption, parseCommand, runCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { errorsIn, explain, renderExplanations } from "./explain.ts";

const command = {
  name: "explain",
  summary: "Explains the errors that `pulumi` printed: what each means and how to fix it.",
  operands: "[file]",
  options: jsonOption,
  examples: [
    ["npm run explain -- up.log", "the log of a CI job"],
    ["pulumi up 2>&1 | tee up.log; npm run explain -- up.log", "a run in this terminal"],
  ],
  exitCodes: { 0: "at least one error is known", 1: "no known error found", 2: "nothing to read, or wrong usage" },
} as const;

await runCommand(command, async (args) => {
  const { values, positionals } = parseCommand(command, args);
  const [file] = positionals;
  if (file === undefined && process.stdin.isTTY) {
    throw new UsageError("give a file, or pipe in what `pulumi` printed: npm run explain -- up.log");
  }
  const printed = file === undefined ? await text(process.stdin) : await read(file);
  const known = explain(errorsIn(printed));
  if (values.json) console.log(JSON.stringify({ explanations: known }, null, 2));
  else console.log(renderExplanations(known) || "No known error found.");
  return known.length > 0 ? 0 : 1;
});

function read(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: Error) => {
    throw new UsageError(`${file} cannot be read: ${error.message}`);
  });
}
