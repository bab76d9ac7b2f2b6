/**
 * What init needs of this machine: a place for the stack's state, a passphrase, a Cloudflare API token. What is missing is
 * created or asked for, and kept in `.env`, so that a new terminal has it and no shell history does.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { neededPermissions } from "../../accounts/permissions.ts";
import { writeEnvFile } from "../env-file.ts";
import { Refusal } from "../errors.ts";
import { runPulumi } from "../pulumi-cli.ts";
import type { Asker } from "./prompts.ts";
import { tokenInstructions } from "./token-link.ts";

/** What decides about the passphrase. */
export interface Encryption {
  /** The stack file names a secrets provider of its own. */
  readonly hasOwnProvider: boolean;
  /** The stack file has a passphrase's salt: only that passphrase will do. */
  readonly hasSalt: boolean;
}

interface Machine {
  readonly asker: Asker;
  readonly say: (line: string) => void;
  /** `--local-state`: without asking. */
  readonly local: boolean;
}

/** Ensures that Pulumi has a place for the state and something to encrypt secrets with. @throws Refusal when nobody can be asked */
export async function ensureBackend(encryption: Encryption, machine: Machine): Promise<void> {
  const { asker, say, local } = machine;
  let backend = await backendUrl();
  if (backend === undefined && (asker.asks || local)) {
    if (!local) await chooseLocal(asker);
    const folder = join(homedir(), "slm-state");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Whole, not with a tilde: Pulumi resolves that by the user database, which may differ from HOME.
    say(`state: ${folder}, noted in ${await writeEnvFile({ PULUMI_BACKEND_URL: `file://${folder}` })}`);
    backend = await backendUrl();
  }
  // Pulumi Cloud, or a compatible server, encrypts with its own keys.
  if (backend === undefined || /^https?:/.test(backend) || encryption.hasOwnProvider || encryption.hasSalt) return;
  if (process.env.PULUMI_CONFIG_PASSPHRASE || process.env.PULUMI_CONFIG_PASSPHRASE_FILE) return;
  if (!asker.asks && !local) return; // readStackState says what is missing
  const passphrase = randomBytes(24).toString("base64");
  const file = await writeEnvFile({ PULUMI_CONFIG_PASSPHRASE: passphrase });
  say(`passphrase: generated into ${file}. Without it the stack's secrets are lost: copy it to a password manager now`);
}

async function chooseLocal(asker: Asker): Promise<void> {
  const where = await asker.choose<"local" | "cloud">({
    flag: "--local-state",
    given: undefined,
    question: "Where is the stack's state kept?",
    choices: [
      { value: "local", shown: "on this machine, in ~/slm-state", keys: [] },
      { value: "cloud", shown: "in Pulumi Cloud, for several people and pull requests", keys: [] },
    ],
  });
  if (where === "cloud") throw new Refusal("run `npm run pulumi -- login`, then `npm run init` again");
}

const whoSchema = z.object({ url: z.string().optional() });

/** @returns the backend's URL; undefined without a login */
async function backendUrl(): Promise<string | undefined> {
  const who = await runPulumi(["whoami", "--json"]);
  return who.code === 0 ? (whoSchema.parse(JSON.parse(who.stdout)).url ?? "") : undefined;
}

/**
 * Asks for the Cloudflare API token when none is set, with a link to a form that has its permissions ticked.
 * @param uses what of the config needs further permissions
 */
export async function ensureCloudflareToken(
  apiToken: string | undefined,
  uses: Parameters<typeof neededPermissions>[0],
  { asker, say }: Pick<Machine, "asker" | "say">,
): Promise<void> {
  if (apiToken || !asker.asks) return;
  for (const line of tokenInstructions(neededPermissions(uses, false))) say(line);
  const value = (await asker.secret("The token's value:")).trim();
  say(`token: kept in ${await writeEnvFile({ CLOUDFLARE_API_TOKEN: value })}`);
}
