/** The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677). Only salted keys are kept, never a password. */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/** The stored verifier of a password; base64. */
export interface ScramKeys {
  salt: string;
  iterations: number;
  storedKey: string;
  serverKey: string;
}

// MongoDB's default for SCRAM-SHA-256 (parameter scramSHA256IterationCount).
const ITERATIONS = 15_000;
const derive = promisify(pbkdf2);
const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest();
const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/**
 * SASLprep (RFC 4013) without its tables of forbidden characters: other spaces become U+0020, soft hyphens and similar
 * characters are removed, then NFKC.
 */
function prepare(password: string): string {
  return password
    .replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu, " ")
    .replace(/\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/gu, "")
    .normalize("NFKC");
}

/** Derives the keys of a password with a fresh salt; takes some milliseconds off the main thread. */
export async function makeKeys(password: string): Promise<ScramKeys> {
  const salt = randomBytes(28);
  const salted = await derive(prepare(password), salt, ITERATIONS, 32, "sha256");
  return {
    salt: salt.toString("base64"),
    iterations: ITERATIONS,
    storedKey: sha256(hmac(salted, "Client Key")).toString("base64"),
    serverKey: hmac(salted, "Server Key").toString("base64"),
  };
}

/** A conversation after the client's first message. */
export interface ScramConversation {
  username: string;
  /** The reply to the client. */
  serverFirst: string;
  /** Verifies the client's final message. @returns the server's final message, or undefined for a wrong proof */
  finish(clientFinal: string): string | undefined;
}

function attributes(message: string): Map<string, string> {
  return new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
}

/**
 * Reads the client's first message. Undefined when it is malformed, requests channel binding, or names an unknown user:
 * the caller answers all of these with the same error.
 */
export function startScram(
  clientFirst: string,
  findKeys: (username: string) => ScramKeys | undefined,
): ScramConversation | undefined {
  const match = /^(n|y),(?:a=[^,]*)?,(n=([^,]*),r=([^,]+).*)$/u.exec(clientFirst);
  if (match === null) return undefined;
  const [, , bare = "", encodedName = "", clientNonce = ""] = match;
  const username = encodedName.replaceAll("=2C", ",").replaceAll("=3D", "=");
  const keys = findKeys(username);
  if (keys === undefined) return undefined;
  const nonce = clientNonce + randomBytes(24).toString("base64");
  const serverFirst = `r=${nonce},s=${keys.salt},i=${keys.iterations}`;
  const header = clientFirst.slice(0, clientFirst.length - bare.length);
  return {
    username,
    serverFirst,
    finish: (clientFinal) => {
      const fields = attributes(clientFinal);
      const proof = Buffer.from(fields.get("p") ?? "", "base64");
      const binding = Buffer.from(fields.get("c") ?? "", "base64").toString();
      if (fields.get("r") !== nonce || binding !== header || proof.length !== 32) return undefined;
      const withoutProof = clientFinal.slice(0, clientFinal.lastIndexOf(",p="));
      const message = `${bare},${serverFirst},${withoutProof}`;
      const storedKey = Buffer.from(keys.storedKey, "base64");
      const signature = hmac(storedKey, message);
      const clientKey = Buffer.from(proof.map((byte, i) => byte ^ (signature[i] ?? 0)));
      if (!timingSafeEqual(sha256(clientKey), storedKey)) return undefined;
      return `v=${hmac(Buffer.from(keys.serverKey, "base64"), message).toString("base64")}`;
    },
  };
}
