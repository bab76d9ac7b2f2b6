/**
 * An external SSH server instead of the built-in one: any that accepts a key and can force a command, such as OpenSSH's.
 */
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import ssh2, { type ParsedKey } from "ssh2";

/** Its address, and a key that it accepts. */
export interface OtherSsh {
  user: string;
  host: string;
  port: number;
  /** An ed25519 private key without a passphrase. */
  keyPath: string;
}

const connectWithinMs = 15_000;
const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * The program that makes an external server's session one on the Mac: `command="<this file>"` before the key in
 * `authorized_keys` (sshd(8)). `internal-sftp` is not a program, so OpenSSH's own sftp-server is located.
 */
export function writeSession(path: string, environment: Record<string, string>): void {
  const variables = Object.entries(environment).map(([name, value]) => `export ${name}=${quote(value)}`);
  const lines = [
    "#!/bin/sh",
    ...variables,
    'cd "$HOME" || exit 1',
    '[ -n "$SSH_ORIGINAL_COMMAND" ] || SSH_ORIGINAL_COMMAND=true',
    'case "$SSH_ORIGINAL_COMMAND" in internal-sftp*)',
    "  for program in /usr/lib/openssh /usr/libexec /usr/libexec/openssh /usr/lib/ssh; do",
    '    [ ! -x "$program/sftp-server" ] || exec "$program/sftp-server"',
    "  done",
    "esac",
    'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"',
  ];
  writeFileSync(path, `${lines.join("\n")}\n`);
  chmodSync(path, 0o755);
}

/** @throws Error that names the file and what it must be */
export function readKey(path: string): ParsedKey {
  const key = ssh2.utils.parseKey(readFileSync(path));
  if (key instanceof Error || key.type !== "ssh-ed25519" || !key.isPrivateKey()) {
    const what = key instanceof Error ? key.message : key.type;
    throw new Error(`SANDBOX_SSH_KEY is ${path} (${what}): it must be an ed25519 private key without a passphrase`);
  }
  return key;
}

/**
 * Signs in and checks that its sessions are this Mac's.
 * @returns the server's ed25519 host key, `ssh-ed25519 AAAA…`, trusted on first use: it is on this machine, or the user's
 * own
 * @throws Error saying what the server lacks, with the line for `authorized_keys`
 */
export async function reachOtherSsh(other: OtherSsh, key: ParsedKey, root: string, session: string): Promise<string> {
  const line = `command="${session}" ssh-ed25519 ${key.getPublicSSH().toString("base64")}`;
  const failed = (why: string) =>
    new Error(
      `SANDBOX_SSH is ${other.user}@${other.host}:${other.port}: ${why}. Let the key in there, with the emulated Mac's session: a line in ${other.user}'s authorized_keys\n${line}`,
    );
  const { hostKey, said } = await ask(other, 'command -v launchctl; echo "$SLM_NETWORK_ROOT"', failed);
  if (said.trim().split("\n").at(-1) !== root) throw failed("its sessions are not those of the emulated Mac");
  return hostKey;
}

/**
 * @returns the ed25519 host key of a server that accepts the key, trusted on first use. @throws Error naming the
 * requirements
 */
export async function hostKeyOf(other: OtherSsh, key: ParsedKey, what: string): Promise<string> {
  const line = `ssh-ed25519 ${key.getPublicSSH().toString("base64")}`;
  const failed = (why: string) =>
    new Error(
      `SANDBOX_SSH is ${other.user}@${other.host}:${other.port}: ${why}. It must be ${what}, with this line in ${other.user}'s authorized_keys\n${line}`,
    );
  return (await ask(other, "true", failed)).hostKey;
}

async function ask(other: OtherSsh, command: string, failed: (why: string) => Error) {
  const client = new ssh2.Client();
  let hostKey = "";
  try {
    await new Promise<void>((resolve, reject) => {
      client.once("ready", resolve).once("error", (error) => reject(failed(error.message)));
      client.connect({
        host: other.host,
        port: other.port,
        username: other.user,
        privateKey: readFileSync(other.keyPath),
        algorithms: { serverHostKey: ["ssh-ed25519"] },
        readyTimeout: connectWithinMs,
        hostVerifier: (offered: Buffer) => {
          hostKey = `ssh-ed25519 ${offered.toString("base64")}`;
          return true;
        },
      });
    });
    const said = await new Promise<string>((resolve, reject) => {
      client.exec(command, (error, channel) => {
        if (error) reject(failed(error.message));
        else text(channel).then(resolve, reject);
      });
    });
    return { hostKey, said };
  } finally {
    client.end();
  }
}
