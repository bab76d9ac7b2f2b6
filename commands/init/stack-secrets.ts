/** The stack and its secrets: whether the stack exists, creating it, generating its secrets. */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { Refusal } from "../errors.ts";
import { runPulumi } from "../pulumi-cli.ts";
import { type Encrypted, encryptionOf } from "./stack-file.ts";

const whoSchema = z.object({ user: z.string().optional(), url: z.string().optional() });
const stacksSchema = z.array(z.object({ name: z.string() }));

/** Where the stack's state is stored, and whether the stack exists. */
export interface StackState {
  readonly backend: string;
  readonly exists: boolean;
}

/**
 * @param hasOwnProvider the stack file names a secrets provider that needs no passphrase
 * @throws Refusal without a login, or without a passphrase to encrypt secrets with
 */
export async function readStackState(
  stack: string,
  hasOwnProvider: boolean,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<StackState> {
  const who = await runPulumi(["whoami", "--json"]);
  if (who.code !== 0) {
    throw new Refusal(
      `Pulumi has no place for the stack's state yet (${who.stderr.trim().split("\n")[0]}). On this machine: --local-state; for several people: npm run pulumi -- login (docs/state.md)`,
    );
  }
  const { url = "" } = whoSchema.parse(JSON.parse(who.stdout));
  const ownKeys = /^https?:/.test(url); // Pulumi Cloud, or a compatible server, encrypts with its own keys
  const passphrase = environment.PULUMI_CONFIG_PASSPHRASE || environment.PULUMI_CONFIG_PASSPHRASE_FILE;
  if (!ownKeys && !hasOwnProvider && !passphrase) {
    throw new Refusal(
      [
        "the stack's secrets are encrypted with a passphrase, and none is set. For an existing stack put its passphrase into .env;",
        "for a new one generate it there, and keep a copy in a password manager:",
        '  (umask 077; echo "PULUMI_CONFIG_PASSPHRASE=$(openssl rand -base64 24)" >> .env)',
      ].join("\n"),
    );
  }
  const stacks = await runPulumi(["stack", "ls", "--json"]);
  if (stacks.code !== 0) throw new Refusal(`\`pulumi stack ls\` ended with ${stacks.code}: ${stacks.stderr.trim()}`);
  const names = stacksSchema.parse(JSON.parse(stacks.stdout)).map(({ name }) => name);
  return { backend: url, exists: names.some((name) => name === stack || name.split("/").at(-1) === stack) };
}

/**
 * Creates the stack. The engine writes the encryption settings into the stack file and reformats the rest.
 * @throws Refusal
 */
export async function createStack(stack: string): Promise<void> {
  const ran = await runPulumi(["stack", "init", stack]);
  if (ran.code !== 0) throw new Refusal(`\`pulumi stack init ${stack}\` ended with ${ran.code}: ${ran.stderr.trim()}`);
}

/**
 * Encrypts secrets: those given, and 32 random bytes for each of the others. The engine encrypts them into a temporary file, so that the stack file itself is
 * written once, with its comments and blank lines.
 * @param secrets by key; undefined: random
 * @param settings of the encryption, from the stack file
 * @returns what the stack file needs
 */
export async function createSecrets(
  stack: string,
  secrets: ReadonlyMap<string, string | undefined>,
  settings: Encrypted["settings"],
): Promise<Encrypted> {
  const folder = await mkdtemp(join(tmpdir(), "slm-init-"));
  try {
    const file = join(folder, "stack.yaml");
    await writeFile(file, stringify(settings), { mode: 0o600 });
    // Sequential: each run rewrites the whole file.
    for (const [key, value] of secrets) {
      const args = ["config", "set", "--secret", `slm-network:${key}`, "--stack", stack, "--config-file", file];
      const ran = await runPulumi(args, { input: value ?? randomBytes(32).toString("base64") });
      if (ran.code !== 0)
        throw new Refusal(`\`pulumi config set --secret ${key}\` ended with ${ran.code}: ${ran.stderr.trim()}`);
    }
    return encryptionOf(await readFile(file, "utf8"));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns a secret of the stack; undefined when it cannot be read */
export async function storedSecret(stack: string, key: string): Promise<string | undefined> {
  const ran = await runPulumi(["config", "get", `slm-network:${key}`, "--stack", stack]);
  return ran.code === 0 ? ran.stdout.trim() || undefined : undefined;
}
