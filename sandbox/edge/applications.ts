/**
 * Which Access application covers a URL: pure functions. Source: developers.cloudflare.com, "Application paths"
 * (wildcards; the more specific path wins and inherits nothing).
 */
import type { AccessApplicationView } from "../cloudflare/edge-view.ts";

/**
 * The path as the edge matches it: without the query, dot segments resolved, double slashes merged, unreserved
 * characters decoded (developers.cloudflare.com, "URL normalization", type Cloudflare, on by default).
 */
export function normalizedPath(target: string): string {
  const path = target.split(/[?#]/, 1)[0]!.replaceAll("\\", "/").replace(/\/+/g, "/");
  const resolved = new URL(`http://host${path.startsWith("/") ? "" : "/"}${path}`).pathname;
  return resolved.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : encoded.toUpperCase();
  });
}

const escaped = (literal: string): string => literal.replace(/[.+?^${}()|[\]\\]/g, "\\$&");
const hostPattern = (host: string): RegExp => new RegExp(`^${host.split("*").map(escaped).join("[^.]*")}$`);
const pathPattern = (path: string): RegExp => new RegExp(`^${path.split("*").map(escaped).join(".*")}(?:/.*)?$`);

interface Destination {
  host: string;
  /** Without a slash at its end; "" is the whole host. */
  path: string;
}

function parsed(destination: string): Destination {
  const slash = destination.indexOf("/");
  if (slash < 0) return { host: destination.toLowerCase(), path: "" };
  const path = normalizedPath(destination.slice(slash)).replace(/\/$/, "");
  return { host: destination.slice(0, slash).toLowerCase(), path: path === "/*" ? "" : path };
}

const literalLength = (pattern: string): number => pattern.replaceAll("*", "").length;
const wildcards = (pattern: string): number => pattern.split("*").length - 1;

/** Sorts the more specific first: a host without wildcards, then the longer path. */
function moreSpecific(a: Destination, b: Destination): number {
  return (
    wildcards(a.host) - wildcards(b.host) ||
    literalLength(b.host) - literalLength(a.host) ||
    literalLength(b.path) - literalLength(a.path) ||
    wildcards(a.path) - wildcards(b.path)
  );
}

/**
 * The application that covers a request, or undefined.
 * @param hostname lower case, without a port
 * @param target the request's target as received, with or without a query
 */
export function applicationFor(
  applications: AccessApplicationView[],
  hostname: string,
  target: string,
): AccessApplicationView | undefined {
  const path = normalizedPath(target);
  return applications
    .flatMap((application) =>
      application.destinations.map((destination) => ({ application, destination: parsed(destination) })),
    )
    .filter(({ destination }) => hostPattern(destination.host).test(hostname))
    .filter(({ destination }) => pathPattern(destination.path).test(path))
    .sort((a, b) => moreSpecific(a.destination, b.destination))[0]?.application;
}

const UNIT_SECONDS: Record<string, number> = { h: 3600, m: 60, s: 1, ms: 0.001 };
const DEFAULT_SESSION_SECONDS = 24 * 3600;

/** Seconds of a session duration such as `24h` or `1h30m`; 24 hours (the default) for "" and invalid durations. */
export function sessionSeconds(duration: string): number {
  const parts = [...duration.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== duration) return DEFAULT_SESSION_SECONDS;
  return Math.floor(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNIT_SECONDS[unit!]!, 0));
}
