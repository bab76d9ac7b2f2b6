/** The two request headers jobs are asked for with. Pure. */
import type { IncomingHttpHeaders } from "node:http";
import { RelayError } from "../errors.ts";

export interface Prefer {
  readonly respondAsync: boolean;
  /** Seconds the caller would wait for the answer; undefined if it does not say. */
  readonly wait: number | undefined;
}

const NONE: Prefer = { respondAsync: false, wait: undefined };

/**
 * Reads `Prefer: respond-async, wait=10`. The first of two equal preferences counts, what is not known or not well-formed
 * is ignored. Source: https://www.rfc-editor.org/rfc/rfc7240
 */
export function parsePrefer(header: string | readonly string[] | undefined): Prefer {
  if (header === undefined) return NONE;
  const found = new Map<string, string>();
  for (const part of [header].flat().join(",").split(",")) {
    const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*"?([^";]*)"?)?/.exec(part) ?? [];
    if (name !== undefined && !found.has(name.toLowerCase())) found.set(name.toLowerCase(), (value ?? "").trim());
  }
  const wait = found.get("wait");
  return {
    respondAsync: found.has("respond-async"),
    wait: wait !== undefined && /^\d{1,6}$/.test(wait) ? Number(wait) : undefined,
  };
}

/**
 * The key, or undefined without the header. Throws `idempotency_key_invalid`.
 * Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
 */
export function idempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const value = headers["idempotency-key"];
  if (value === undefined) return undefined;
  const text = [value].flat().join(", ");
  // The draft writes it in quotes, nearly all clients without: both are the same key.
  const key = /^"(.*)"$/.exec(text)?.[1] ?? text;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new RelayError(
      "idempotency_key_invalid",
      `Idempotency-Key ${JSON.stringify(key.slice(0, 80))} can not be used: send 1 to 255 printable ASCII characters without spaces, a UUID for example.`,
    );
  }
  return key;
}
