/** Commands over SSH. Semantics of pulumi-command 1.2.1, provider/pkg/provider/remote. */
import type { Client, SFTPWrapper } from "ssh2";
import type { Call, ResourceDefinition } from "../plugin/definition.ts";
import { any, boolean, list, map, string } from "../plugin/fields.ts";
import type { Props, Value } from "../plugin/values.ts";
import { commandId } from "./local.ts";
import { capture, environmentOf, loggingChoices, previousOutputs, runError } from "./output.ts";
import { connectionField, withSession } from "./ssh.ts";

const optionalText = (value: Value | undefined) => (typeof value === "string" ? value : undefined);

/** `Client.sftp` with an environment: documented in ssh2's README, missing in its types. */
interface SftpWithEnvironment {
  sftp(env: Record<string, string>, done: (error: Error | undefined, sftp: SFTPWrapper | undefined) => void): void;
}

/**
 * Whether the server accepts this variable (`AcceptEnv`). `exec` sends variables without waiting for a reply; opening an
 * SFTP session is the only call of ssh2 that waits, and SFTP itself need not be available.
 */
function accepts(client: Client, name: string, value: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asking = client as unknown as SftpWithEnvironment;
    asking.sftp({ [name]: value }, (error, sftp) => {
      sftp?.end();
      resolve(error?.message !== "Unable to set environment");
    });
  });
}

const hint = (name: string) =>
  `Unable to set '${name}'. This only works if the SSH server accepts it (AcceptEnv); otherwise write it before the command: ${name}=value command`;

async function variables(
  call: Call<unknown>,
  client: Client,
  inputs: Props,
  before: Props,
): Promise<Record<string, string>> {
  const wanted = environmentOf(inputs.environment);
  for (const [name, value] of Object.entries(wanted)) {
    if (!(await accepts(client, name, value)))
      throw new Error(`could not set environment variable "${name}": ${hint(name)}`);
  }
  const outputs = previousOutputs({ ...before, addPreviousOutputInEnv: inputs.addPreviousOutputInEnv });
  for (const [name, value] of Object.entries(outputs)) {
    if (await accepts(client, name, value)) wanted[name] = value;
    else call.log("warning", hint(name));
  }
  return wanted;
}

/** Runs the command on an open connection. @returns why it failed; undefined on exit code 0 */
function execute(
  client: Client,
  command: string,
  env: Record<string, string>,
  stdin: string,
  captured: ReturnType<typeof capture>,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const lost = () =>
      reject(new Error("wait: remote command exited without exit status or exit signal: the connection was lost"));
    client.once("close", lost);
    client.exec(command, { env }, (error, stream) => {
      if (error) return reject(error);
      let why: string | undefined = "wait: remote command exited without exit status or exit signal";
      stream.on("data", captured.stdout);
      stream.stderr.on("data", captured.stderr);
      stream.on("exit", (code: number | null, signal?: string) => {
        if (code === 0) why = undefined;
        else why = signal ? `Process exited from signal ${signal}` : `Process exited with status ${code}`;
      });
      stream.once("error", reject);
      stream.once("close", () => {
        client.removeListener("close", lost);
        resolve(why);
      });
      stream.end(stdin); // without stdin the command gets an empty input
    });
  });
}

/**
 * Runs one command over a session of its own. Cancelling closes the session; the remote process may go on.
 * @throws with the command and all it wrote when it does not exit with 0
 */
function run(call: Call<unknown>, command: string, inputs: Props, before: Props): Promise<Props> {
  return withSession(call, inputs.connection, async (client) => {
    const captured = capture(call, inputs.logging);
    const env = await variables(call, client, inputs, before);
    const why = await execute(client, command, env, optionalText(inputs.stdin) ?? "", captured);
    const { stdout, stderr, all } = captured.finish();
    if (why !== undefined) throw runError(why, command, all);
    return { stdout, stderr };
  });
}

/** `command:remote:Command`: create, then update (or create again) on any changed input, delete with the old state. */
export const remoteCommand: ResourceDefinition<unknown> = {
  token: "command:remote:Command",
  inputs: {
    addPreviousOutputInEnv: boolean(),
    connection: connectionField,
    create: string(),
    delete: string(),
    environment: map(string()),
    logging: string({ values: loggingChoices }),
    stdin: string(),
    triggers: list(any(), { replace: "whole" }),
    update: string(),
  },
  outputs: ["stdout", "stderr"],
  secretOutputs: ["connection"],
  changing: () => ["stdout", "stderr"],
  async create(call, inputs) {
    const command = optionalText(inputs.create);
    const ran = command === undefined ? { stdout: "", stderr: "" } : await run(call, command, inputs, {});
    return { id: commandId(call.urn), state: { ...inputs, ...ran } };
  },
  async update(call, _id, olds, inputs) {
    const before = { stdout: olds.stdout, stderr: olds.stderr };
    const command = optionalText(inputs.update) ?? optionalText(inputs.create);
    return { ...inputs, ...before, ...(command !== undefined && (await run(call, command, inputs, before))) };
  },
  async delete(call, _id, state) {
    const command = optionalText(state.delete);
    if (command !== undefined) await run(call, command, state, state);
  },
};
