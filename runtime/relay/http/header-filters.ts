/** Header filters in both directions. Headers that neither this file nor the dialect names are dropped. */
import type { IncomingHttpHeaders } from "node:http";
import type { Dialect } from "../dialects/dialect.ts";

const TO_MODEL = ["accept", "accept-language", "content-type", "traceparent", "tracestate", "user-agent"] as const;

const FROM_MODEL = new Set(["content-encoding", "content-length", "content-type", "retry-after", "x-request-id"]);

/**
 * Headers for the model server. Never the Access token, cookies, `authorization` (the server is local; OpenAI clients send
 * a dummy key), `cf-*` or `x-forwarded-*`. `accept-encoding` is dropped too, so that streams come uncompressed.
 * `x-request-id` is the caller's if it is printable ASCII, else `requestId`.
 */
export function headersToModel(
  from: IncomingHttpHeaders,
  requestId: string,
  { headers: { toModel } }: Pick<Dialect, "headers">,
): Record<string, string> {
  const to: Record<string, string> = {};
  for (const names of [TO_MODEL, toModel]) {
    for (const name of names) {
      const value = from[name];
      if (typeof value === "string") to[name] = value;
    }
  }
  const theirs = from["x-request-id"];
  to["x-request-id"] = typeof theirs === "string" && /^[\x21-\x7e]{1,128}$/.test(theirs) ? theirs : requestId;
  return to;
}

/** Headers for the caller. Hop-by-hop headers, `set-cookie`, `server` and all others not listed are dropped. */
export function headersFromModel(
  from: IncomingHttpHeaders,
  { headers: { fromModel, fromModelPrefixes } }: Pick<Dialect, "headers">,
): Record<string, string | string[]> {
  const to: Record<string, string | string[]> = {};
  for (const name in from) {
    const value = from[name];
    const lower = name.toLowerCase();
    if (value === undefined) continue;
    const passes =
      FROM_MODEL.has(lower) ||
      fromModel.includes(lower) ||
      fromModelPrefixes.some((prefix) => lower.startsWith(prefix));
    if (passes) to[lower] = value;
  }
  return to;
}

/**
 * The Cloudflare location a request came in at: the suffix of `CF-Ray` (`…-ICN`), or "none" without one.
 * Source: https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-ray
 */
export function entryColo(headers: IncomingHttpHeaders): string {
  const ray = headers["cf-ray"];
  return (typeof ray === "string" && /-([A-Z]{3})$/.exec(ray)?.[1]) || "none";
}
