/**
 * The installer, run on the Mac as root by the Node that was shipped with it:
 *
 *     node installer.mjs install --root / --release HASH --node HASH   < input.json
 *     node installer.mjs remove --root / [--data]
 *
 * Prints one line of JSON when it is done; otherwise one message on standard error and exit code 1.
 */
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { z } from "zod";
import { installInputSchema } from "../config.ts";
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
      data: { type: "boolean", default: false },
    },
  });
  const paths = layout(values.root);
  if (positionals[0] === "remove") {
    await remove(paths, values);
    console.log(JSON.stringify({ removed: true }));
    return;
  }
  if (positionals[0] !== "install" || !values.release || !values.node) {
    throw new Error(
      "usage: installer.mjs install --release HASH --node HASH [--root DIR] < input, or installer.mjs remove [--root DIR] [--data]",
    );
  }
  const input = installInputSchema.safeParse(parseJson(await text(process.stdin)));
  if (!input.success) throw new Error(`the installer's input is wrong:\n${z.prettifyError(input.error)}`);
  console.log(JSON.stringify(await install(paths, values.release, values.node, input.data)));
}

function parseJson(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    // Node's own message quotes the text, and the text is secret.
    throw new Error(`the installer's input is no JSON (${input.length} characters arrived)`);
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
