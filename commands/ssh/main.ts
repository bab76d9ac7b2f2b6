/** `npm run ssh`: a session on a Mac of the stack, and the text that prepares a Mac. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectCommand, inspectProgram } from "../../runtime/installer/mac-state.ts";
import { knownHosts, sshArguments } from "../../ssh/open-ssh.ts";
import { keyPlaceholder, prepareInspectText, prepareText } from "../../ssh/prepare.ts";
import { runCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { chooseMac, type MacEntry, type MacSettings, readMacSettings, targetOf } from "../mac-settings.ts";
import { readSshOptions, type SshOptions, command as sshCommand } from "./options.ts";
import { runHere, runProgram, tunnelCommand } from "./tunnel.ts";

/** The first word is the Mac's name; with a single Mac it may be omitted. */
function split({ macs }: MacSettings, words: readonly string[]): { mac: MacEntry; command: readonly string[] } {
  const isName = macs.some(({ name }) => name === words[0]);
  if (isName || macs.length > 1) return { mac: chooseMac(macs, words[0]), command: words.slice(1) };
  return { mac: chooseMac(macs, undefined), command: words };
}

async function readPublicKey(file: string): Promise<string> {
  const line = (await readFile(file, "utf8").catch(() => "")).trim();
  if (/^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( [^'\n]*)?$/.test(line)) return line;
  throw new UsageError(`${file} is not a public key: give the file that ends with .pub, e.g. ~/.ssh/id_ed25519.pub`);
}

async function prepare({ user, publicKey, inspectKey }: SshOptions): Promise<string> {
  if (!/^[a-z_][a-z0-9_-]{0,30}$/.test(user)) {
    throw new UsageError(
      `--user ${JSON.stringify(user)} is not an account name: use lower-case letters, digits, - and _`,
    );
  }
  if (inspectKey !== undefined) {
    return prepareInspectText(user, await readPublicKey(inspectKey), inspectCommand, inspectProgram);
  }
  if (!publicKey) {
    console.error(
      `put your public key where it says "${keyPlaceholder}", or let the command do it: --public-key ~/.ssh/id_ed25519.pub\n`,
    );
  }
  return prepareText(user, publicKey && (await readPublicKey(publicKey)));
}

await runCommand(sshCommand, async (args) => {
  const options = readSshOptions(args);
  if (options.prepare) {
    console.log(await prepare(options));
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
});
