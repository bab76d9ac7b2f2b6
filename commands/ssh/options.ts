/** The command line of `npm run ssh`. */
import { StackError } from "../mac-settings.ts";

export const usage = `npm run ssh -- [options] [mac] [command…]     a session on a Mac of the stack, its host key checked

  --through-tunnel     from outside the office: by way of Cloudflare (macs[].sshThroughTunnel; needs cloudflared)
  --here               with --through-tunnel: run the command on this machine, with the way to the Mac open
                       e.g. npm run ssh -- --through-tunnel --here pulumi up
  --key FILE           private key to sign in with    (default: SLM_NETWORK_SSH_KEY, else the SSH agent)
  --stack NAME         else PULUMI_STACK, else the selected one

npm run ssh -- --prepare [--public-key FILE] [--user NAME]
  prints what is to be pasted into the Mac's Terminal once: Remote Login, the account, its key and its sudo

npm run ssh -- --prepare --inspect-key FILE [--user NAME]
  lets in a key that can read the Mac's state and do nothing else, for previews in CI`;

/** What was asked for. */
export interface SshOptions {
  readonly throughTunnel: boolean;
  readonly here: boolean;
  readonly prepare: boolean;
  readonly help: boolean;
  readonly key: string | undefined;
  readonly stack: string | undefined;
  readonly publicKey: string | undefined;
  /** Public key that may only read the Mac's state. */
  readonly inspectKey: string | undefined;
  readonly user: string;
  /** The Mac's name and the command, or only the command. */
  readonly words: readonly string[];
}

/** Options end at the first word that is none: what follows is the Mac's name or the command, which has options of its own. */
export function readSshOptions(args: readonly string[]): SshOptions {
  const flags = new Set<string>();
  const values = new Map<string, string>();
  const rest = [...args];
  while (rest[0]?.startsWith("-")) {
    const option = rest.shift() ?? "";
    if (option === "--") break;
    if (["--through-tunnel", "--here", "--prepare", "--help", "-h"].includes(option)) flags.add(option);
    else if (["--key", "--stack", "--public-key", "--inspect-key", "--user"].includes(option)) {
      const value = rest.shift();
      if (value === undefined) throw new StackError(`${option} wants a value\n\n${usage}`);
      values.set(option, value);
    } else throw new StackError(`${option} is not a known option of \`npm run ssh\`\n\n${usage}`);
  }
  const options = {
    throughTunnel: flags.has("--through-tunnel"),
    here: flags.has("--here"),
    prepare: flags.has("--prepare"),
    help: flags.has("--help") || flags.has("-h"),
    key: values.get("--key"),
    stack: values.get("--stack"),
    publicKey: values.get("--public-key"),
    inspectKey: values.get("--inspect-key"),
    user: values.get("--user") ?? "deploy",
    words: rest,
  };
  if (options.inspectKey !== undefined && !options.prepare)
    throw new StackError("--inspect-key goes with --prepare only");
  if (options.here && !options.throughTunnel) throw new StackError("--here goes with --through-tunnel only");
  if (options.here && rest.length === 0) throw new StackError("--here wants a command, e.g. pulumi up");
  return options;
}
