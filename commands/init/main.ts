/**
 * `npm run init`: finds out what it can, asks the rest, and writes `Pulumi.<stack>.yaml` with its secrets. Changes nothing in
 * any account and nothing on the Mac: `pulumi up` does that.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { createTwoFilesPatch } from "diff";
import { atlasLookups } from "../../accounts/atlas.ts";
import { runCommand } from "../cli.ts";
import { Refusal, UsageError } from "../errors.ts";
import { project, stackFile } from "../pulumi-cli.ts";
import { replaceFile } from "../replace-file.ts";
import { adopt } from "./adopt/adopt.ts";
import { withTokenVersions } from "./adopt/token-versions.ts";
import { accountsOf, gatherAnswers, say } from "./answers.ts";
import { type Encryption, ensureBackend } from "./machine.ts";
import { command, type Options, readOptions } from "./options.ts";
import { type Asker, asker as makeAsker } from "./prompts.ts";
import {
  type Before,
  encryptionOf,
  missingSecrets,
  readBefore,
  readConfig,
  setting,
  writeAnswers,
  writeEncrypted,
} from "./stack-file.ts";
import { createSecrets, createStack, readStackState, type StackState } from "./stack-secrets.ts";

/** Asks, writes the file and its secrets. @returns the hostname */
async function init(file: string, before: Before, options: Options, asker: Asker): Promise<string> {
  refuseUnasked(options, before);
  await ensureBackend(encryption(before), { asker, say, local: options.localState });
  const state = await readStackState(options.stack, encryption(before).hasOwnProvider);
  say(`state: ${state.backend}`);
  const answers = await gatherAnswers(options, asker, before);
  const model = await readFile(join(project, "Pulumi.prod.yaml"), "utf8");
  const after = writeAnswers(before, model, options.stack, answers);
  readConfig(after, file);
  await refuseUnagreed(basename(file), before, after, { options, asker });
  await complete(file, after, options.stack, state, answers.model.newKey);
  return answers.account.hostname;
}

/** A file without a secrets provider of its own, or with a passphrase's salt, needs the passphrase. */
function encryption({ text }: Before): Encryption {
  const hasSalt = /^encryptionsalt:/m.test(text);
  return { hasSalt, hasOwnProvider: /^(secretsprovider|encryptedkey):/m.test(text) && !hasSalt };
}

/** Creates the stack and the missing secrets, then writes the file in one step. */
async function complete(
  file: string,
  text: string,
  stack: string,
  state: StackState,
  modelKey?: string,
): Promise<void> {
  if (!state.exists) await createStack(stack);
  const { settings } = encryptionOf(await readText(file));
  const missing = missingSecrets(text);
  const secrets = new Map<string, string | undefined>(missing.map((key) => [key, undefined]));
  if (modelKey !== undefined) secrets.set("modelKey", modelKey);
  const encrypted = await createSecrets(stack, secrets, settings);
  await replaceFile(file, writeEncrypted(text, encrypted));
  say(`wrote ${basename(file)}`);
  if (missing.length > 0) say(`generated and encrypted: ${missing.join(", ")}`);
  if (modelKey !== undefined) say("encrypted: modelKey, which the relay alone sends to the model server");
}

/** A complete file needs no questions; the stack and the secrets may be missing after the state was lost. */
async function completeAsItIs(file: string, before: Before, { stack }: Options): Promise<string> {
  const { hostname } = readConfig(before.text, file);
  const state = await readStackState(stack, encryption(before).hasOwnProvider);
  if (!state.exists || missingSecrets(before.text).length > 0) await complete(file, before.text, stack, state);
  return hostname;
}

async function adoptExisting(file: string, { stack, tokens }: Options, asker: Asker): Promise<void> {
  console.log("\nExisting resources");
  const text = await readText(file);
  const config = readConfig(text, file);
  const { cloudflare, atlas } = accountsOf(readBefore(text, file));
  const { count, versions } = await adopt({
    stack,
    config,
    cloudflare,
    atlas: atlasLookups(atlas),
    tokensOf: tokens,
    asker,
  });
  if (versions.size > 0) {
    await replaceFile(file, withTokenVersions(text, versions));
    const shown = [...versions].map(([server, { secretVersion }]) => `${server}: secretVersion ${secretVersion}`);
    say(
      `${basename(file)} has the versions of the tokens' secrets (${shown.join(", ")}), which \`up\` would put back to 1`,
    );
  }
  if (count > 0)
    say(`adopted: ${count}. Nothing has changed in the accounts; \`pulumi preview\` shows what \`up\` will change`);
}

const readText = (file: string): Promise<string> =>
  readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });

/** With --yes everything that cannot be found out must be given. Lists all that is missing at once. */
function refuseUnasked(options: Options, before: Before): void {
  if (!options.yes) return;
  const missing = [
    ...((options.macHost ?? setting(before, "macs", 0, "host"))
      ? []
      : ["--mac-host: the Mac's address or name in the office's network"]),
    ...((options.hostKey ?? setting(before, "macs", 0, "hostKey"))
      ? []
      : ["--host-key: on the Mac, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows it (SHA256:…)"]),
  ];
  if (missing.length > 0) {
    throw new Refusal(
      `with --yes nothing is asked, so these options are required:\n${missing.map((one) => `  ${one}`).join("\n")}`,
    );
  }
}

/** A file with a config is changed only after the user has seen the difference and agreed. */
async function refuseUnagreed(
  name: string,
  before: Before,
  after: string,
  { options, asker }: { options: Options; asker: Asker },
): Promise<void> {
  if (before.isEmpty || after === before.text) return;
  console.log(`\n${createTwoFilesPatch(`${name} (now)`, `${name} (after)`, before.text, after)}`);
  if (options.force || (await asker.agree(`Change ${name} like this?`, before.isExample))) return;
  throw new Refusal(
    `${name} is unchanged${asker.asks ? "" : ": with --yes an existing file is changed only with --force"}`,
  );
}

function next({ stack }: Options, hostname: string): string {
  return [
    "",
    "Next:",
    `  pulumi stack select ${stack}`,
    "  npm run preflight     what would make `pulumi up` fail",
    "  pulumi preview        what would be created",
    "  npm run up",
    `Then servers call https://${hostname} with two headers (README.md).`,
    `Commit Pulumi.${stack}.yaml; keep a copy of the passphrase in a password manager (docs/state.md).`,
  ].join("\n");
}

await runCommand(command, async (args) => {
  const options = readOptions(args);
  if (!options.yes && !process.stdin.isTTY) {
    throw new UsageError("there is no terminal to ask at: give --yes and the options (`npm run init -- --help`)");
  }
  const asker = makeAsker(!options.yes);
  const file = stackFile(options.stack);
  const before = readBefore(await readText(file), file);
  const isFilled = setting(before, "accountId") !== undefined;
  // With a complete stack file, adopting is all that is left to do.
  try {
    const name =
      options.adopt && isFilled
        ? await completeAsItIs(file, before, options)
        : await init(file, before, options, asker);
    if (options.adopt) await adoptExisting(file, options, asker);
    console.log(next(options, name));
  } catch (error) {
    // Ctrl-C at a question.
    if (error instanceof Error && error.name === "ExitPromptError") throw new Refusal("cancelled: nothing was written");
    throw error;
  }
});
