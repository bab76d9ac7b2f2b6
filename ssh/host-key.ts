/** Host keys of SSH servers: how they are written, shown and asked for. */
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import ssh2, { type ServerHostKeyAlgorithm } from "ssh2";
import { noHostKey, unreachable } from "./session-error.ts";

/** A host's public key. */
export interface HostKey {
  /** `ssh-ed25519 AAAA…`, as `hostKey` of the stack's config wants it. */
  readonly line: string;
  /** `SHA256:…`, as OpenSSH shows it (`ssh-keygen -lf`). */
  readonly fingerprint: string;
}

/**
 * How a key of each kind signs; a server offers one key of each kind it has. Not RSA: @pulumi/command (Go's SSH client) asks
 * for exactly the pinned kind, and `ssh-rsa` means SHA-1 there, which a current sshd refuses (golang/go#49952).
 */
const signatures: Record<string, ServerHostKeyAlgorithm[]> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
};

/** @param key its SSH wire form. @returns line and fingerprint */
export function describeHostKey(key: Buffer): HostKey {
  const type = key.subarray(4, 4 + key.readUInt32BE()).toString("latin1");
  const digest = createHash("sha256").update(key).digest("base64").replace(/=+$/, "");
  return { line: `${type} ${key.toString("base64")}`, fingerprint: `SHA256:${digest}` };
}

/** @param line `ssh-ed25519 AAAA… [comment]`. @returns its kind and wire form */
export function readHostKey(line: string): { key: Buffer; algorithms: ServerHostKeyAlgorithm[] } {
  const [type = "", base64 = ""] = line.trim().split(/\s+/);
  return { key: Buffer.from(base64, "base64"), algorithms: signatures[type] ?? [] };
}

/** @param line `hostKey` of the config. @returns whether it is an RSA key */
export const isRsa = (line: string): boolean => line.trim().startsWith("ssh-rsa ");

/** @returns whether the host broke off because it has no key of a kind that was asked for */
export const noSuchKind = (error: unknown): boolean =>
  error instanceof Error && /no matching host key/i.test(error.message);

/** The kinds of key to ask for, the best first. */
export const allHostKeyAlgorithms = Object.values(signatures).flat();

/**
 * Asks a host for its key, without signing in: ed25519 if it has one. Nobody vouches for what comes back: compare the
 * fingerprint with what the Mac itself says (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) before it is used.
 * @param over a stream to the host, when it is reached through another one. Waits at most 15 s.
 * @throws SessionError `unreachable`; `host-key` when the host has neither an ed25519 nor an ECDSA key
 */
export async function fetchHostKey(host: string, port: number, over?: Duplex): Promise<HostKey> {
  const client = new ssh2.Client();
  try {
    return await new Promise<HostKey>((resolve, reject) => {
      client.on("error", (error) =>
        reject(noSuchKind(error) ? noHostKey({ host, port }) : unreachable({ host, port }, error)),
      );
      client.on("close", () => reject(unreachable({ host, port }, "the connection was closed before its key came")));
      client.connect({
        host,
        port,
        username: "nobody",
        readyTimeout: 15_000,
        algorithms: { serverHostKey: allHostKeyAlgorithms },
        hostVerifier: (key: Buffer) => {
          resolve(describeHostKey(key));
          return false; // it is all that was wanted
        },
        ...(over && { sock: over }),
      });
    });
  } finally {
    client.destroy();
  }
}
