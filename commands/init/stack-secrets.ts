/** The Pulumi command, as far as init needs it: is it usable, is the stack there, are its secrets made. */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { type Engine, run } from "../pulumi.ts";
import { InitRefusal } from "../refusal.ts";
import { type Encrypted, encryptionOf } from "./stack-file.ts";

const whoSchema = z.object({ user: z.string().optional(), url: z.string().optional() });
const stacksSchema = z.array(z.object({ name: z.string() }));

/** Where the stack's state is kept, and whether the stack is there. */
export interface EngineState {
  readonly backend: string;
  readonly exists: boolean;
}

/**
 * @param hasOwnProvider the stack file names a secrets provider that needs no passphrase
 * @throws InitRefusal when nobody is logged in, or there is no passphrase to encrypt secrets with
 */
export async function readEngine(
  engine: Engine,
  stack: string,
  hasOwnProvider: boolean,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<EngineState> {
  const who = await run(engine, ["whoami", "--json"]);
  if (who.code !== 0) {
    throw new InitRefusal(
      `Pulumi has no place for the stack's state yet (${who.stderr.trim().split("\n")[0]}). On this machine alone: mkdir -p ~/slm-state && pulumi login file://~/slm-state; or with several people: pulumi login (docs/state.md)`,
    );
  }
  const { url = "" } = whoSchema.parse(JSON.parse(who.stdout));
  const ownKeys = /^https?:/.test(url); // Pulumi Cloud, or a server like it, encrypts with keys of its own
  const passphrase = environment.PULUMI_CONFIG_PASSPHRASE || environment.PULUMI_CONFIG_PASSPHRASE_FILE;
  if (!ownKeys && !hasOwnProvider && !passphrase) {
    throw new InitRefusal(
      [
        "the stack's secrets are encrypted with a passphrase, and there is none in the environment. Make one, and keep a copy where you keep passwords:",
        "  (umask 077; openssl rand -base64 24 > ~/slm-passphrase)",
        "  export PULUMI_CONFIG_PASSPHRASE_FILE=~/slm-passphrase",
      ].join("\n"),
    );
  }
  const stacks = await run(engine, ["stack", "ls", "--json"]);
  if (stacks.code !== 0)
    throw new InitRefusal(`\`pulumi stack ls\` ended with ${stacks.code}: ${stacks.stderr.trim()}`);
  const names = stacksSchema.parse(JSON.parse(stacks.stdout)).map(({ name }) => name);
  return { backend: url, exists: names.some((name) => name === stack || name.split("/").at(-1) === stack) };
}

/**
 * Makes the stack. The engine writes the encryption's settings into the stack file, and rewrites the rest of the file.
 * @throws InitRefusal
 */
export async function makeStack(engine: Engine, stack: string): Promise<void> {
  const ran = await run(engine, ["stack", "init", stack]);
  if (ran.code !== 0)
    throw new InitRefusal(`\`pulumi stack init ${stack}\` ended with ${ran.code}: ${ran.stderr.trim()}`);
}

/**
 * Makes secrets of 32 random bytes each and has the engine encrypt them, in a file beside the stack's, so that the stack's
 * own is written once, whole, with its blank lines.
 * @param settings the encryption's, from the stack file
 * @returns what the stack file needs of it
 */
export async function makeSecrets(
  engine: Engine,
  stack: string,
  keys: readonly string[],
  settings: Encrypted["settings"],
): Promise<Encrypted> {
  const folder = await mkdtemp(join(tmpdir(), "slm-init-"));
  try {
    const file = join(folder, "stack.yaml");
    await writeFile(file, stringify(settings), { mode: 0o600 });
    // One after the other: each run writes the whole file.
    for (const key of keys) {
      const args = ["config", "set", "--secret", `slm-network:${key}`, "--stack", stack, "--config-file", file];
      const ran = await run(engine, args, randomBytes(32).toString("base64"));
      if (ran.code !== 0)
        throw new InitRefusal(`\`pulumi config set --secret ${key}\` ended with ${ran.code}: ${ran.stderr.trim()}`);
    }
    return encryptionOf(await readFile(file, "utf8"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
