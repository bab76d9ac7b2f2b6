/**
 * The installer, run on the Mac as root by the Node that was shipped with it:
 *
 *     node installer.mjs install --root / --release HASH --node HASH [--uploads DIR] [--installation ID] [--repaired]   < input.json
 *     node installer.mjs remove --root / --installation ID [--data]
 *     node installer.mjs inspect --root /
 *     node installer.mjs direct --root /        state of the direct lines, and of their servers' sshd
 *
 * Prints one line of JSON on success, or one message on standard error with exit code 1. A removal without the Mac's
 * installation id does nothing, reports why, and exits with 0.
 */
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { z } from "zod";
import { installInputSchema } from "../install-input-schema.ts";
import { checkLines, readLines } from "./direct.ts";
import { inspect } from "./inspect.ts";
import { install } from "./install.ts";
import { layout } from "./layout.ts";
import { remove } from "./remove.ts";

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      root: { type: "string", default: "/" },
      release: { type: "string" },
      node: { type: "string" },
      uploads: { type: "string" },
      installation: { type: "string" },
      repaired: { type: "boolean", default: false },
      data: { type: "boolean", default: false },
    },
  });
  const paths = layout(values.root, values.uploads);
  if (positionals[0] === "inspect") {
    console.log(JSON.stringify(await inspect(paths)));
    return;
  }
  if (positionals[0] === "direct") {
    console.log(JSON.stringify(await checkLines(paths, await readLines(paths))));
    return;
  }
  if (positionals[0] === "remove") {
    const refusal = await remove(paths, values);
    if (refusal !== undefined) console.error(refusal);
    console.log(JSON.stringify(refusal === undefined ? { removed: true } : { removed: false, reason: refusal }));
    return;
  }
  if (positionals[0] !== "install" || !values.release || !values.node) {
    throw new Error(
      "usage: installer.mjs install --release HASH --node HASH [--uploads DIR] [--installation ID] [--repaired] [--root DIR] < input, or installer.mjs remove --installation ID [--root DIR] [--data], or installer.mjs inspect|direct [--root DIR]",
    );
  }
  const input = installInputSchema.safeParse(parseJson(await text(process.stdin)));
  if (!input.success) throw new Error(`the installer's input is invalid:\n${z.prettifyError(input.error)}`);
  const { release, node, installation, repaired } = values;
  console.log(JSON.stringify(await install(paths, { release, node, installation, repaired }, input.data)));
}

function parseJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    // Node's own message quotes the text, and the text is secret.
    throw new Error(`the installer's input is not JSON (${input.length} characters arrived)`);
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
