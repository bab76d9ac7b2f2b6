/**
 * The command line that all commands share: options, `--help` with examples, documented exit codes, errors without a stack
 * trace. A thin layer over node:util's parseArgs, which parses but prints no help.
 */
import { type ParseArgsOptionDescriptor, parseArgs } from "node:util";
import { SessionError } from "../ssh/session.ts";
import { readEnvFile } from "./env-file.ts";
import { Refusal, UsageError } from "./errors.ts";

/** An option of parseArgs, with its line of `--help`. */
export interface Option extends ParseArgsOptionDescriptor {
  /** Placeholder of the value: `NAME`. */
  readonly value?: string;
  readonly help: string;
}

type Options = Readonly<Record<string, Option>>;

/** A command as its user sees it. */
export interface Command<O extends Options = Options> {
  /** Of `npm run <name>`. */
  readonly name: string;
  /** One sentence: what it does and what it leaves alone. */
  readonly summary: string;
  /** What follows the options: `[mac] [command …]`. Without it, arguments that are not options are refused. */
  readonly operands?: string;
  readonly options: O;
  /** Command lines and what each does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** What the exit codes mean here, where that is more than `exitCodes`. */
  readonly exitCodes?: Readonly<Partial<Record<0 | 1 | 2, string>>>;
  /** The first operand ends the options: what follows has options of its own. */
  readonly endsAtOperand?: boolean;
}

/** What every command's exit codes mean. Documented in docs/operations.md. */
export const exitCodes = {
  0: "done, no problems found",
  1: "problems found, or refused: the message says what to do",
  2: "could not run: wrong usage, or the stack, an account or the Mac could not be read",
} as const;

/** The option that every command with a result has. */
export const jsonOption = {
  json: { type: "boolean", default: false, help: "print the result as JSON" },
} as const satisfies Options;

/** The option that every command about a stack has. */
export const stackOption = {
  stack: { type: "string", value: "NAME", help: "default: PULUMI_STACK, else the selected stack" },
} as const satisfies Options;

/** The option that every command that signs in to a Mac has. */
export const keyOption = {
  key: {
    type: "string",
    value: "FILE",
    help: "private key to sign in with; default: SLM_NETWORK_SSH_KEY, else the SSH agent",
  },
} as const satisfies Options;

const helpOption = { help: { type: "boolean", short: "h", help: "print this text" } } as const satisfies Options;

/** Options and operands as given. */
export type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;

/** @throws UsageError for an unknown option, a missing value, or operands that the command does not take */
export function parseCommand<const O extends Options>(command: Command<O>, args: readonly string[]): Parsed<O> {
  const own = command.endsAtOperand ? args.slice(0, operandIndex(command, args)) : args;
  try {
    const { values, positionals } = parseArgs({
      args: [...own],
      options: { ...command.options, ...helpOption },
      allowPositionals: command.operands !== undefined,
    });
    const rest = command.endsAtOperand
      ? args.slice(own.length).filter((arg, at) => at > 0 || arg !== "--")
      : positionals;
    return { values, positionals: rest } as unknown as Parsed<O>;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${reason}\n\`npm run ${command.name} -- --help\` lists the options.`);
  }
}

/** Where the operands begin: at the first argument that is neither an option nor an option's value. */
function operandIndex(command: Command, args: readonly string[]): number {
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...command.options, ...helpOption },
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const first = tokens.find(({ kind }) => kind !== "option");
  return first?.index ?? args.length;
}

/** @returns the text of `--help` */
export function helpText(command: Command): string {
  const { name, summary, operands, options, examples } = command;
  const rows = Object.entries({ ...options, ...helpOption }).map(
    ([key, option]: [string, Option]): [string, string] => [
      `${option.short ? `-${option.short}, ` : ""}--${key}${option.type === "string" ? ` ${option.value ?? "VALUE"}` : ""}`,
      option.help,
    ],
  );
  const codes = Object.entries({ ...exitCodes, ...command.exitCodes });
  return [
    `Usage: npm run ${name} -- [options]${operands ? ` ${operands}` : ""}`,
    "",
    summary,
    "",
    "Options:",
    ...columns(rows),
    "",
    "Examples:",
    ...columns(examples),
    "",
    "Exit codes:",
    ...codes.map(([code, meaning]) => `  ${code}  ${meaning}`),
  ].join("\n");
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(44, Math.max(...rows.map(([left]) => left.length)) + 2);
  return rows.flatMap(([left, right]) =>
    left.length < width ? [`  ${left.padEnd(width)}${right}`] : [`  ${left}`, `  ${" ".repeat(width)}${right}`],
  );
}

/**
 * Runs a command, with the variables of `.env`, and sets the process's exit code.
 * @param body gets the arguments; resolves with an exit code; with nothing, that is 0
 */
export async function runCommand<O extends Options>(
  command: Command<O>,
  body: (args: readonly string[]) => Promise<number> | Promise<void>,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  try {
    if (asksForHelp(command, args)) return console.log(helpText(command));
    readEnvFile();
    process.exitCode = (await body(args)) ?? 0;
  } catch (error) {
    const isForUser = [UsageError, Refusal, SessionError].some((kind) => error instanceof kind);
    console.error(isForUser ? (error as Error).message : error);
    process.exitCode = error instanceof Refusal ? 1 : 2;
  }
}

function asksForHelp(command: Command, args: readonly string[]): boolean {
  const own = command.endsAtOperand ? args.slice(0, operandIndex(command, args)) : args;
  const { values } = parseArgs({
    args: [...own],
    options: { ...command.options, ...helpOption },
    allowPositionals: true,
    strict: false,
  });
  return values.help === true;
}
