/** Runs the Pulumi CLI in this checkout. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { UsageError } from "./errors.ts";

/** The checkout, where `Pulumi.yaml` is. */
export const project = join(import.meta.dirname, "..");

/** How a program ended. Output is trimmed. */
export interface Ran {
  /** undefined: the program is not installed. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program gets besides its arguments. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** For standard input, where nobody else can read it, unlike arguments. */
  readonly input?: string;
  /** @default no limit */
  readonly timeoutMs?: number;
}

/** Runs a program in the checkout until it ends. Never throws. */
export async function run(
  command: string,
  args: readonly string[],
  { env = process.env, input = "", timeoutMs }: RunOptions = {},
): Promise<Ran> {
  const child = spawn(command, [...args], { cwd: project, env, stdio: ["pipe", "pipe", "pipe"] });
  // Not spawn's own timeout: its timer outlives a program that could not be started.
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => child.kill(), timeoutMs);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => {}); // it ended without reading: its exit code says why
  child.stdin.end(input);
  const code = await new Promise<number | undefined>((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("close", (ended) => resolve(ended ?? 1));
  });
  clearTimeout(timer);
  return { code, stdout: stdout.trim(), stderr: stderr.replace(/^error: /m, "").trim() };
}

/** Runs `pulumi` without questions and colours. @throws UsageError when it is not installed */
export async function runPulumi(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const ran = await run("pulumi", [...args, "--non-interactive", "--color=never"], options);
  if (ran.code !== undefined) return ran;
  throw notInstalled();
}

/** @returns the error for a machine without Pulumi */
export const notInstalled = (): UsageError =>
  new UsageError("the command `pulumi` is not installed: https://www.pulumi.com/docs/install/");

/** @returns the name of the stack to work on: `--stack`, else PULUMI_STACK, else the selected one. @throws UsageError */
export async function stackName(option: string | undefined): Promise<string> {
  const named = option ?? (process.env.PULUMI_STACK || undefined);
  if (named !== undefined) return named;
  const ran = await runPulumi(["stack", "--show-name"]);
  if (ran.code === 0 && ran.stdout) return ran.stdout;
  throw new UsageError(
    `no stack is selected: give --stack <name>, or \`pulumi stack select\`. (Pulumi: ${ran.stderr})`,
  );
}

/** @param stack may be a full name, organisation/project/stack. @returns the path of its stack file */
export const stackFile = (stack: string, folder = project): string => join(folder, stackFileName(stack));
export const stackFileName = (stack: string): string => `Pulumi.${stack.split("/").at(-1)}.yaml`;
