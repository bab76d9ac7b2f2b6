/** `npm run explain [-- FILE]`: what to do about the errors in what `pulumi` printed, from a file or standard input. */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { errorsIn, explain, renderExplanations } from "./explain.ts";

const [file] = process.argv.slice(2);
if (file === undefined && process.stdin.isTTY) {
  console.log(
    "npm run explain -- FILE        what `pulumi up` printed, e.g. of a job in CI\npulumi up 2>&1 | tee up.log; npm run explain -- up.log",
  );
} else {
  const printed = file === undefined ? await text(process.stdin) : await readFile(file, "utf8");
  const known = renderExplanations(explain(errorsIn(printed)));
  console.log(known || "No error in it that is known here.");
  process.exitCode = known ? 0 : 1;
}
