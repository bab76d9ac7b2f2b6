/**
 * HTTP Digest, server side, as the Atlas Admin API uses it: MD5, qop "auth".
 * @see RFC 7616 (and RFC 2617, whose MD5 form this is)
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

const realm = "MMS Public API";
const nonceLifeMs = 5 * 60_000;

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

/** The fields of `Authorization: Digest …`; undefined for another scheme. */
export function parseDigest(header: string | undefined): Record<string, string> | undefined {
  const rest = /^Digest\s+(.*)$/i.exec(header ?? "")?.[1];
  if (rest === undefined) return undefined;
  const fields: Record<string, string> = {};
  for (const [, name, quoted, bare] of rest.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    fields[(name ?? "").toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? bare ?? "";
  }
  return fields;
}

/** The `response` a client computes (RFC 7616, section 3.4.1). */
export function digestResponse(
  fields: Record<string, string>,
  credentials: { username: string; password: string },
  method: string,
): string {
  const secret = md5(`${credentials.username}:${realm}:${credentials.password}`);
  const request = md5(`${method}:${fields.uri}`);
  return md5([secret, fields.nonce, fields.nc, fields.cnonce, fields.qop, request].join(":"));
}

/** One API key. */
interface Credentials {
  username: string;
  password: string;
}

/** Checks requests and keeps the issued nonces. */
export class DigestGuard {
  readonly #credentials: readonly Credentials[];
  /** Nonce → when it was issued, and the (nc, cnonce) pairs already used with it. */
  readonly #nonces = new Map<string, { issuedAt: number; used: Set<string> }>();

  constructor(credentials: readonly Credentials[]) {
    this.#credentials = credentials;
  }

  /** Value of `WWW-Authenticate`, with a fresh nonce. */
  challenge(stale: boolean): string {
    const now = Date.now();
    for (const [nonce, { issuedAt }] of this.#nonces) if (now - issuedAt > nonceLifeMs) this.#nonces.delete(nonce);
    const nonce = randomBytes(16).toString("hex");
    this.#nonces.set(nonce, { issuedAt: now, used: new Set() });
    return `Digest realm="${realm}", domain="", nonce="${nonce}", algorithm=MD5, qop="auth", stale=${stale}`;
  }

  /**
   * Checks one request.
   * @param target path and query as on the request line
   * @returns the matching key; or `stale` when the credentials are right but the nonce is unknown, expired, or already
   * used with this count
   */
  check(header: string | undefined, method: string, target: string): { username: string } | "stale" | "refused" {
    const fields = parseDigest(header);
    const credentials = this.#credentials.find(({ username }) => username === fields?.username);
    if (fields === undefined || credentials === undefined || fields.realm !== realm) return "refused";
    const shape = fields.qop === "auth" && /^[0-9a-f]{8}$/i.test(fields.nc ?? "") && fields.cnonce && fields.nonce;
    if (!shape || fields.uri !== target || (fields.algorithm ?? "MD5").toUpperCase() !== "MD5") return "refused";
    const expected = Buffer.from(digestResponse(fields, credentials, method));
    const given = Buffer.from((fields.response ?? "").toLowerCase());
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return "refused";
    const nonce = this.#nonces.get(fields.nonce ?? "");
    const use = `${fields.nc}:${fields.cnonce}`;
    if (nonce === undefined || Date.now() - nonce.issuedAt > nonceLifeMs || nonce.used.has(use)) return "stale";
    nonce.used.add(use);
    return { username: credentials.username };
  }
}
