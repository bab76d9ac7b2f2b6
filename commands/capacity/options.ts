/** The command line of `npm run capacity`. */
import { parseArgs } from "node:util";
import type { Language } from "./language.ts";

export const usage = `npm run capacity [-- options]     how many requests at once does this Mac take, and how fast?

  --url URL              the relay, or any server with OpenAI's or Ollama's API   (default: the stack's hostname)
  --api openai|ollama    which API to speak                     (default: OpenAI's where it is offered)
  --model NAME           the model that answers                 (default: the first that can)
  --embedding-model NAME the model whose vectors are checked    (default: one by its name, else the same)
  --header 'Name: value' sent with every request; may be repeated
  --prompt TOKENS        length of a question                   (default: 200)
  --answers SHORT,LONG   lengths of the answers in tokens, one or two   (default: 32,256)
  --most N               most at once that is tried             (default: 64)
  --ttft MS              no more than this to the first token   (default: no bound)
  --minutes N            all together, at most                  (default: 15)
  --tokens N             output tokens at most                  (default: 500000)
  --seconds N            each level is measured this long at least, at most four times that   (default: 5)
  --questions N          questions of one user in an hour       (default: 20)
  --price P, --currency C   a cloud's price of a million output tokens
  --admin URL            the relay's admin listener (on the Mac), to notice other callers
  --lang ko|en           (default: as the shell's LANG)
  --html FILE            the report as a page                   (default: capacity.html)
  --json                 for a machine, on standard output

Environment: CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET (default: the stack's first server), sent to --url only.
It puts full load on the server: other callers wait meanwhile. Ctrl-C ends it and reports what there is.
Exit code: 0 measured; 1 ended early; 2 not measured.`;

/** What was asked for. */
export interface Options {
  readonly url: URL | undefined;
  readonly api: "openai" | "ollama" | undefined;
  readonly model: string | undefined;
  readonly embeddingModel: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly promptTokens: number;
  readonly answers: readonly number[];
  readonly most: number;
  readonly ttftMs: number | undefined;
  readonly withinMs: number;
  readonly tokens: number;
  readonly levelMs: number;
  readonly questionsPerHour: number;
  readonly pricePerMillion: number | undefined;
  readonly currency: string;
  readonly admin: URL | undefined;
  readonly language: Language;
  readonly html: string;
  readonly json: boolean;
  readonly help: boolean;
}

/** The command line cannot be used; the message names every problem and its fix. */
export class UsageError extends Error {
  override name = "UsageError";
}

const text = { type: "string" } as const;
const flags = {
  url: text,
  api: text,
  model: text,
  "embedding-model": text,
  header: { type: "string", multiple: true },
  prompt: text,
  answers: text,
  most: text,
  ttft: text,
  minutes: text,
  tokens: text,
  seconds: text,
  questions: text,
  price: text,
  currency: text,
  admin: text,
  lang: text,
  html: text,
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** @throws UsageError with every problem at once */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Options {
  const given = parse(args);
  const problems: string[] = [];
  const number = (name: keyof typeof given, fallback: number, least: number, most: number, isWhole = true): number => {
    const value = Number(given[name] ?? fallback);
    if (Number.isFinite(value) && value >= least && value <= most && (!isWhole || Number.isInteger(value)))
      return value;
    const kind = isWhole ? "a whole number" : "a number";
    problems.push(`--${name} is ${JSON.stringify(given[name])}: it must be ${kind} from ${least} to ${most}`);
    return fallback;
  };
  const address = (name: "url" | "admin"): URL | undefined => {
    const value = given[name];
    if (value === undefined) return undefined;
    const url = URL.parse(value.includes("://") ? value : `https://${value}`);
    if (url && /^https?:$/.test(url.protocol)) return url;
    problems.push(`--${name} is ${JSON.stringify(value)}: it must be an address, e.g. https://slm.example.com`);
    return undefined;
  };
  const one = <T extends string>(name: "api" | "lang", choices: readonly T[]): T | undefined => {
    const value = given[name];
    const found = choices.find((choice) => choice === value);
    if (value !== undefined && found === undefined)
      problems.push(`--${name} is ${JSON.stringify(value)}: it must be ${choices.join(" or ")}`);
    return found;
  };
  const answers = (given.answers ?? "32,256").split(",").map(Number);
  if (answers.length > 2 || answers.some((value) => !Number.isInteger(value) || value < 1 || value > 100_000)) {
    problems.push(
      `--answers is ${JSON.stringify(given.answers)}: it must be one or two numbers of tokens, e.g. 32,256`,
    );
  }
  const headers: Record<string, string> = {};
  for (const header of given.header ?? []) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*(\S.*)$/.exec(header) ?? [];
    if (name && value) headers[name] = value;
    else problems.push(`--header is not of the form 'Name: value'`); // its value may be a secret
  }
  const language = one("lang", ["ko", "en"] as const) ?? (/^ko/.test(env.LC_ALL || env.LANG || "") ? "ko" : "en");
  const options: Options = {
    url: address("url"),
    api: one("api", ["openai", "ollama"] as const),
    model: given.model,
    embeddingModel: given["embedding-model"],
    headers,
    promptTokens: number("prompt", 200, 1, 1_000_000),
    answers: [...new Set(answers)].sort((a, b) => a - b),
    most: number("most", 64, 1, 512),
    ttftMs: given.ttft === undefined ? undefined : number("ttft", 1000, 1, 3_600_000),
    withinMs: number("minutes", 15, 0.1, 1440, false) * 60_000,
    tokens: number("tokens", 500_000, 100, 1e9),
    levelMs: number("seconds", 5, 0.5, 600, false) * 1000,
    questionsPerHour: number("questions", 20, 0.01, 100_000, false),
    pricePerMillion: given.price === undefined ? undefined : number("price", 1, 0, 1e9, false),
    currency: given.currency ?? "USD",
    admin: address("admin"),
    language,
    html: given.html ?? "capacity.html",
    json: given.json ?? false,
    help: given.help ?? false,
  };
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return options;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}
