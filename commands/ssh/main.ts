/** `npm run ssh`: a session on a Mac of the stack, and what prepares a Mac for it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectCommand, inspectProgram } from "../../runtime/installer/mac-state.ts";
import { knownHosts, sshArguments } from "../../ssh/open-ssh.ts";
import { keyPlaceholder, prepareInspectText, prepareText } from "../../ssh/prepare.ts";
import { isExpected } from "../expected-error.ts";
import { chooseMac, type MacEntry, type MacSettings, readMacSettings, StackError, targetOf } from "../mac-settings.ts";
import { readSshOptions, usage } from "./options.ts";
import { runHere, runProgram, tunnelCommand } from "./tunnel.ts";

/** The first word may name the Mac; with one Mac it need not. */
function split({ macs }: MacSettings, words: readonly string[]): { mac: MacEntry; command: readonly string[] } {
  const isName = macs.some(({ name }) => name === words[0]);
  if (isName || macs.length > 1) return { mac: chooseMac(macs, words[0]), command: words.slice(1) };
  return { mac: chooseMac(macs, undefined), command: words };
}

async function readPublicKey(file: string): Promise<string> {
  const line = (await readFile(file, "utf8").catch(() => "")).trim();
  if (/^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( [^'\n]*)?$/.test(line)) return line;
  throw new StackError(`${file} is not a public key: give the file that ends with .pub, e.g. ~/.ssh/id_ed25519.pub`);
}

async function main(): Promise<number> {
  const options = readSshOptions(process.argv.slice(2));
  if (options.help) {
    console.log(usage);
    return 0;
  }
  if (options.prepare) {
    if (!/^[a-z_][a-z0-9_-]{0,30}$/.test(options.user)) {
      throw new StackError(
        `--user ${JSON.stringify(options.user)} is not a valid account name: lower-case letters, digits, - and _`,
      );
    }
    if (options.inspectKey !== undefined) {
      const key = await readPublicKey(options.inspectKey);
      console.log(prepareInspectText(options.user, key, inspectCommand, inspectProgram));
      return 0;
    }
    if (!options.publicKey) {
      console.error(
        `put your public key where it says "${keyPlaceholder}", or have it put there: --public-key ~/.ssh/id_ed25519.pub\n`,
      );
    }
    console.log(prepareText(options.user, options.publicKey && (await readPublicKey(options.publicKey))));
    return 0;
  }
  const { mac, command } = split(await readMacSettings(options.stack), options.words);
  if (options.here) return runHere(mac, command);
  const through = options.throughTunnel ? tunnelCommand(mac) : undefined;
  const target = targetOf(mac);
  const folder = await mkdtemp(join(tmpdir(), "slm-network-ssh-"));
  try {
    await writeFile(join(folder, "known_hosts"), knownHosts(target), { mode: 0o600 });
    const key = (options.key ?? process.env.SLM_NETWORK_SSH_KEY) || undefined;
    return await runProgram(["ssh", ...sshArguments(target, folder, command, { key, through })]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(isExpected(error) ? error.message : error);
  process.exitCode = 2;
}
