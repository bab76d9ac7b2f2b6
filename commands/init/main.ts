/**
 * `npm run init`: finds out what it can, asks the rest, and writes `Pulumi.<stack>.yaml` with its secrets. Changes nothing in
 * any account and nothing on the Mac; that is `pulumi up`'s.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { createTwoFilesPatch } from "diff";
import { atlasLookups } from "../../accounts/atlas.ts";
import { SessionError } from "../../ssh/session.ts";
import type { Engine } from "../pulumi.ts";
import { InitRefusal } from "../refusal.ts";
import { Refusal } from "../rotate/plan.ts";
import { adopt } from "./adopt/adopt.ts";
import { withTokenVersions } from "./adopt/token-versions.ts";
import { accountsOf, findOut, say } from "./answers.ts";
import { type Options, readOptions, usage } from "./options.ts";
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
import { type EngineState, makeSecrets, makeStack, readEngine } from "./stack-secrets.ts";

const project = join(import.meta.dirname, "../..");
const engine: Engine = { project, command: "pulumi" };

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) return console.log(usage);
  if (!options.yes && !process.stdin.isTTY) {
    throw new InitRefusal(`there is no terminal to ask at: give --yes and the flags\n\n${usage}`);
  }
  const asker = makeAsker(!options.yes);
  const file = join(project, `Pulumi.${options.stack.split("/").at(-1)}.yaml`);
  const before = readBefore(await readText(file), file);
  const isFilled = setting(before, "accountId") !== undefined;
  // With a file that says all of it, taking over is all that is wanted.
  const name =
    options.adopt && isFilled ? await completeAsItIs(file, before, options) : await init(file, before, options, asker);
  if (options.adopt) await takeOver(file, options, asker);
  console.log(next(options, name));
}

/** Asks, writes the file and its secrets. @returns the hostname */
async function init(file: string, before: Before, options: Options, asker: Asker): Promise<string> {
  refuseUnasked(options, before);
  const state = await readEngine(engine, options.stack, hasOwnProvider(before));
  say(`the stack's state is kept at ${state.backend}`);
  const answers = await findOut(options, asker, before);
  const model = await readFile(join(project, "Pulumi.prod.yaml"), "utf8");
  const after = writeAnswers(before, model, options.stack, answers);
  readConfig(after, file);
  await refuseUnagreed(basename(file), before, after, { options, asker });
  await complete(file, after, options.stack, state);
  return answers.account.hostname;
}

/** A file that names no secrets provider, or the passphrase's salt, needs the passphrase. */
const hasOwnProvider = ({ text }: Before): boolean =>
  /^(secretsprovider|encryptedkey):/m.test(text) && !/^encryptionsalt:/m.test(text);

/** Makes the stack and the secrets that are missing, and writes the file, all of it in one step. */
async function complete(file: string, text: string, stack: string, state: EngineState): Promise<void> {
  if (!state.exists) await makeStack(engine, stack);
  const { settings } = encryptionOf(await readText(file));
  const missing = missingSecrets(text);
  const encrypted = await makeSecrets(engine, stack, missing, settings);
  await replace(file, writeEncrypted(text, encrypted));
  say(`${basename(file)} is written`);
  if (missing.length > 0) say(`secrets made and encrypted: ${missing.join(", ")}`);
}

/** Nothing is asked about a file that says all of it; the stack and secrets may be missing when a state was lost. */
async function completeAsItIs(file: string, before: Before, { stack }: Options): Promise<string> {
  const { hostname } = readConfig(before.text, file);
  const state = await readEngine(engine, stack, hasOwnProvider(before));
  if (!state.exists || missingSecrets(before.text).length > 0) await complete(file, before.text, stack, state);
  return hostname;
}

async function takeOver(file: string, { stack, tokens }: Options, asker: Asker): Promise<void> {
  console.log("\nWhat is there already");
  const text = await readText(file);
  const config = readConfig(text, file);
  const { cloudflare, atlas } = accountsOf(readBefore(text, file));
  const { count, versions } = await adopt({
    engine,
    stack,
    config,
    cloudflare,
    atlas: atlasLookups(atlas),
    tokensOf: tokens,
    asker,
  });
  if (versions.size > 0) {
    await replace(file, withTokenVersions(text, versions));
    const shown = [...versions].map(([server, { secretVersion }]) => `${server}: secretVersion ${secretVersion}`);
    say(
      `${basename(file)} has the versions of the tokens' secrets (${shown.join(", ")}), which \`up\` would put back to 1`,
    );
  }
  if (count > 0)
    say(`taken over: ${count}. Nothing has changed in the accounts; \`pulumi preview\` shows what \`up\` will change`);
}

const readText = (file: string): Promise<string> =>
  readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });

/** Nobody is asked: then everything that cannot be found out must be there. All that is missing is said at once. */
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
    throw new InitRefusal(
      `with --yes nobody is asked, so this must be given:\n${missing.map((one) => `  ${one}`).join("\n")}`,
    );
  }
}

/** A file that has a config already is changed only after the difference was shown and agreed to. */
async function refuseUnagreed(
  name: string,
  before: Before,
  after: string,
  { options, asker }: { options: Options; asker: Asker },
): Promise<void> {
  if (before.isEmpty || after === before.text) return;
  console.log(`\n${createTwoFilesPatch(`${name} (now)`, `${name} (after)`, before.text, after)}`);
  if (options.force || (await asker.agree(`Change ${name} like this?`, before.isExample))) return;
  throw new InitRefusal(
    `${name} is as it was${asker.asks ? "" : ": with --yes a file that is there is changed only with --force"}`,
  );
}

/** Writes a file in one step. */
async function replace(file: string, text: string): Promise<void> {
  const beside = `${file}.${process.pid}`;
  await writeFile(beside, text);
  await rename(beside, file);
}

function next({ stack }: Options, hostname: string): string {
  return [
    "",
    "Next:",
    `  pulumi stack select ${stack}`,
    "  npm run preflight     what would stop `pulumi up`, before it starts",
    "  pulumi preview        what would be made; nothing is yet",
    "  pulumi up",
    `Then servers call https://${hostname} with two headers (README.md).`,
    `Keep Pulumi.${stack}.yaml in the repository, and the passphrase where you keep passwords (docs/state.md).`,
  ].join("\n");
}

try {
  await main();
} catch (error) {
  const isLeft = error instanceof Error && error.name === "ExitPromptError"; // Ctrl-C at a question
  const isExpected = [InitRefusal, Refusal, SessionError].some((kind) => error instanceof kind);
  console.error(isLeft ? "left: nothing was written" : isExpected ? `\n${(error as Error).message}` : error);
  process.exitCode = 1;
}
