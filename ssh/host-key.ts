/** Host keys of SSH servers: parsing, formatting and fetching. */
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import ssh2, { type ServerHostKeyAlgorithm } from "ssh2";
import { noHostKey, unreachable } from "./session-error.ts";

/** A host's public key. */
export interface HostKey {
  /** `ssh-ed25519 AAAA…`, the format of `hostKey` in the stack config. */
  readonly line: string;
  /** `SHA256:…`, as OpenSSH shows it (`ssh-keygen -lf`). */
  readonly fingerprint: string;
}

/**
 * Signature algorithms by key type; a server offers one key of each type. Not RSA: @pulumi/command (Go's SSH client) asks
 * for exactly the pinned kind, and `ssh-rsa` means SHA-1 there, which a current sshd refuses (golang/go#49952).
 */
const signatures: Record<string, ServerHostKeyAlgorithm[]> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
};

/** @param key SSH wire format */
export function describeHostKey(key: Buffer): HostKey {
  const type = key.subarray(4, 4 + key.readUInt32BE()).toString("latin1");
  const digest = createHash("sha256").update(key).digest("base64").replace(/=+$/, "");
  return { line: `${type} ${key.toString("base64")}`, fingerprint: `SHA256:${digest}` };
}

/** @param line `ssh-ed25519 AAAA… [comment]`. @returns its algorithms and wire format */
export function readHostKey(line: string): { key: Buffer; algorithms: ServerHostKeyAlgorithm[] } {
  const [type = "", base64 = ""] = line.trim().split(/\s+/);
  return { key: Buffer.from(base64, "base64"), algorithms: signatures[type] ?? [] };
}

/** @param line `hostKey` of the config. @returns whether it is an RSA key */
export const isRsa = (line: string): boolean => line.trim().startsWith("ssh-rsa ");

/** @returns whether the host has no key of a requested type */
export const noSuchKind = (error: unknown): boolean =>
  error instanceof Error && /no matching host key/i.test(error.message);

/** Host key algorithms to request, best first. */
export const allHostKeyAlgorithms = Object.values(signatures).flat();

/**
 * Fetches a host's key without signing in: ed25519 if it has one. The result is not authenticated: compare the fingerprint
 * with the output of `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host before using it.
 * @param over a stream to the host, if it is reached through a jump host. Waits at most 15 s.
 * @throws SessionError `unreachable`; `host-key` if the host has neither an ed25519 nor an ECDSA key
 */
export async function fetchHostKey(host: string, port: number, over?: Duplex): Promise<HostKey> {
  const client = new ssh2.Client();
  try {
    return await new Promise<HostKey>((resolve, reject) => {
      client.on("error", (error) =>
        reject(noSuchKind(error) ? noHostKey({ host, port }) : unreachable({ host, port }, error)),
      );
      client.on("close", () =>
        reject(unreachable({ host, port }, "the connection was closed before the host key arrived")),
      );
      client.connect({
        host,
        port,
        username: "nobody",
        readyTimeout: 15_000,
        algorithms: { serverHostKey: allHostKeyAlgorithms },
        hostVerifier: (key: Buffer) => {
          resolve(describeHostKey(key));
          return false; // only the key was wanted
        },
        ...(over && { sock: over }),
      });
    });
  } finally {
    client.destroy();
  }
}
