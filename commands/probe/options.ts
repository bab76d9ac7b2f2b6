/** The command line of `npm run probe`. */
import { parseArgs } from "node:util";

export const usage = `npm run probe [-- options]     where do callers enter Cloudflare, and where does the time go?

  --url URL            what to measure          (default: the stack's hostname; a sandbox's stack: its edge)
  --runs N             fresh connections for each IP version, 1 to 100   (default: 5)
  --path PATH          a path that goes the whole way to the relay       (default: /v1/models)
  --direct[=URL]       measures the direct line too, on its own server   (default: http://127.0.0.1:18400)
  --compare HOST,…     other names to measure beside it: another zone, a workers.dev name
  --expect COLO,…      where callers should enter                 (default: route.expectColo of the stack, else ICN)
  --account ID, --tunnel ID   whose connectors to ask for         (default: the stack's)
  --timeout SECONDS    for each part of a connection              (default: 10)
  --json               for a machine

Environment: CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET (default: the stack's first server), CLOUDFLARE_API_TOKEN to
ask where the connectors are. The token is sent to --url and --direct only.
Exit code: 0 as wanted; 1 an entry elsewhere, or a challenge in the way; 2 not measured.`;

/** What was asked for. */
export interface Options {
  readonly url: URL | undefined;
  readonly runs: number;
  readonly path: string;
  /** Base URL of the direct line on this machine. */
  readonly direct: URL | undefined;
  readonly compare: readonly string[];
  readonly expect: readonly string[] | undefined;
  readonly account: string | undefined;
  readonly tunnel: string | undefined;
  readonly timeoutMs: number;
  readonly json: boolean;
  readonly help: boolean;
}

/** A command line that cannot be used; the message says why and what to do. */
export class UsageError extends Error {
  override name = "UsageError";
}

const words = (text: string | undefined): string[] =>
  (text ?? "")
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean);

/** @param text a URL, or a host name, which stands for https @throws UsageError */
export function asUrl(text: string, option: string): URL {
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${option} ${JSON.stringify(text)} is not a valid address: give e.g. https://slm.example.com`);
  }
  return url;
}

function whole(text: string | undefined, fallback: number, option: string, most: number): number {
  const value = Number(text ?? fallback);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new UsageError(`${option} ${JSON.stringify(text)} is not a whole number from 1 to ${most}`);
  }
  return value;
}

const defaultDirect = "http://127.0.0.1:18400";

/** @throws UsageError */
export function readOptions(args: readonly string[]): Options {
  // Its value may be left out, which parseArgs has no type for.
  const given = args.map((arg) => (arg === "--direct" ? `--direct=${defaultDirect}` : arg));
  const parsed = (() => {
    try {
      return parseArgs({
        args: given,
        options: {
          url: { type: "string" },
          runs: { type: "string" },
          path: { type: "string" },
          direct: { type: "string" },
          compare: { type: "string", multiple: true },
          expect: { type: "string" },
          account: { type: "string" },
          tunnel: { type: "string" },
          timeout: { type: "string" },
          json: { type: "boolean" },
          help: { type: "boolean", short: "h" },
        },
      }).values;
    } catch (error) {
      throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    }
  })();
  const expect = parsed.expect === undefined ? undefined : words(parsed.expect).map((colo) => colo.toUpperCase());
  const odd = expect?.find((colo) => !/^[A-Z]{3}$/.test(colo));
  if (odd) throw new UsageError(`--expect ${JSON.stringify(odd)} is no Cloudflare location: three letters, e.g. ICN`);
  const path = parsed.path ?? "/v1/models";
  if (!path.startsWith("/")) throw new UsageError(`--path ${JSON.stringify(path)} does not begin with /`);
  const compare = (parsed.compare ?? []).flatMap(words);
  for (const host of compare) asUrl(host, "--compare");
  return {
    url: parsed.url === undefined ? undefined : asUrl(parsed.url, "--url"),
    runs: whole(parsed.runs, 5, "--runs", 100),
    path,
    direct: parsed.direct === undefined ? undefined : asUrl(parsed.direct, "--direct"),
    compare,
    expect,
    account: parsed.account,
    tunnel: parsed.tunnel,
    timeoutMs: whole(parsed.timeout, 10, "--timeout", 120) * 1000,
    json: parsed.json ?? false,
    help: parsed.help ?? false,
  };
}
