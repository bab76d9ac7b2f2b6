/**
 * Checks an RS256 token. jose does all of it but the signature: WebCrypto hands each to a thread, and Access may mint a token a
 * request (66 µs of CPU; 35 µs with node:crypto). The claims are jose's to judge in both.
 */
import { KeyObject, verify } from "node:crypto";
import {
  type CryptoKey,
  decodeProtectedHeader,
  errors,
  type JWTClaimVerificationOptions,
  type JWTPayload,
  type JWTVerifyGetKey,
  UnsecuredJWT,
} from "jose";

const NO_ALGORITHM = Buffer.from('{"alg":"none"}').toString("base64url");
const keyObjects = new WeakMap<CryptoKey, KeyObject>();

/** Throws an error of jose's, or what `keys` throws. */
export async function verifyToken(
  token: string,
  keys: JWTVerifyGetKey,
  claims: JWTClaimVerificationOptions,
): Promise<JWTPayload> {
  const [head, payload, signature, more] = token.split(".");
  if (head === undefined || payload === undefined || signature === undefined || more !== undefined) {
    throw new errors.JWSInvalid("not three parts");
  }
  const header = headerOf(token);
  if (header.alg !== "RS256") throw new errors.JOSEAlgNotAllowed(`alg is ${JSON.stringify(header.alg ?? null)}`);
  if (header.crit !== undefined) throw new errors.JOSENotSupported("crit is not understood");
  const key = publicKey(await keys({ ...header, alg: "RS256" }, { protected: head, payload, signature }));
  const text = Buffer.from(`${head}.${payload}`);
  if (!verify("sha256", text, key, Buffer.from(signature, "base64url"))) {
    throw new errors.JWSSignatureVerificationFailed();
  }
  return UnsecuredJWT.decode(`${NO_ALGORITHM}.${payload}.`, claims).payload;
}

function headerOf(token: string) {
  try {
    return decodeProtectedHeader(token);
  } catch (cause) {
    throw new errors.JWSInvalid("the header can not be read", { cause });
  }
}

/** Only an RSA key of 2,048 bits or more (RFC 7518 §3.3). */
function publicKey(found: Awaited<ReturnType<JWTVerifyGetKey>>): KeyObject {
  const key = found instanceof KeyObject ? found : isCryptoKey(found) ? fromCrypto(found) : undefined;
  if (
    key?.type !== "public" ||
    key.asymmetricKeyType !== "rsa" ||
    (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048
  ) {
    throw new errors.JWKInvalid("the key is no RSA key of 2,048 bits or more");
  }
  return key;
}

const isCryptoKey = (key: object): key is CryptoKey => key instanceof globalThis.CryptoKey;

function fromCrypto(key: CryptoKey): KeyObject {
  let made = keyObjects.get(key);
  if (made === undefined) {
    made = KeyObject.from(key);
    keyObjects.set(key, made);
  }
  return made;
}
