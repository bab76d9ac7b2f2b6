/** The Mac's host key and the administrator's key pair: created once, then reused. */
import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ssh2, { type ParsedKey } from "ssh2";

/** An ed25519 key, as a file and parsed. */
export interface KeyPair {
  /** Private key in OpenSSH's format, 0600. */
  privateKeyPath: string;
  privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  publicKey: string;
  parsed: ParsedKey;
}

/**
 * Reads `folder/name`, or creates the key there (with `name.pub` beside it). Blocking.
 * @throws Error when the file is not a private key
 */
export function keyPair(folder: string, name: string): KeyPair {
  const privateKeyPath = join(folder, name);
  if (!existsSync(privateKeyPath)) {
    const made = newKey(name);
    writeFileSync(privateKeyPath, made.private, { mode: 0o600 });
    writeFileSync(`${privateKeyPath}.pub`, `${made.public}\n`, { mode: 0o644 });
  }
  chmodSync(privateKeyPath, 0o600); // OpenSSH refuses a key that others can read
  const privateKey = readFileSync(privateKeyPath, "utf8");
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) {
    throw new Error(`${privateKeyPath} is not a private key (${parsed.message}). Remove it, and a new one is made.`);
  }
  const publicKey = `ssh-ed25519 ${parsed.getPublicSSH().toString("base64")}`;
  return { privateKeyPath, privateKey, publicKey, parsed };
}

/**
 * The host keys that macOS has besides ed25519, as PEM: created once, then reused. RSA is shorter than macOS' 3072 bits,
 * which take seconds to generate. Blocking.
 */
export function otherHostKeys(folder: string): { ecdsa: string; rsa: string } {
  const kept = (name: string, make: () => string): string => {
    const path = join(folder, name);
    if (!existsSync(path)) writeFileSync(path, make(), { mode: 0o600 });
    return createPrivateKey(readFileSync(path)).export({
      format: "pem",
      type: name === "host_rsa" ? "pkcs1" : "sec1",
    }) as string;
  };
  const pem = { format: "pem" } as const;
  return {
    ecdsa: kept("host_ecdsa", () =>
      generateKeyPairSync("ec", { namedCurve: "P-256" })
        .privateKey.export({ ...pem, type: "sec1" })
        .toString(),
    ),
    rsa: kept("host_rsa", () =>
      generateKeyPairSync("rsa", { modulusLength: 2048 })
        .privateKey.export({ ...pem, type: "pkcs1" })
        .toString(),
    ),
  };
}

/** `ssh-rsa AAAA…` of a private key. @throws Error when it is not one */
export function publicKeyOf(privateKey: string): string {
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) throw parsed;
  return `${parsed.type} ${parsed.getPublicSSH().toString("base64")}`;
}

/**
 * A new ed25519 key in the format of OpenSSH (PROTOCOL.key of its sources: openssh-key-v1, no passphrase). Not by ssh2's
 * generateKeyPairSync: about one in several hundred of its keys is unreadable.
 */
export function newKey(comment: string): { private: string; public: string } {
  const { x, d } = generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" });
  if (x === undefined || d === undefined) throw new Error("this Node made an ed25519 key without its numbers");
  const publicBytes = Buffer.from(x, "base64url");
  const type = string("ssh-ed25519");
  const blob = Buffer.concat([type, string(publicBytes)]);
  const check = randomBytes(4);
  const both = Buffer.concat([Buffer.from(d, "base64url"), publicBytes]);
  const secret = Buffer.concat([check, check, type, string(publicBytes), string(both), string(comment)]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (secret.length % 8)) % 8));
  const none = string("none");
  const count = Buffer.from([0, 0, 0, 1]);
  const magic = Buffer.from("openssh-key-v1\0");
  const key = Buffer.concat([
    magic,
    none,
    none,
    string(""),
    count,
    string(blob),
    string(Buffer.concat([secret, padding])),
  ]);
  const lines = key.toString("base64").match(/.{1,70}/g) ?? [];
  return {
    private: ["-----BEGIN OPENSSH PRIVATE KEY-----", ...lines, "-----END OPENSSH PRIVATE KEY-----", ""].join("\n"),
    public: `ssh-ed25519 ${blob.toString("base64")} ${comment}`,
  };
}

function string(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
