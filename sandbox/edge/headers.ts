/** Headers of requests and responses passing the edge: pure functions. */
import type { IncomingHttpHeaders } from "node:http";
import type { OutgoingHttpHeaders } from "node:http2";

/** RFC 9110 7.6.1 and RFC 9113 8.2.2: they belong to one connection. `Expect` is answered by the edge itself. */
const HOP_BY_HOP = new Set([
  "connection",
  "expect",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What the edge adds to a request. */
export interface RequestFacts {
  method: string;
  /** As received. */
  target: string;
  /** The name the origin sees. */
  hostname: string;
  clientIp: string;
  /** `<16 hex>-<COLO>`. */
  ray: string;
  country: string;
  /** Access's token, if one was issued. */
  assertion?: string;
  /** The signed-in person's email address. */
  email?: string;
}

/** Names that the `Connection` header declares to be hop by hop (RFC 9110 7.6.1). */
function declaredHopByHop(connection: string | undefined): Set<string> {
  return new Set((connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
}

/**
 * The headers for the connector. A client's own `Cf-` headers are dropped: otherwise the edge's assertions could be
 * forged, and cloudflared accepts commands in such headers. The service token's secret is dropped with them
 * (whether Cloudflare passes `CF-Access-Client-*` on is not documented; a relay must not rely on either).
 */
export function tunnelHeaders(received: IncomingHttpHeaders, facts: RequestFacts): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {
    ":method": facts.method,
    ":path": facts.target,
    ":scheme": "https",
    ":authority": facts.hostname,
  };
  const declared = declaredHopByHop(received.connection);
  for (const [name, value] of Object.entries(received)) {
    if (value === undefined || name === "host" || HOP_BY_HOP.has(name) || declared.has(name)) continue;
    if (name.startsWith("cf-")) continue;
    headers[name] = value;
  }
  // Without it Go's client would request gzip and decompress it, so the bytes would not be the origin's.
  headers["accept-encoding"] ??= "identity";
  const forwarded = received["x-forwarded-for"];
  headers["x-forwarded-for"] = forwarded === undefined ? facts.clientIp : `${String(forwarded)}, ${facts.clientIp}`;
  headers["x-forwarded-proto"] = "https";
  const loop = received["cdn-loop"];
  headers["cdn-loop"] = loop === undefined ? "cloudflare; loops=1" : `${String(loop)}, cloudflare; loops=1`;
  headers["cf-connecting-ip"] = facts.clientIp;
  headers["cf-ipcountry"] = facts.country;
  headers["cf-ray"] = facts.ray;
  headers["cf-visitor"] = '{"scheme":"https"}';
  if (facts.assertion !== undefined) headers["cf-access-jwt-assertion"] = facts.assertion;
  if (facts.email !== undefined) headers["cf-access-authenticated-user-email"] = facts.email;
  return headers;
}

/** Names that the edge sets itself or withholds from clients. */
const REPLACED = new Set(["server", "cf-ray", "cf-cache-status", "x-accel-buffering"]);

/**
 * Reads `cf-cloudflared-response-headers`: unpadded base64 of name and value, `name:value` joined by `;` (cloudflared,
 * connection/header.go). Bytes become latin1, which is how Node writes header strings.
 * @returns alternating names and values, without hop-by-hop headers and those the edge replaces
 */
export function originHeaders(serialized: string): string[] {
  const decode = (part: string): string => Buffer.from(part, "base64").toString("latin1");
  const pairs = serialized
    .split(";")
    .filter((pair) => pair !== "")
    .map((pair) => pair.split(":"))
    .map(([name = "", value = ""]) => [decode(name), decode(value)] as const);
  const connection = pairs.find(([name]) => name.toLowerCase() === "connection")?.[1];
  const declared = declaredHopByHop(connection);
  return pairs
    .filter(([name]) => {
      const lower = name.toLowerCase();
      return !HOP_BY_HOP.has(lower) && !REPLACED.has(lower) && !declared.has(lower);
    })
    .flat();
}

/** The value of a header in a list of alternating names and values; repeated headers are joined by ", ". */
export function headerIn(headers: string[], name: string): string | undefined {
  const values = headers.filter((_, index) => index % 2 === 1 && headers[index - 1]!.toLowerCase() === name);
  return values.length > 0 ? values.join(", ") : undefined;
}

/** The value of one cookie, or undefined. */
export function cookieIn(header: string | undefined, name: string): string | undefined {
  for (const pair of (header ?? "").split(";")) {
    const [key, ...rest] = pair.split("=");
    if (key?.trim() === name) return rest.join("=").trim();
  }
  return undefined;
}
