/** HTTP digest access authentication, the client's side (RFC 7616), for `qop=auth`. */
import { createHash, randomBytes } from "node:crypto";

/** The credentials. */
export interface DigestCredentials {
  username: string;
  password: string;
}

/** Reads `WWW-Authenticate: Digest …`. @returns its parameters in lower case, or undefined for another scheme */
export function parseChallenge(header: string | null): Map<string, string> | undefined {
  const match = /^\s*digest\s+(.*)$/is.exec(header ?? "");
  if (!match?.[1]) return undefined;
  const parameters = new Map<string, string>();
  for (const [, name, quoted, bare] of match[1].matchAll(/([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
    parameters.set((name ?? "").toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? bare ?? "");
  }
  return parameters;
}

/**
 * The `Authorization` header that answers a challenge (RFC 7616 section 3.4).
 * @param uri path and query, exactly as requested
 * @throws when the challenge requires anything but `qop=auth` with MD5 or SHA-256
 */
export function authorization(
  challenge: Map<string, string>,
  credentials: DigestCredentials,
  method: string,
  uri: string,
  cnonce: string = randomBytes(16).toString("hex"),
): string {
  const algorithm = challenge.get("algorithm") ?? "MD5";
  const hashes = new Map([
    ["MD5", "md5"],
    ["SHA-256", "sha256"],
  ]);
  const hash = hashes.get(algorithm.toUpperCase());
  const qops = (challenge.get("qop") ?? "").split(",").map((qop) => qop.trim());
  if (!hash || !qops.includes("auth")) {
    throw new Error(
      `the server wants digest algorithm ${algorithm} with qop ${qops.join(",") || "none"}; MD5 or SHA-256 with auth are known`,
    );
  }
  const digest = (text: string) => createHash(hash).update(text).digest("hex");
  const [realm, nonce] = [challenge.get("realm") ?? "", challenge.get("nonce") ?? ""];
  const count = "00000001"; // each nonce is used once
  const secret = digest(`${credentials.username}:${realm}:${credentials.password}`);
  const response = digest([secret, nonce, count, cnonce, "auth", digest(`${method}:${uri}`)].join(":"));
  const quote = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const parts = [
    `username=${quote(credentials.username)}`,
    `realm=${quote(realm)}`,
    `nonce=${quote(nonce)}`,
    `uri=${quote(uri)}`,
    `response="${response}"`,
    `algorithm=${algorithm}`,
    `cnonce="${cnonce}"`,
    "qop=auth",
    `nc=${count}`,
  ];
  const opaque = challenge.get("opaque");
  if (opaque !== undefined) parts.push(`opaque=${quote(opaque)}`);
  return `Digest ${parts.join(", ")}`;
}

/** `fetch` that first sends a request without credentials and answers one digest challenge. The body must be a string. */
export async function digestFetch(
  url: URL,
  init: { method: string; headers: Record<string, string>; body?: string; signal: AbortSignal },
  credentials: DigestCredentials,
): Promise<Response> {
  const first = await fetch(url, init);
  const challenge = first.status === 401 ? parseChallenge(first.headers.get("www-authenticate")) : undefined;
  if (!challenge) return first;
  await first.body?.cancel();
  const header = authorization(challenge, credentials, init.method, url.pathname + url.search);
  return fetch(url, { ...init, headers: { ...init.headers, authorization: header } });
}
