/** A sandbox of the tests' own, driven as a person drives it: by its command, and by the engine's. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { withoutStrays } from "../../sandbox/providers/environment.ts";
import { type Ready, readySchema } from "../../sandbox/ready.ts";

/** The checkout. */
export const project = join(import.meta.dirname, "../..");
/** The tests' sandbox, beside the one a person may have running. */
export let folder = join(project, ".sandbox-test");
/** Gives a test file a sandbox of its own; to be called before anything else. @param name `.sandbox-<name>` */
export function inFolder(name: string): void {
  folder = join(project, name);
}

/** What a program printed, and how it ended. */
export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end, at most ten minutes; never throws for its exit code. @param cwd by default the project */
export function run(
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
  cwd = project,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      // As after `--env`: what a developer has in the shell for a real stack stays out.
      env: { ...withoutStrays(process.env), SANDBOX_DIR: folder, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 600_000,
    });
    const ran: Ran = { code: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      ran.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      ran.stderr += text;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ ...ran, code }));
  });
}

/** `npm run sandbox -- <args>` */
export const sandbox = (...args: string[]): Promise<Ran> => run(process.execPath, ["sandbox/main.ts", ...args]);

/** What the running sandbox wrote. @throws when it is not ready */
export async function ready(): Promise<Ready> {
  return readySchema.parse(JSON.parse(await readFile(join(folder, "sandbox.json"), "utf8")));
}

/** Starts it and waits until it is ready. @throws with everything it printed when it is not */
export async function start(): Promise<Ready> {
  const ran = await sandbox("--detach");
  if (ran.code !== 0) throw new Error(`the sandbox did not start (${ran.code}):\n${ran.stdout}\n${ran.stderr}`);
  return ready();
}

/** The engine's own command, with the variables that `--env` prints. */
export const pulumi = (to: Ready, ...args: string[]): Promise<Ran> =>
  run(to.pulumi.bin, [...args, "--non-interactive", "--color=never"], to.environment);

/** The two headers of a server. */
export function tokenHeaders(of: Ready): Record<string, string> {
  const token = of.serviceTokens.backend;
  if (!token) throw new Error("the sandbox has no token for the server `backend`");
  return { "CF-Access-Client-Id": token.clientId, "CF-Access-Client-Secret": token.clientSecret };
}

/** OpenAI's own client, as a server of the company would make it. */
export const openai = (of: Ready): OpenAI =>
  new OpenAI({ baseURL: `${of.url}/v1`, apiKey: "not used", defaultHeaders: tokenHeaders(of), maxRetries: 0 });

/** Command lines of processes that belong to the tests' sandbox. */
export async function strays(): Promise<string[]> {
  const { stdout } = await run("ps", ["-axo", "command"]);
  return stdout.split("\n").filter((line) => line.includes(`${folder}/mac/`));
}

/** Asks `question` every 50 ms until it says yes. @throws after `withinMs` */
export async function eventually(question: () => Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await question())) {
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
