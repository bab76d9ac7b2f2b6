/**
 * Cloudflare's default caching, by the extension of the path. Sources: developers.cloudflare.com, "Default cache
 * behavior" (extensions, what is not cached), "Cache by status code" (lifetimes), "Origin Cache Control" (Authorization).
 */
import { headerIn } from "./headers.ts";

/** Value of `CF-Cache-Status`. */
export type CacheStatus = "HIT" | "MISS" | "DYNAMIC" | "BYPASS";

/** A stored answer. */
export interface CachedAnswer {
  status: number;
  /** Alternating names and values. */
  headers: string[];
  body: Buffer;
  storedAt: number;
  /** Milliseconds since the epoch. */
  freshUntil: number;
}

const EXTENSIONS = new Set(
  (
    "7z avi avif apk bin bmp bz2 class css csv doc docx dmg ejs eot eps exe flac gif gz ico iso jar jpg jpeg js mid midi " +
    "mkv mp3 mp4 ogg otf pdf pict pls png ppt pptx ps rar svg svgz swf tar tif tiff ttf webm webp woff woff2 xls xlsx " +
    "zip zst"
  ).split(" "),
);

const LIFETIME_SECONDS: Record<number, number> = {
  200: 7200,
  301: 7200,
  302: 1200,
  303: 1200,
  404: 180,
  410: 180,
};

/** Whether a response to this request may come from the cache. */
export function cacheable(method: string, path: string, headers: { range?: string | undefined }): boolean {
  if (method !== "GET" || headers.range !== undefined) return false;
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  return path === "/robots.txt" || (name.includes(".") && EXTENSIONS.has(name.slice(name.lastIndexOf(".") + 1)));
}

function directives(cacheControl: string | undefined): Map<string, string> {
  const parts = (cacheControl ?? "").toLowerCase().split(",");
  return new Map(parts.map((part) => part.trim().split("=")).map(([name = "", value = ""]) => [name, value]));
}

/**
 * The lifetime of an origin's response in seconds; 0: not stored. Call only for a `cacheable` request.
 * @param authorized the request carried `Authorization`
 * @param now milliseconds since the epoch
 */
export function lifetimeSeconds(status: number, headers: string[], authorized: boolean, now: number): number {
  const control = directives(headerIn(headers, "cache-control"));
  if (["private", "no-store", "no-cache"].some((name) => control.has(name))) return 0;
  if (headerIn(headers, "set-cookie") !== undefined) return 0;
  if (authorized && !["public", "must-revalidate", "s-maxage"].some((name) => control.has(name))) return 0;
  if (LIFETIME_SECONDS[status] === undefined) return 0;
  const age = control.get("s-maxage") ?? control.get("max-age");
  if (age !== undefined) return Math.max(0, Number.parseInt(age, 10) || 0);
  const expires = headerIn(headers, "expires");
  if (expires !== undefined) return Math.max(0, Math.floor((Date.parse(expires) - now) / 1000) || 0);
  return LIFETIME_SECONDS[status];
}

/** Responses by key. The least recently stored is evicted first. */
export interface Cache {
  get(key: string): CachedAnswer | undefined;
  put(key: string, answer: CachedAnswer): void;
}

const MAX_ENTRIES = 200;
/** Larger responses are not stored. Cloudflare's limit of 512 MB is too much for a laptop's memory. */
export const MAX_CACHED_BYTES = 8 << 20;

/** An empty cache in memory. @param now milliseconds since the epoch */
export function memoryCache(now: () => number = Date.now): Cache {
  const entries = new Map<string, CachedAnswer>();
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry && entry.freshUntil <= now()) entries.delete(key);
      return entries.get(key);
    },
    put(key, answer) {
      entries.delete(key);
      entries.set(key, answer);
      const oldest = entries.keys().next().value;
      if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest);
    },
  };
}
