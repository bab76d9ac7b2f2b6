/** Which headers pass through the relay, both ways. What is not named here stays behind. */
import type { IncomingHttpHeaders } from "node:http";

const TO_MODEL = [
  "accept",
  "accept-language",
  "content-type",
  "openai-beta",
  "traceparent",
  "tracestate",
  "user-agent",
] as const;

const FROM_MODEL = new Set([
  "content-encoding",
  "content-length",
  "content-type",
  "retry-after",
  "retry-after-ms",
  "x-request-id",
  "x-should-retry",
]);
const FROM_MODEL_PREFIXES = ["openai-", "x-ratelimit-"];

/**
 * Headers for the model server. Never the Access token, cookies, `authorization` (the server is local; OpenAI clients send
 * a dummy key), `cf-*` or `x-forwarded-*`. `accept-encoding` stays behind too, so that streams come uncompressed.
 * `x-request-id` is the caller's if it is plain, else `requestId`.
 */
export function headersToModel(from: IncomingHttpHeaders, requestId: string): Record<string, string> {
  const to: Record<string, string> = {};
  for (const name of TO_MODEL) {
    const value = from[name];
    if (typeof value === "string") to[name] = value;
  }
  const theirs = from["x-request-id"];
  to["x-request-id"] = typeof theirs === "string" && /^[\x21-\x7e]{1,128}$/.test(theirs) ? theirs : requestId;
  return to;
}

/** Headers for the caller. Hop-by-hop headers, `set-cookie` and `server` stay behind, as does all that is not named. */
export function headersFromModel(from: IncomingHttpHeaders): Record<string, string | string[]> {
  const to: Record<string, string | string[]> = {};
  for (const name in from) {
    const value = from[name];
    const lower = name.toLowerCase();
    if (value === undefined) continue;
    if (FROM_MODEL.has(lower) || FROM_MODEL_PREFIXES.some((prefix) => lower.startsWith(prefix))) to[lower] = value;
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
