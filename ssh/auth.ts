/** Credentials for a Mac: one named key, or the keys of the SSH agent. Every command and the program use the same rules. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import ssh2, { type BaseAgent } from "ssh2";
import { describeHostKey } from "./host-key.ts";
import { noKey } from "./session-error.ts";
import { publicKeyIn, SingleKeyAgent } from "./single-key-agent.ts";

/** A private key, or an agent, or one key of an agent. */
export interface Auth {
  /** Path of the agent's socket. */
  readonly agent?: string | undefined;
  /** Offer only this key of the agent; SSH wire format. */
  readonly only?: Buffer | undefined;
  /** OpenSSH's or PEM format, without a passphrase. */
  readonly privateKey?: Buffer | undefined;
}

/**
 * A named key is offered alone, as with OpenSSH's IdentitiesOnly: an agent with more keys than sshd's MaxAuthTries could be
 * refused before the right key is offered. The file is a private key; a private key with a passphrase or a public key selects
 * the agent's copy.
 * @param keyFile `--key`; else SLM_NETWORK_SSH_KEY; else the agent at SSH_AUTH_SOCK
 * @throws SessionError `no-key`
 */
export async function readAuth(
  keyFile: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Auth> {
  const file = keyFile || environment.SLM_NETWORK_SSH_KEY;
  const agent = environment.SSH_AUTH_SOCK || undefined;
  if (file) return namedKey(file.replace(/^~(?=\/)/, homedir()), agent);
  if (agent !== undefined) return { agent };
  throw noKey("there is no SSH agent (SSH_AUTH_SOCK is not set) and no key file");
}

async function namedKey(file: string, agent: string | undefined): Promise<Auth> {
  const read = (path: string) => readFile(path).catch((error: Error) => error);
  const content = await read(file);
  if (content instanceof Error) throw noKey(`the key file ${file} cannot be read (${content.message})`);
  const parsed = ssh2.utils.parseKey(content);
  if (!(parsed instanceof Error) && parsed.isPrivateKey()) return { privateKey: content };
  const beside = await read(`${file}.pub`);
  const only = publicKeyIn(content) ?? (beside instanceof Error ? undefined : publicKeyIn(beside));
  if (only === undefined) {
    const why = parsed instanceof Error ? parsed.message : "it is not an SSH key";
    throw noKey(`the key file ${file} cannot be used (${why})`);
  }
  const what = parsed instanceof Error ? "has a passphrase" : "is a public key";
  if (agent === undefined) {
    throw noKey(`the key file ${file} ${what}, so the SSH agent has to sign, and SSH_AUTH_SOCK is not set`);
  }
  return { agent, only };
}

/** @returns the agent for ssh2: the whole agent, or one that offers a single key */
export function agentOf({ agent, only }: Auth): string | BaseAgent | undefined {
  return agent !== undefined && only !== undefined ? new SingleKeyAgent(agent, only) : agent;
}

/**
 * @returns fingerprints of the keys that will be offered, for error messages
 * @throws SessionError `no-key` if there is no usable key, or the agent does not answer
 */
export async function offeredKeys({ agent, only, privateKey }: Auth): Promise<string[]> {
  const keys: Buffer[] = [];
  if (privateKey !== undefined) {
    const parsed = ssh2.utils.parseKey(privateKey);
    if (parsed instanceof Error) throw noKey(`the key file cannot be used (${parsed.message})`);
    if (!parsed.isPrivateKey()) throw noKey("the key file has a public key, not its private half");
    keys.push(parsed.getPublicSSH());
  }
  if (agent !== undefined) {
    const held = await keysOf(agent);
    if (held.length === 0 && keys.length === 0) throw noKey(`the SSH agent at ${agent} holds no key`);
    const wanted = only === undefined ? held : held.filter((key) => key.equals(only));
    if (only !== undefined && wanted.length === 0) {
      const has = held.map((key) => describeHostKey(key).fingerprint).join(", ");
      throw noKey(
        `the SSH agent at ${agent} does not hold the named key ${describeHostKey(only).fingerprint}; it has ${has}`,
      );
    }
    keys.push(...wanted);
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

/** Socket where a stack's `pulumi up` offers the key to @pulumi/command: relative, so the input is the same on every machine. */
export const programAgentPath = (stack: string): string => join("dist", "ssh-agent", `${stack}.sock`);
