/** `npm run probe`: where do callers enter Cloudflare from here, and where does the time of a request go? */
import { join } from "node:path";
import { cloudflareAccess } from "../../accounts/credentials.ts";
import { advice } from "./advice.ts";
import { compareRoads, renderRoads } from "./direct.ts";
import { exitCode, findings, splitOf } from "./findings.ts";
import { measureHost } from "./host.ts";
import { asUrl, type Options, readOptions, UsageError, usage } from "./options.ts";
import { render } from "./report.ts";
import { readStack, type Stack } from "./stack.ts";

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** The service token for this host: by the environment, else the stack's, which goes to the stack's own names (and the sandbox) only. */
function tokenHeaders(url: URL, stack: Stack | undefined): Record<string, string> {
  const { CF_ACCESS_CLIENT_ID: id, CF_ACCESS_CLIENT_SECRET: secret } = process.env;
  const own = [stack?.hostname, stack?.route?.callers].includes(url.hostname) || loopback.test(url.hostname);
  const [first] = own ? Object.values(stack?.serviceTokens ?? {}) : [];
  const token = id && secret ? { clientId: id, clientSecret: secret } : first;
  return token ? { "CF-Access-Client-Id": token.clientId, "CF-Access-Client-Secret": token.clientSecret } : {};
}

/** @returns where the connectors are, or why that is not known */
async function connectors(options: Options, stack: Stack | undefined): Promise<string[] | { unknown: string }> {
  const accountId = options.account ?? stack?.route?.accountId;
  const tunnelId = options.tunnel ?? stack?.tunnelId;
  const { apiToken, baseUrl } = stack?.cloudflare ?? cloudflareAccess(() => undefined);
  if (!apiToken) return { unknown: "CLOUDFLARE_API_TOKEN is not set" };
  if (!accountId || !tunnelId) return { unknown: "give --account and --tunnel, or run it where the stack can be read" };
  const { connectorColos } = await import("./connectors.ts"); // the API's client takes a moment to load
  return connectorColos({ accountId, tunnelId, apiToken, apiUrl: baseUrl }).catch((error: unknown) => ({
    unknown: error instanceof Error ? error.message : String(error),
  }));
}

/** A sandbox's edge is on loopback, and its hostname is in no DNS. */
function addressOf({ servedAt, route, hostname }: Stack): URL {
  if (servedAt) return asUrl(servedAt, "sandbox:url");
  return asUrl(route?.callers ?? hostname, "the stack's hostname");
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const read = await readStack(join(import.meta.dirname, "../.."));
  const stack = "unreadable" in read ? undefined : read;
  const notes = "unreadable" in read ? [`The stack could not be read (${read.unreadable}).`] : [];
  const url = options.url ?? (stack && addressOf(stack));
  if (!options.url && stack?.servedAt) notes.push(`The stack is a sandbox's: measured is its edge, ${stack.servedAt}.`);
  if (!url) {
    throw new UsageError(`nothing to measure: give --url https://<hostname>, or select a stack. ${notes.join(" ")}`);
  }
  const expected = options.expect ?? stack?.route?.expectColo ?? ["ICN"];
  const headers = tokenHeaders(url, stack);
  const withToken = Object.keys(headers).length > 0;

  const { runs, timeoutMs, path } = options;
  const where = await connectors(options, stack);
  // Not counted: the first connection of a program is slow by the program's own fault.
  await measureHost({ origin: url, headers: {}, timeoutMs }, 1);
  const main = await measureHost({ origin: url, path, headers, timeoutMs }, runs);
  const roads =
    options.direct && compareRoads(main, await measureHost({ origin: options.direct, path, headers, timeoutMs }, runs));
  const compared = [];
  for (const host of options.compare) {
    compared.push(await measureHost({ origin: asUrl(host, "--compare"), headers: {}, timeoutMs }, runs));
  }

  if ("unknown" in where) notes.push(`Where the connectors are is not known: ${where.unknown}.`);
  const known = "unknown" in where ? undefined : where;
  const found = findings(main, compared, { expected, withToken, connectors: known });
  const code = exitCode(found);
  const said = advice(found);
  if (options.json) {
    const split = splitOf(main) ?? null;
    const report = {
      url: url.href,
      expected,
      connectors: known ?? null,
      split,
      findings: found,
      advice: said,
      notes,
      roads,
    };
    console.log(JSON.stringify({ ...report, exitCode: code, hosts: [main, ...compared] }, null, 2));
  } else {
    const report = { hosts: [main, ...compared], expected, connectors: known, notes, advice: said, exitCode: code };
    console.log(render(report));
    if (roads) console.log(`\n${renderRoads(roads).join("\n")}`);
  }
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof UsageError ? error.message : error);
  process.exitCode = 2;
}
