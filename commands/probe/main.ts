/** `npm run probe`: where do callers enter Cloudflare from here, and where does the time of a request go? */
import { cloudflareAccess } from "../../accounts/credentials.ts";
import { isLoopback } from "../../runtime/loopback.ts";
import { runCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { withProgress } from "../progress.ts";
import { advice } from "./advice.ts";
import { compareRoads, renderRoads } from "./direct.ts";
import { exitCode, findings, splitOf } from "./findings.ts";
import { measureHost } from "./host.ts";
import { asUrl, command, completeArgs, type Options, readOptions } from "./options.ts";
import { render } from "./report.ts";
import { isNameOf, readStack, type Stack, serviceTokenHeaders } from "./stack.ts";

/** The stack's token is sent to the stack's own names and to loopback only. */
const tokenHeaders = (url: URL, stack: Stack | undefined): Record<string, string> =>
  serviceTokenHeaders(stack, isNameOf(stack, url) || isLoopback(url.hostname));

/** @returns the connectors' locations, or why they are unknown */
async function connectors(options: Options, stack: Stack | undefined): Promise<string[] | { unknown: string }> {
  const accountId = options.account ?? stack?.route?.accountId;
  const tunnelId = options.tunnel ?? stack?.tunnelId;
  const { apiToken, baseUrl } = stack?.cloudflare ?? cloudflareAccess(() => undefined);
  if (!apiToken) return { unknown: "CLOUDFLARE_API_TOKEN is not set" };
  if (!accountId || !tunnelId) return { unknown: "give --account and --tunnel, or select a stack" };
  const { connectorColos } = await import("./connectors.ts"); // the API client is slow to load
  return connectorColos({ accountId, tunnelId, apiToken, apiUrl: baseUrl }).catch((error: unknown) => ({
    unknown: error instanceof Error ? error.message : String(error),
  }));
}

/** A sandbox's edge is on loopback; its hostname has no DNS record. */
function addressOf({ servedAt, route, hostname }: Stack): URL {
  if (servedAt) return asUrl(servedAt, "sandbox:url");
  return asUrl(route?.callers ?? hostname, "the stack's hostname");
}

async function probe(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  const read = await readStack();
  const stack = "unreadable" in read ? undefined : read;
  const notes = "unreadable" in read ? [`The stack could not be read (${read.unreadable}).`] : [];
  const url = options.url ?? (stack && addressOf(stack));
  if (!options.url && stack?.servedAt)
    notes.push(`This is a sandbox's stack; measured at its edge, ${stack.servedAt}.`);
  if (!url) {
    throw new UsageError(`nothing to measure: give --url https://<hostname>, or select a stack. ${notes.join(" ")}`);
  }
  const { main, compared, where, roads } = await withProgress(`measuring ${url.host}`, measureAll(url, options, stack));
  if ("unknown" in where) notes.push(`Where the connectors are is unknown: ${where.unknown}.`);
  const expected = options.expect ?? stack?.route?.expectColo ?? ["ICN"];
  const known = "unknown" in where ? undefined : where;
  const withToken = Object.keys(tokenHeaders(url, stack)).length > 0;
  const found = findings(main, compared, { expected, withToken, connectors: known });
  const code = exitCode(found);
  const advices = advice(found);
  const hosts = [main, ...compared];
  if (options.json) {
    const split = splitOf(main) ?? null;
    const report = {
      url: url.href,
      expected,
      connectors: known ?? null,
      split,
      findings: found,
      advice: advices,
      notes,
      roads,
    };
    console.log(JSON.stringify({ ...report, exitCode: code, hosts }, null, 2));
  } else {
    console.log(render({ hosts, expected, connectors: known, notes, advice: advices, exitCode: code }));
    if (roads) console.log(`\n${renderRoads(roads).join("\n")}`);
  }
  return code;
}

async function measureAll(url: URL, options: Options, stack: Stack | undefined) {
  const { runs, timeoutMs, path } = options;
  const headers = tokenHeaders(url, stack);
  const where = await connectors(options, stack);
  // Not counted: the first connection of a process is slow for reasons of its own.
  await measureHost({ origin: url, headers: {}, timeoutMs }, 1);
  const main = await measureHost({ origin: url, path, headers, timeoutMs }, runs);
  const roads =
    options.direct && compareRoads(main, await measureHost({ origin: options.direct, path, headers, timeoutMs }, runs));
  const compared = [];
  for (const host of options.compare) {
    compared.push(await measureHost({ origin: asUrl(host, "--compare"), headers: {}, timeoutMs }, runs));
  }
  return { main, compared, where, roads };
}

await runCommand(command, probe, completeArgs(process.argv.slice(2)));
