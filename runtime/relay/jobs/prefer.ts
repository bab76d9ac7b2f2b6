/** The `Prefer` header. Pure. */

export interface Prefer {
  readonly respondAsync: boolean;
  /** Seconds the client is willing to wait for the answer; undefined if not stated. */
  readonly wait: number | undefined;
}

/**
 * Reads `Prefer: respond-async, wait=10`. The first of equal preferences counts; unknown and malformed ones are
 * ignored. Source: https://www.rfc-editor.org/rfc/rfc7240
 */
export function parsePrefer(header: string | readonly string[] | undefined): Prefer {
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
