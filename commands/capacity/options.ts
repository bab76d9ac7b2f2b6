/** The command line of `npm run capacity`. */
import type { ModelServerApi } from "../../runtime/model-servers.ts";
import { type Command, jsonOption, parseCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { type Language, langOption, languageOf } from "../language.ts";
import { APIS } from "./wire.ts";

const text = (value: string, help: string) => ({ type: "string", value, help }) as const;

export const command = {
  name: "capacity",
  summary:
    "How many requests at once does this Mac take, and how fast? Puts full load on the server: other callers wait meanwhile. " +
    "Ctrl-C ends it and reports what there is. CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET (default: the stack's first " +
    "server) are sent to --url only.",
  options: {
    url: text("URL", "the relay, or any server with OpenAI's or Ollama's API; default: the stack's hostname"),
    api: text("API", "openai or ollama; default: OpenAI's where the server has it"),
    model: text("NAME", "the model that answers; default: the first that can"),
    "embedding-model": text("NAME", "the model whose vectors are checked; default: by its name, else the same"),
    header: { ...text("'NAME: VALUE'", "sent with every request; can be repeated"), multiple: true },
    prompt: text("TOKENS", "length of a question; default: the ledger's median, else 200"),
    answers: text(
      "SHORT,LONG",
      "lengths of the answers in tokens, one or two; default: the ledger's median and 90th percentile, else 32,256",
    ),
    most: text("N", "highest concurrency; default: 64"),
    ttft: text("MS", "longest time to the first token; default: no limit"),
    minutes: text("N", "total time limit; default: 15"),
    tokens: text("N", "limit of output tokens; default: 500000"),
    seconds: text("N", "each level is measured this long at least, four times that at most; default: 5"),
    questions: text("N", "questions per user and hour; default: 20"),
    price: text("P", "a cloud's price per million output tokens"),
    currency: text("C", "of the price; default: USD"),
    admin: text("URL", "the relay's admin listener (on the Mac), to notice other callers and read the ledger"),
    ...langOption,
    html: text("FILE", "the report as a page; default: capacity.html"),
    ...jsonOption,
  },
  examples: [
    ["npm run capacity", "through the tunnel, as the stack's first server"],
    ["npm run capacity -- --url http://127.0.0.1:11434", "the model server itself, on the Mac"],
  ],
  exitCodes: { 0: "measured", 1: "ended early; the report has what there is", 2: "not measured" },
} as const satisfies Command;

/** What was asked for. */
export interface Options {
  readonly url: URL | undefined;
  readonly api: ModelServerApi | undefined;
  readonly model: string | undefined;
  readonly embeddingModel: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly promptTokens: number;
  readonly answers: readonly number[];
  /** Which of the two were given: the others can come from the ledger. */
  readonly given: { readonly prompt: boolean; readonly answers: boolean };
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
}

/** @throws UsageError with every problem at once */
export function readOptions(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Options {
  const given = parseCommand(command, args).values;
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
  const language = one("lang", ["ko", "en"] as const) ?? languageOf(env);
  const options: Options = {
    url: address("url"),
    api: one("api", APIS),
    model: given.model,
    embeddingModel: given["embedding-model"],
    headers,
    promptTokens: number("prompt", 200, 1, 1_000_000),
    answers: [...new Set(answers)].sort((a, b) => a - b),
    given: { prompt: given.prompt !== undefined, answers: given.answers !== undefined },
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
    json: given.json,
  };
  if (problems.length > 0) throw new UsageError(problems.join("\n"));
  return options;
}
