/** The command line of `npm run ssh`. */
import { keyOption, parseCommand, stackOption } from "../cli.ts";
import { UsageError } from "../errors.ts";

export const command = {
  name: "ssh",
  summary: [
    "Opens a session on a Mac of the stack, with its host key checked, or runs a command there.",
    "--prepare prints what to paste once into the Mac's Terminal: Remote Login, the account, its key and its sudo.",
  ].join("\n"),
  operands: "[mac] [command …]",
  endsAtOperand: true,
  options: {
    ...keyOption,
    ...stackOption,
    "through-tunnel": {
      type: "boolean",
      default: false,
      help: "from outside the office, through Cloudflare (macs[].sshThroughTunnel; needs cloudflared)",
    },
    here: {
      type: "boolean",
      default: false,
      help: "with --through-tunnel: runs the command on this machine while the tunnel to the Mac is open",
    },
    prepare: { type: "boolean", default: false, help: "prints what prepares a Mac" },
    "public-key": { type: "string", value: "FILE", help: "with --prepare: your public key" },
    "inspect-key": {
      type: "string",
      value: "FILE",
      help: "with --prepare: a public key that can read the Mac's state and nothing else, for previews in CI",
    },
    user: { type: "string", value: "NAME", default: "deploy", help: "with --prepare: the account; default deploy" },
  },
  examples: [
    ["npm run ssh", "a session on the stack's only Mac"],
    ["npm run ssh -- studio uptime", "one command on the Mac studio"],
    ["npm run ssh -- --through-tunnel --here pulumi up", "deploys from outside the office"],
    ["npm run -s ssh -- --prepare --public-key ~/.ssh/id_ed25519.pub", "prepares a new Mac"],
  ],
  exitCodes: {
    0: "done",
    1: "the command's own exit code, if it has one",
    2: "could not run: wrong usage, or the Mac could not be reached",
  },
} as const;

/** What was asked for. */
export interface SshOptions {
  readonly throughTunnel: boolean;
  readonly here: boolean;
  readonly prepare: boolean;
  readonly key: string | undefined;
  readonly stack: string | undefined;
  readonly publicKey: string | undefined;
  /** Public key that may only read the Mac's state. */
  readonly inspectKey: string | undefined;
  readonly user: string;
  /** The Mac's name and the command, or only the command. */
  readonly words: readonly string[];
}

/** Options end at the first word that is not one: what follows is the Mac's name, or a command with options of its own. */
export function readSshOptions(args: readonly string[]): SshOptions {
  const { values, positionals } = parseCommand(command, args);
  const options = {
    throughTunnel: values["through-tunnel"],
    here: values.here,
    prepare: values.prepare,
    key: values.key,
    stack: values.stack,
    publicKey: values["public-key"],
    inspectKey: values["inspect-key"],
    user: values.user,
    words: positionals,
  };
  if (options.inspectKey !== undefined && !options.prepare)
    throw new UsageError("--inspect-key works with --prepare only");
  if (options.here && !options.throughTunnel) throw new UsageError("--here works with --through-tunnel only");
  if (options.here && positionals.length === 0) throw new UsageError("--here needs a command, e.g. pulumi up");
  return options;
}
