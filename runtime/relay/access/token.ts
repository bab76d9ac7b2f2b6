/**
 * Checks a token's signature and claims. jose judges; but a token that jose would accept, of the plain form all of Access'
 * tokens have, is recognised here, in one go: through jose (WebCrypto) each signature is a job for the thread pool, in all
 * 75 µs of CPU against 27, and Access may mint a token for every request.
 */
import { KeyObject, verify } from "node:crypto";
import { type CompactJWSHeaderParameters, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";

/** Taken from here, never from a token's header. */
const ALGORITHMS = ["RS256"];
/** Access has two keys at a time; more headers than this are not worth remembering. */
const MAX_HEADERS = 16;
/** For so long a key that was found is not looked up again; it may have been withdrawn. */
const KEY_CACHE_MS = 1000;
/** Clocks differ. */
const CLOCK_TOLERANCE_S = 30;

/** What a token must say. */
export interface TokenRules {
  readonly issuer: string;
  readonly audience: string;
}

/** Claims of a token that is in order; rejects with jose's errors, or with what `keys` rejects. */
export type VerifyToken = (token: string, rules: TokenRules) => JWTPayload | Promise<JWTPayload>;

/** A header's text that jose has accepted, and the key it stands for. */
interface KnownHeader {
  readonly header: CompactJWSHeaderParameters;
  key: KeyObject | undefined;
  keyFetchedAt: number;
}

/** As `createTokenCheck`, with jose alone. */
export function verifyWithJose(keys: JWTVerifyGetKey, token: string, { issuer, audience }: TokenRules) {
  const claims = { issuer, audience, requiredClaims: ["exp", "iat"], clockTolerance: CLOCK_TOLERANCE_S };
  return jwtVerify(token, keys, { ...claims, algorithms: ALGORITHMS });
}

/**
 * A header's text is remembered once jose has accepted a token with it. A later token with the very same text is accepted
 * here, at once and without a promise, if the key that `keys` has for it verifies its signature and its claims are plainly
 * in order. Whatever is not accepted so is judged by jose from the start: every refusal, and its reason, is jose's. A key
 * that is withdrawn counts for a second.
 */
export function createTokenVerifier(keys: JWTVerifyGetKey): VerifyToken {
  const headers = new Map<string, KnownHeader>();

  const verifyAndRemember = async (token: string, protectedHeader: string, rules: TokenRules): Promise<JWTPayload> => {
    const judged = await verifyWithJose(keys, token, rules);
    if (headers.size >= MAX_HEADERS) headers.clear();
    if (judged.protectedHeader.crit === undefined) {
      headers.set(protectedHeader, {
        header: judged.protectedHeader,
        key: undefined,
        keyFetchedAt: Number.NEGATIVE_INFINITY,
      });
    }
    return judged.payload;
  };
  const verifyWithFreshKey = async (known: KnownHeader, token: TokenParts, rules: TokenRules): Promise<JWTPayload> => {
    known.key = undefined;
    const { protectedHeader, payload, signature } = token;
    const key = await keys(known.header, { protected: protectedHeader, payload, signature });
    if (key instanceof CryptoKey && key.type === "public") known.key = KeyObject.from(key);
    known.keyFetchedAt = performance.now();
    return (
      (known.key && verifyPlainToken(token, known.key, rules)) ?? verifyAndRemember(token.token, protectedHeader, rules)
    );
  };
  return (token, rules) => {
    const first = token.indexOf(".");
    const last = token.lastIndexOf(".");
    const protectedHeader = token.slice(0, first);
    const known = headers.get(protectedHeader);
    if (known === undefined) return verifyAndRemember(token, protectedHeader, rules);
    const parts = {
      token,
      protectedHeader,
      payload: token.slice(first + 1, last),
      signedText: token.slice(0, last),
      signature: token.slice(last + 1),
    };
    if (known.key === undefined || performance.now() - known.keyFetchedAt >= KEY_CACHE_MS)
      return verifyWithFreshKey(known, parts, rules);
    return verifyPlainToken(parts, known.key, rules) ?? verifyAndRemember(token, protectedHeader, rules);
  };
}

/** A token's text and its parts. */
interface TokenParts {
  readonly token: string;
  readonly protectedHeader: string;
  readonly payload: string;
  /** What the signature is of: header and payload. */
  readonly signedText: string;
  readonly signature: string;
}

/** The claims of a token that is in order beyond doubt; undefined if jose has to say. */
function verifyPlainToken(token: TokenParts, key: KeyObject, rules: TokenRules): JWTPayload | undefined {
  return hasValidSignature(token.signedText, token.signature, key) ? validClaims(token.payload, rules) : undefined;
}

function hasValidSignature(text: string, signature: string, key: KeyObject): boolean {
  const bytes = Buffer.from(signature, "base64url");
  // Buffer passes over what is no base64url; jose does not.
  return bytes.toString("base64url") === signature && verify("sha256", Buffer.from(text, "latin1"), key, bytes);
}

/** The claims if they are in order beyond doubt; undefined if jose has to say. */
function validClaims(payload: string, { issuer, audience }: TokenRules): JWTPayload | undefined {
  const bytes = Buffer.from(payload, "base64url");
  if (bytes.toString("base64url") !== payload) return undefined;
  const text = bytes.toString("utf8");
  if (!text.startsWith("{") || text.includes("\ufffd")) return undefined;
  let claims: JWTPayload;
  try {
    claims = JSON.parse(text) as JWTPayload;
  } catch {
    return undefined;
  }
  const { iss, aud, iat, exp, nbf } = claims;
  const now = Math.floor(Date.now() / 1000);
  const inTime =
    typeof iat === "number" &&
    typeof exp === "number" &&
    exp > now - CLOCK_TOLERANCE_S &&
    (nbf === undefined || (typeof nbf === "number" && nbf <= now + CLOCK_TOLERANCE_S));
  const forUs = aud === audience || (Array.isArray(aud) && aud.includes(audience));
  return inTime && forUs && iss === issuer ? claims : undefined;
}
