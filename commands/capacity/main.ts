/** `npm run capacity`: how many requests at once does this Mac take, and how fast? */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { isLoopback } from "../../runtime/loopback.ts";
import { runCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { isNameOf, readStack, type Stack, serviceTokenHeaders } from "../probe/stack.ts";
import { usualLengths } from "./lengths.ts";
import { measure } from "./measure.ts";
import { command, type Options, readOptions } from "./options.ts";
import { page } from "./page.ts";
import { showProgress } from "./progress.ts";
import { render } from "./report.ts";
import { sentence } from "./sentence.ts";
import { findTarget } from "./target.ts";

/** The stack's token is sent to the stack's own names only; on loopback, only where that is a sandbox's edge. */
const tokenHeaders = (url: URL, stack: Stack | undefined): Record<string, string> =>
  serviceTokenHeaders(stack, isNameOf(stack, url) || (stack?.servedAt !== undefined && isLoopback(url.hostname)));

/** Where to measure, and as whom. @throws UsageError */
async function addressOf(options: Options): Promise<{ url: URL; headers: Record<string, string> }> {
  // With an address and a token no stack is needed.
  const needsStack =
    options.url === undefined || (process.env.CF_ACCESS_CLIENT_ID === undefined && !isLoopback(options.url.hostname));
  const read = needsStack ? await readStack() : undefined;
  const stack = read === undefined || "unreadable" in read ? undefined : read;
  const own = stack && new URL(stack.servedAt ?? `https://${stack.route?.callers ?? stack.hostname}`);
  const url = options.url ?? own;
  if (url === undefined) {
    const why = read && "unreadable" in read ? ` (the stack could not be read: ${read.unreadable})` : "";
    throw new UsageError(`nothing to measure${why}: give --url, e.g. --url http://127.0.0.1:11434 on the Mac itself`);
  }
  return { url, headers: { ...tokenHeaders(url, stack), ...options.headers } };
}

/** The first Ctrl-C ends the measuring, the second one the program. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort();
    });
  }
  return controller.signal;
}

async function capacityOf(args: readonly string[]): Promise<number> {
  const asked = readOptions(args);
  const { url, headers } = await addressOf(asked);
  const { calls, ...lengths } = await usualLengths(asked, asked.url === undefined, console.error);
  const options = { ...asked, ...lengths, ledgerCalls: calls };
  const target = await findTarget(url, headers, options);
  const progress = showProgress();
  const capacity = await measure(target, options, interruption(), progress.show);
  progress.end();
  if (options.json) {
    const { language } = options;
    const sentences = capacity.parts.map((part) => sentence(part.sweep, language));
    console.log(JSON.stringify({ ...capacity, sentences }, null, 2));
  } else console.log(render(capacity, options));
  const file = resolve(options.html);
  await writeFile(file, page(capacity, options));
  if (!options.json) console.log(`\n${file}`);
  if (capacity.deciding === undefined) return 2;
  return capacity.endedBy === undefined ? 0 : 1;
}

await runCommand(command, capacityOf);
