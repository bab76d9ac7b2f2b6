/** Commands on the machine the engine runs on. Semantics of pulumi-command 1.2.1, provider/pkg/provider/local. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, matchesGlob, relative, sep } from "node:path";
import type { Call, FunctionDefinition, ResourceDefinition } from "../plugin/definition.ts";
import { any, boolean, type Fields, list, map, string } from "../plugin/fields.ts";
import { Asset, type Props } from "../plugin/values.ts";
import { capture, environmentOf, loggingChoices, previousOutputs, runError } from "./output.ts";

const runFields: Fields = {
  addPreviousOutputInEnv: boolean(),
  archivePaths: list(string()),
  assetPaths: list(string()),
  dir: string(),
  environment: map(string()),
  interpreter: list(string()),
  logging: string({ values: loggingChoices }),
  stdin: string(),
};
const outputs = ["stdout", "stderr", "assets", "archive"];

const strings = (value: unknown) => (Array.isArray(value) ? value.map(String) : []);
const optionalText = (value: unknown) => (typeof value === "string" ? value : undefined);

/** Files under `dir` selected by the patterns; a pattern with `!` excludes earlier matches. */
async function collect(dir: string, patterns: string[]): Promise<Props> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  const chosen: Props = {};
  for (const file of files.sort()) {
    const name = relative(dir, file).split(sep).join("/");
    let take = false;
    for (const pattern of patterns) {
      const exclude = pattern.startsWith("!");
      if (matchesGlob(name, exclude ? pattern.slice(1) : pattern)) take = !exclude;
    }
    if (!take) continue;
    const hash = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
    chosen[name] = new Asset("asset", { path: join(dir, name), hash });
  }
  return chosen;
}

/**
 * Runs one command; the engine's cancellation kills it.
 * @param before the outputs of an earlier run, for PULUMI_COMMAND_STDOUT and _STDERR
 * @throws when it cannot be started or does not exit with 0
 */
async function run(call: Call<unknown>, command: string, inputs: Props, before: Props): Promise<Props> {
  const interpreter = strings(inputs.interpreter);
  const [program, ...args] = interpreter.length > 0 ? [...interpreter, command] : ["/bin/sh", "-c", command];
  const dir = optionalText(inputs.dir) ?? process.cwd();
  const captured = capture(call, inputs.logging);
  call.signal.throwIfAborted();
  const child = spawn(program ?? "/bin/sh", args, {
    cwd: dir,
    env: {
      ...process.env,
      ...environmentOf(inputs.environment),
      ...previousOutputs({ ...before, addPreviousOutputInEnv: inputs.addPreviousOutputInEnv }),
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdout.on("data", captured.stdout);
  child.stderr.on("data", captured.stderr);
  child.stdin.on("error", () => {}); // a command may exit without reading its input
  child.stdin.end(optionalText(inputs.stdin) ?? "");
  const kill = () => {
    child.kill("SIGKILL");
    // A grandchild may hold the pipes open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  call.signal.addEventListener("abort", kill, { once: true });
  try {
    const why = await new Promise<string | undefined>((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) =>
        resolve(code === 0 ? undefined : signal ? `signal: ${signal}` : `exit status ${code}`),
      );
    });
    const { stdout, stderr, all } = captured.finish();
    if (why !== undefined) throw runError(why, command, all);
    const result: Props = { stdout, stderr };
    if (inputs.assetPaths) result.assets = await collect(dir, strings(inputs.assetPaths));
    if (inputs.archivePaths) {
      result.archive = new Asset("archive", { assets: await collect(dir, strings(inputs.archivePaths)) });
    }
    return result;
  } finally {
    call.signal.removeEventListener("abort", kill);
  }
}

/** A resource's id: its name and eight hexadecimal digits. */
export function commandId(urn: string): string {
  return `${urn.split("::").at(-1) ?? ""}${randomBytes(4).toString("hex")}`;
}

/** `command:local:Command`: create, then update (or create again) on any changed input, delete with the old state's text. */
export const localCommand: ResourceDefinition<unknown> = {
  token: "command:local:Command",
  inputs: {
    ...runFields,
    create: string(),
    delete: string(),
    triggers: list(any(), { replace: "whole" }),
    update: string(),
  },
  outputs,
  changing: () => outputs,
  async create(call, inputs) {
    const command = optionalText(inputs.create);
    const ran = command === undefined ? { stdout: "", stderr: "" } : await run(call, command, inputs, {});
    return { id: commandId(call.urn), state: { ...inputs, ...ran } };
  },
  async update(call, _id, olds, inputs) {
    const { stdout, stderr, assets, archive } = olds;
    const before = { stdout, stderr, assets, archive };
    const command = optionalText(inputs.update) ?? optionalText(inputs.create);
    return { ...inputs, ...before, ...(command !== undefined && (await run(call, command, inputs, before))) };
  },
  async delete(call, _id, state) {
    const command = optionalText(state.delete);
    if (command !== undefined) await run(call, command, state, state);
  },
};

/** `command:local:run`: runs at every preview and update. */
export const localRun: FunctionDefinition<unknown> = {
  token: "command:local:run",
  inputs: { ...runFields, command: string({ required: true }) },
  async invoke(call, inputs) {
    return { ...inputs, ...(await run(call, String(inputs.command), inputs, {})) };
  },
};
