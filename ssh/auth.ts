/** With what to sign in on a Mac: the SSH agent, or a key file. */
import { readFile } from "node:fs/promises";
import ssh2 from "ssh2";
import { describeHostKey } from "./host-key.ts";
import { noKey } from "./session-error.ts";

/** One or both. */
export interface Auth {
  /** Path of the agent's socket. */
  readonly agent?: string | undefined;
  /** OpenSSH's or PEM format, without a passphrase. */
  readonly privateKey?: Buffer | undefined;
}

/**
 * @param keyFile `--key`; else SLM_NETWORK_SSH_KEY; else the agent at SSH_AUTH_SOCK
 * @throws SessionError `no-key`
 */
export async function readAuth(
  keyFile: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Auth> {
  const file = keyFile ?? environment.SLM_NETWORK_SSH_KEY;
  if (file) {
    const privateKey = await readFile(file).catch((error: Error) => {
      throw noKey(`the key file ${file} can not be read (${error.message})`);
    });
    return { privateKey };
  }
  if (environment.SSH_AUTH_SOCK) return { agent: environment.SSH_AUTH_SOCK };
  throw noKey("there is no SSH agent (SSH_AUTH_SOCK is not set) and no key file");
}

/**
 * @returns fingerprints of the keys that will be offered, for an error to name
 * @throws SessionError `no-key` when there is none, it has a passphrase, or the agent does not answer
 */
export async function offeredKeys({ agent, privateKey }: Auth): Promise<string[]> {
  const keys: Buffer[] = [];
  if (privateKey !== undefined) {
    const parsed = ssh2.utils.parseKey(privateKey);
    if (parsed instanceof Error) throw noKey(`the key file can not be used (${parsed.message})`);
    if (!parsed.isPrivateKey()) throw noKey("the key file has a public key, not its private half");
    keys.push(parsed.getPublicSSH());
  }
  if (agent !== undefined) {
    const held = await keysOf(agent);
    if (held.length === 0 && keys.length === 0) throw noKey(`the SSH agent at ${agent} holds no key`);
    keys.push(...held);
  }
  if (keys.length === 0) throw noKey("there is neither an SSH agent nor a key file");
  return keys.map((key) => describeHostKey(key).fingerprint);
}

function keysOf(agent: string): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    new ssh2.OpenSSHAgent(agent).getIdentities((error, keys = []) => {
      if (error) return reject(noKey(`the SSH agent at ${agent} does not answer (${error.message})`));
      resolve(keys.flatMap((key) => ("getPublicSSH" in key ? [key.getPublicSSH()] : [])));
    });
  });
}
