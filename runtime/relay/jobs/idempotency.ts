/**
 * Idempotency keys: reading the header, and the hash by which repeated keys are compared (in `key-claims.ts`). A key
 * belongs to one caller and path. Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
 */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { RelayError } from "../errors.ts";
import { nextTimeSlice } from "../http/time-slices.ts";

/** Bytes hashed per turn of the event loop: about half a millisecond. */
const HASHED_AT_ONCE = 512 * 1024;

/** The key; undefined without the header. Throws `idempotency_key_invalid`. */
export function idempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const value = headers["idempotency-key"];
  if (value === undefined) return undefined;
  const text = [value].flat().join(", ");
  // The draft quotes the key, nearly all clients do not: both forms are the same key.
  const key = /^"(.*)"$/.exec(text)?.[1] ?? text;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new RelayError(
      "idempotency_key_invalid",
      `Idempotency-Key ${JSON.stringify(key.slice(0, 80))} cannot be used: send 1 to 255 printable ASCII characters without spaces, a UUID for example.`,
    );
  }
  return key;
}

/**
 * @param parameters what the work depends on beside its body: the query as sent; of a document's work, kind and names too
 * @returns SHA-256 in hex of both
 */
export async function requestHash(parameters: string, body: Buffer): Promise<string> {
  const hash = createHash("sha256").update(parameters).update("\0");
  for (let at = 0; at < body.length; at += HASHED_AT_ONCE) {
    if (at > 0) await nextTimeSlice();
    hash.update(body.subarray(at, at + HASHED_AT_ONCE));
  }
  return hash.digest("hex");
}

export function keyInProgress(headers: Record<string, string> = {}): RelayError {
  return new RelayError("idempotency_in_progress", "The request with this Idempotency-Key is still running.", {
    headers: { "Retry-After": "2", ...headers },
  });
}

export function keyMismatch(): RelayError {
  return new RelayError(
    "idempotency_mismatch",
    "This Idempotency-Key was used for another request on this path. Use a new key for each new request.",
  );
}
