/** All commands share one command line. Each is run as `npm run` runs it. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { type Command, helpText, parseCommand } from "../../commands/cli.ts";
import { UsageError } from "../../commands/errors.ts";

const project = join(import.meta.dirname, "../..");
const { scripts } = z
  .object({ scripts: z.record(z.string(), z.string()) })
  .parse(JSON.parse(await readFile(join(project, "package.json"), "utf8")));
/** Name and main file of every command, from package.json. */
const commands = Object.entries(scripts).flatMap(([name, line]) => {
  const file = /^node (commands\/[\w-]+\/main\.ts)$/.exec(line)?.[1];
  // `npm run pulumi` has Pulumi's own command line; `docs:api` is for developers and takes no options.
  return file === undefined || name === "pulumi" || name === "docs:api" ? [] : [[name, file] as const];
});

/** Without a terminal, a stack or Pulumi on PATH. */
function run(file: string, args: readonly string[]) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const env = { PATH: dirname(process.execPath), HOME: "/nonexistent" };
    const child = spawn(process.execPath, [file, ...args], { cwd: project, env, stdio: ["ignore", "pipe", "pipe"] });
    const ran = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (ran.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (ran.stderr += text));
    child.once("error", reject).once("close", (code) => resolve({ ...ran, code }));
  });
}

/** What a pipe must not get: escapes, carriage returns, other control characters. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what the test looks for
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/;
/** Commands with a result. `init` and `ssh` are interactive, `up` has the output of `pulumi up`. */
const withJson = [
  "alerts",
  "capacity",
  "direct",
  "doctor",
  "explain",
  "preflight",
  "probe",
  "recover",
  "rotate",
  "usage",
];

it("every command is known to these tests", () => {
  expect(commands.map(([name]) => name).toSorted()).toEqual([...withJson, "callers", "init", "ssh", "up"].toSorted());
});

describe.each(commands)("npm run %s", (name, file) => {
  it("--help shows options, examples and exit codes", { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await run(file, ["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^Usage: npm run ${name} -- \\[options\\]`));
    for (const part of ["\nOptions:\n", "\nExamples:\n", "\nExit codes:\n", "  0  ", "  1  ", "  2  "]) {
      expect(stdout).toContain(part);
    }
    expect(stdout.split("\nExamples:\n")[1]).toContain(`npm run ${name}`);
    expect(stdout).not.toMatch(control);
    expect(stdout.includes("--json")).toBe(withJson.includes(name));
  });

  it("ends with 2 when it cannot run, without a stack trace or control characters", { timeout: 60_000 }, async () => {
    // `up` passes unknown options on, so it is asked something that it cannot do here: there is no Pulumi.
    const { code, stdout, stderr } = await run(file, name === "up" ? ["--no-preflight"] : ["--no-such-option"]);
    expect(code, stderr).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(name === "up" ? /pulumi` is not installed/ : /no-such-option/);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stderr).not.toMatch(control);
  });
});

describe("the command line", () => {
  const command = {
    name: "greet",
    summary: "Greets.",
    operands: "[name]",
    options: {
      loud: { type: "boolean", default: false, help: "in capitals" },
      from: { type: "string", short: "f", value: "WHO", help: "the sender" },
    },
    examples: [["npm run greet -- Kim", "greets Kim"]],
    exitCodes: { 1: "nobody there" },
  } as const satisfies Command;

  it("reads options and operands in any order", () => {
    expect(parseCommand(command, ["Kim", "--loud", "-f", "me"])).toEqual({
      values: { loud: true, from: "me" },
      positionals: ["Kim"],
    });
  });

  it("refuses unknown options, missing values and unexpected operands, with a hint to --help", () => {
    for (const args of [["--quiet"], ["--from"]]) {
      expect(() => parseCommand(command, args)).toThrow(UsageError);
      expect(() => parseCommand(command, args)).toThrow(/`npm run greet -- --help`/);
    }
    const { operands: _, ...without } = command;
    expect(() => parseCommand(without, ["Kim"])).toThrow(UsageError);
  });

  it("leaves the options of a command that follows alone", () => {
    const wrapper = { ...command, endsAtOperand: true };
    expect(parseCommand(wrapper, ["-f", "me", "ls", "-la", "--loud"])).toEqual({
      values: { from: "me", loud: false },
      positionals: ["ls", "-la", "--loud"],
    });
    expect(parseCommand(wrapper, ["--loud", "--", "--from"]).positionals).toEqual(["--from"]);
    expect(parseCommand(wrapper, []).positionals).toEqual([]);
  });

  it("prints help", () => {
    expect(helpText(command)).toBe(`Usage: npm run greet -- [options] [name]

Greets.

Options:
  --loud          in capitals
  -f, --from WHO  the sender
  -h, --help      print this text

Examples:
  npm run greet -- Kim  greets Kim

Exit codes:
  0  done, no problems found
  1  nobody there
  2  could not run: wrong usage, or the stack, an account or the Mac could not be read`);
  });
});
