/** The Pulumi command, as far as a rotation needs it. */
import { spawn } from "node:child_process";
import { z } from "zod";
import { type DeployedSecret, deployedSecrets, tokenName } from "../accounts/rotation.ts";
import { programName } from "./init/adopt/adoptable.ts";
import { Refusal } from "./rotate/plan.ts";

/** The checkout, where `Pulumi.yaml` is. */
export interface Engine {
  project: string;
  /** `pulumi`, by default the one on PATH. */
  command: string;
}

/** What it said, and how it ended. */
export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs it without a question; never throws for its exit code. @param input goes to its standard input */
export function run(engine: Engine, args: readonly string[], input = ""): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(engine.command, [...args, "--non-interactive", "--color=never"], {
      cwd: engine.project,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const ran: Ran = { code: null, stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      ran.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      ran.stderr += text;
    });
    child.stdin.on("error", () => {}); // it did not read; its exit code says why
    child.stdin.end(input);
    child.once("error", (error) =>
      reject(
        new Refusal(
          `the command \`pulumi\` cannot be run (${error.message}): install it, https://www.pulumi.com/docs/install/`,
        ),
      ),
    );
    child.once("close", (code) => resolve({ ...ran, code }));
  });
}

/** @returns the stack that is selected. @throws Refusal when there is none */
export async function selectedStack(engine: Engine): Promise<string> {
  const ran = await run(engine, ["stack", "--show-name"]);
  if (ran.code === 0 && ran.stdout.trim()) return ran.stdout.trim();
  throw new Refusal(
    `no stack is selected: give --stack <name>, or \`pulumi stack select\`. (pulumi said: ${ran.stderr.trim()})`,
  );
}

const outputsSchema = z.object({ serviceTokenEndOfLife: z.record(z.string(), z.string()).optional() });

/** @returns when a server's token ends, in milliseconds since 1970; undefined when the stack cannot be read or does not say */
export async function endOfLifeOf(engine: Engine, stack: string, server: string): Promise<number | undefined> {
  try {
    const ran = await run(engine, ["stack", "output", "--json", "--stack", stack]);
    const outputs = outputsSchema.parse(JSON.parse(ran.stdout));
    const end = Date.parse(outputs.serviceTokenEndOfLife?.[server] ?? "");
    return Number.isNaN(end) ? undefined : end;
  } catch {
    return undefined; // not signed in, or not yet deployed: the rotation itself needs neither
  }
}

const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(
      z.object({ urn: z.string(), type: z.string(), outputs: z.record(z.string(), z.unknown()).default({}) }),
    ),
  }),
});

/** @returns the secret that the last deployment left a server; undefined when it left none, or the state cannot be read */
export async function deployedSecretOf(
  engine: Engine,
  stack: string,
  server: string,
): Promise<DeployedSecret | undefined> {
  try {
    const ran = await run(engine, ["stack", "export", "--stack", stack]);
    const { resources } = stateSchema.parse(JSON.parse(ran.stdout)).deployment;
    const deployed = resources.map((one) => ({ ...one, name: one.urn.split("::").at(-1) ?? "" }));
    return deployedSecrets([server], (name) => tokenName(programName, name), deployed).get(server);
  } catch {
    return undefined; // as above; `up` looks again
  }
}

/** Writes a secret into the stack file, encrypted. It goes through standard input: a command line is seen by everybody. */
export async function setSecret(engine: Engine, stack: string, key: string, value: string): Promise<void> {
  const ran = await run(engine, ["config", "set", "--secret", key, "--stack", stack], value);
  if (ran.code !== 0)
    throw new Refusal(`\`pulumi config set --secret ${key}\` ended with ${ran.code}: ${ran.stderr.trim()}`);
}
