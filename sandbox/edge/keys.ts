/**
 * The account's signing keys for Access tokens: RS256, kept in a folder, the previous key published beside the current
 * one. Token claims follow developers.cloudflare.com, "Application token"; the key set follows "Validate JWTs" (keys
 * rotate every 6 weeks, the previous one stays valid for 7 days).
 */
import { randomBytes, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, exportJWK, generateKeyPair, importJWK, type JWK, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import { writePrivate } from "./certificates.ts";

/** The subject of a token: a service token's client id, or a person's email address. */
export type TokenSubject = { clientId: string } | { email: string };

/** The claims of a token besides its subject. */
export interface TokenRequest {
  /** `https://<team>.cloudflareaccess.com`. */
  issuer: string;
  /** The application's audience tag. */
  audience: string;
  lifetimeSeconds: number;
  /** Two letters, e.g. `KR`; only in the tokens of people. */
  country: string;
}

/** The signing keys. */
export interface AccessKeys {
  /** The published set, current key first: `{ keys: [{ kid, kty, alg, use, e, n }] }`. */
  published(): { keys: JWK[] };
  sign(subject: TokenSubject, request: TokenRequest): Promise<string>;
  /**
   * Checks a person's token against the published keys.
   * @returns the address, or undefined when the token is foreign, for another audience, expired, or not a person's
   */
  verifyPerson(token: string, issuer: string, audience: string): Promise<string | undefined>;
  /** Creates a new current key. The previous one stays published; older ones are dropped. */
  rotate(): Promise<void>;
}

const storedKey = z.object({
  kid: z.string(),
  kty: z.literal("RSA"),
  n: z.string(),
  e: z.string(),
  d: z.string(),
  p: z.string(),
  q: z.string(),
  dp: z.string(),
  dq: z.string(),
  qi: z.string(),
});
const storedKeys = z.object({ keys: z.array(storedKey).min(1).max(2) });
type StoredKey = z.infer<typeof storedKey>;

async function newKey(): Promise<StoredKey> {
  const { privateKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
  return storedKey.parse({ ...(await exportJWK(privateKey)), kid: randomBytes(32).toString("hex") });
}

function readKeys(path: string): StoredKey[] | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return storedKeys.parse(JSON.parse(readFileSync(path, "utf8"))).keys;
  } catch (error) {
    throw new Error(
      `${path} does not hold the edge's signing keys; delete it and start again, and new ones are made.`,
      {
        cause: error,
      },
    );
  }
}

const publicPart = ({ kid, kty, n, e }: StoredKey): JWK => ({ kid, kty, alg: "RS256", use: "sig", e, n });

function claims(subject: TokenSubject, country: string): Record<string, unknown> {
  if ("clientId" in subject) return { type: "app", common_name: subject.clientId, sub: "" };
  const nonce = randomBytes(12).toString("base64url");
  return { type: "app", email: subject.email, sub: randomUUID(), identity_nonce: nonce, country };
}

/**
 * Opens the keys in `dir/access-keys.json` (0600), or creates them.
 * @throws when the file exists but is invalid
 */
export async function openAccessKeys(dir: string): Promise<AccessKeys> {
  const path = join(dir, "access-keys.json");
  const save = (list: StoredKey[]) => writePrivate(path, `${JSON.stringify({ keys: list }, null, 2)}\n`);
  const found = readKeys(path);
  let keys = found ?? [await newKey()];
  if (!found) save(keys);
  let signing = await importJWK(keys[0]!, "RS256");
  const published = () => ({ keys: keys.map(publicPart) });

  return {
    published,
    sign(subject, request) {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT(claims(subject, request.country))
        .setProtectedHeader({ alg: "RS256", kid: keys[0]!.kid, typ: "JWT" })
        .setAudience([request.audience])
        .setIssuer(request.issuer)
        .setIssuedAt(now)
        .setNotBefore(now)
        .setExpirationTime(now + request.lifetimeSeconds)
        .sign(signing);
    },
    async verifyPerson(token, issuer, audience) {
      try {
        const set = createLocalJWKSet(published());
        const { payload } = await jwtVerify(token, set, { algorithms: ["RS256"], issuer, audience });
        return typeof payload.email === "string" && payload.email !== "" ? payload.email : undefined;
      } catch {
        return undefined; // an invalid token admits nobody
      }
    },
    async rotate() {
      const next = [await newKey(), keys[0]!];
      const nextSigning = await importJWK(next[0]!, "RS256");
      save(next);
      keys = next;
      signing = nextSigning;
    },
  };
}
