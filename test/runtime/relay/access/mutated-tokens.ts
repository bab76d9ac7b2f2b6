/**
 * Differential test of the relay's own token verifier against jose: the same outcome, claims and reason for any token. Short
 * in the unit tests, long in `npm run prove`.
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { createLocalJWKSet, exportJWK, exportPKCS8, generateKeyPair, type JWTVerifyGetKey } from "jose";
import { createTokenVerifier, type VerifyToken, verifyWithJose } from "../../../../runtime/relay/access/token.ts";
import type { Random } from "../drills/seed.ts";

export const ISSUER = "https://acme.cloudflareaccess.com";
export const RULES = { issuer: ISSUER, audience: "aud-servers" };

async function keyPair(kid: string) {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  return {
    privateKey: createPrivateKey(await exportPKCS8(privateKey)),
    jwk: { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" },
  };
}

/** Two keys of Access, "k1" and "k2". */
export const key = await keyPair("k1");
export const otherKey = await keyPair("k2");
export const keys: JWTVerifyGetKey = createLocalJWKSet({ keys: [key.jwk, otherKey.jwk] });

const now = Math.floor(Date.now() / 1000);
export const HEADER = { alg: "RS256", kid: "k1", typ: "JWT" };
export const CLAIMS = { iss: ISSUER, aud: ["aud-servers"], iat: now, exp: now + 3600, common_name: "x.access" };

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Signs encoded header and claims. */
export const signText = (text: string, by: KeyObject = key.privateKey, hash = "sha256") =>
  `${text}.${sign(hash, Buffer.from(text, "latin1"), by).toString("base64url")}`;

export const makeToken = (header: unknown = HEADER, claims: unknown = CLAIMS, by?: KeyObject) =>
  signText(`${encode(header)}.${encode(claims)}`, by);

/** A token whose claims are this text or these bytes. */
export const withRawClaims = (claims: string | Buffer) =>
  signText(`${encode(HEADER)}.${Buffer.from(claims).toString("base64url")}`);

/** What a verification ended with, as text: "accepted" and the claims, or "refused" and the reason. */
export async function outcomeOf(verify: () => Promise<unknown>): Promise<string> {
  try {
    return `accepted ${JSON.stringify(await verify())}`;
  } catch (cause) {
    return `refused: ${cause instanceof Error ? `${cause.name} ${cause.message}` : String(cause)}`;
  }
}

/** A verifier that has accepted tokens of both keys, so that it no longer needs jose for plain ones. */
export async function warmVerifier(from: JWTVerifyGetKey = keys): Promise<VerifyToken> {
  const verify = createTokenVerifier(from);
  await verify(makeToken(), RULES);
  await verify(makeToken({ ...HEADER, kid: "k2" }, CLAIMS, otherKey.privateKey), RULES);
  return verify;
}

/** Both outcomes for one token. */
export async function bothOutcomes(verify: VerifyToken, token: string): Promise<{ own: string; jose: string }> {
  return {
    own: await outcomeOf(async () => verify(token, RULES)),
    jose: await outcomeOf(async () => (await verifyWithJose(keys, token, RULES)).payload),
  };
}

// No value near a limit: the outcome would depend on when the test runs.
const VALUES = [
  undefined,
  null,
  0,
  "",
  now - 3600,
  now - 15,
  now + 15,
  now + 3600,
  String(now + 3600),
  1e15,
  true,
  [],
  ["aud-servers"],
  [["aud-servers"]],
  ["x", "aud-servers", 1],
  "aud-servers",
  "aud-server",
  ISSUER,
  [ISSUER],
  { toString: "x" },
];

/** A token that is valid, or has one random change: a claim, a header parameter, the key, or its text. */
export function mutatedToken({ pick, between }: Random): string {
  const kind = between(0, 7);
  const change = (value: Record<string, unknown>, names: readonly string[]) => ({
    ...value,
    [pick(names)]: pick(VALUES),
  });
  const claims = kind < 4 ? change(CLAIMS, ["iss", "aud", "iat", "exp", "nbf", "jti", "__proto__"]) : CLAIMS;
  const header = kind === 4 ? change(HEADER, ["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]) : HEADER;
  const token = makeToken(header, claims, (kind === 5 ? otherKey : key).privateKey);
  if (kind < 6) return token;
  const at = between(0, token.length);
  const inserted = pick([..."ABCabc012-_=+/. \né\u{1f511}", "", token.slice(at, at + 3)]);
  return token.slice(0, at) + inserted + token.slice(at + between(0, 2));
}

export interface Comparison {
  readonly accepted: number;
  readonly refused: number;
  /** Tokens with different outcomes: "token: own outcome, not jose's". */
  readonly differences: readonly string[];
}

/** Verifies `count` mutated tokens with both. */
export async function compareVerifiers(count: number, random: Random): Promise<Comparison> {
  const verify = await warmVerifier();
  const counts = { accepted: 0, refused: 0 };
  const differences: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const token = mutatedToken(random);
    const { own, jose } = await bothOutcomes(verify, token);
    if (own !== jose) differences.push(`${JSON.stringify(token)}: ${own}, not ${jose}`);
    counts[own.startsWith("accepted") ? "accepted" : "refused"] += 1;
  }
  return { ...counts, differences };
}
