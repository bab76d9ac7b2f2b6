/** The command line of `npm run probe`. */
import { jsonOption, parseCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";

/** A direct line's base URL, unless its config says otherwise. */
const defaultDirect = "http://127.0.0.1:18400";

export const command = {
  name: "probe",
  summary: [
    "Measures where callers enter Cloudflare from this machine, and where the time of a request goes.",
    "Environment: CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET (default: the stack's first server; sent to --url and --direct only),",
    "CLOUDFLARE_API_TOKEN to find out where the connectors are.",
  ].join("\n"),
  options: {
    url: { type: "string", value: "URL", help: "what to measure; default: the stack's hostname (a sandbox: its edge)" },
    runs: { type: "string", value: "N", help: "new connections per IP version, 1 to 100; default 5" },
    path: { type: "string", value: "PATH", help: "a path that the relay answers; default /v1/models" },
    direct: {
      type: "string",
      value: "URL",
      help: `measures the direct line too, on its own server; without a URL: ${defaultDirect}`,
    },
    compare: {
      type: "string",
      value: "HOST,…",
      multiple: true,
      help: "other names to measure too: another zone, a workers.dev name",
    },
    expect: {
      type: "string",
      value: "COLO,…",
      help: "where callers should enter; default: route.expectColo of the stack, else ICN",
    },
    account: { type: "string", value: "ID", help: "whose connectors to ask about; default: the stack's account" },
    tunnel: { type: "string", value: "ID", help: "the tunnel of those connectors; default: the stack's" },
    timeout: { type: "string", value: "SECONDS", help: "limit for each part of a connection; default 10" },
    ...jsonOption,
  },
  examples: [
    ["npm run probe", "the selected stack"],
    ["npm run probe -- --url https://slm.example.com", "from a caller's machine"],
    ["npm run probe -- --direct", "on a server with a direct line: both roads side by side"],
    ["npm run probe -- --compare other.example.net --json", "beside another zone, for a script"],
  ],
  exitCodes: {
    0: "callers enter as expected",
    1: "they enter elsewhere, or a challenge blocks them",
    2: "nothing could be measured, or wrong usage",
  },
} as const;

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
    throw new UsageError(`${option} ${JSON.stringify(text)} is not an address: give e.g. https://slm.example.com`);
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

/** Completes `--direct`: its value may be left out, which parseArgs has no type for. Another URL is given as `--direct=URL`. */
export const completeArgs = (args: readonly string[]): string[] =>
  args.map((arg) => (arg === "--direct" ? `--direct=${defaultDirect}` : arg));

/** @param args of `completeArgs` @throws UsageError */
export function readOptions(args: readonly string[]): Options {
  const { values: parsed } = parseCommand(command, args);
  const expect = parsed.expect === undefined ? undefined : words(parsed.expect).map((colo) => colo.toUpperCase());
  const odd = expect?.find((colo) => !/^[A-Z]{3}$/.test(colo));
  if (odd)
    throw new UsageError(`--expect ${JSON.stringify(odd)} is not a Cloudflare location: three letters, e.g. ICN`);
  const path = parsed.path ?? "/v1/models";
  if (!path.startsWith("/")) throw new UsageError(`--path ${JSON.stringify(path)} must begin with /`);
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
    json: parsed.json,
  };
}
