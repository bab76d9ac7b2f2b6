/**
 * The public keys of Access. The last key set is cached on disk: after a power cut, the router may come back later than the
 * Mac.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createRemoteJWKSet, customFetch, type ExportedJWKSCache, type JWTVerifyGetKey, jwksCache } from "jose";
import { z } from "zod";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";

/** The keys cannot be fetched, and the cached set is missing or too old. A retry may help. */
export class KeysUnavailable extends Error {}

const REFRESH_MS = 10 * 60_000;
const RETRY_MS = 30_000;
/**
 * Until then a token with an unknown key id is refused without another fetch. Short: right after Access has rotated its key,
 * every token is such a one, and 403 tells clients not to try again.
 */
const UNKNOWN_KEY_MS = 5_000;
// Cloudflare keeps the previous key valid for 7 days, so an older set may contain revoked keys.
// Source: https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/
const MAX_AGE_MS = 7 * 24 * 3600_000;

const jwksSchema = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })).min(1) });
const cacheSchema = z.object({ url: z.string(), uat: z.number(), jwks: jwksSchema });

/** A key source for `jwtVerify`, with a timer that `close` stops. */
export interface AccessKeys {
  readonly get: JWTVerifyGetKey;
  /** Stops refreshing, and waits for a pending write. */
  close(): Promise<void>;
}

/**
 * Keys of `https://<teamDomain>/cdn-cgi/access/certs`, fetched with the global fetch, so that Node's NODE_USE_ENV_PROXY,
 * HTTPS_PROXY and NODE_EXTRA_CA_CERTS apply. Fetched at start, every 10 min (every 30 s after a failure) and when a token
 * has an unknown key id (at most every 5 s). `get` waits for the network only if the key is not in memory; it throws
 * KeysUnavailable if the fetch fails, after 5 s at most. Cached in `dataDir/jwks.json`, and used for up to 7 days while the
 * keys cannot be fetched.
 */
export async function openAccessKeys(teamDomain: string, dataDir: string, log: Log): Promise<AccessKeys> {
  const url = `https://${teamDomain}/cdn-cgi/access/certs`;
  const file = join(dataDir, "jwks.json");
  const cached = await readCache(file, url, log);
  let fetchedAt = cached?.uat;
  let saving: Promise<void> = Promise.resolve();

  const remote = createRemoteJWKSet(new URL(url), {
    cooldownDuration: UNKNOWN_KEY_MS,
    cacheMaxAge: Number.POSITIVE_INFINITY, // the age is checked in `get`: jose would drop a set that it cannot renew
    [jwksCache]: cached ?? {},
    [customFetch]: async (address, options) => {
      try {
        const response = await fetch(address, options);
        if (response.status !== 200) throw new Error(`HTTP status ${response.status}`);
        const jwks = jwksSchema.parse(await response.json());
        const now = Date.now();
        fetchedAt = now;
        saving = saving.then(() => writeCache(file, { url, uat: now, jwks }, log));
        return Response.json(jwks);
      } catch (cause) {
        throw new KeysUnavailable(`the keys of Access at ${url} cannot be fetched: ${reason(cause)}`, { cause });
      }
    },
  });

  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const refresh = async () => {
    let wait = REFRESH_MS;
    try {
      await remote.reload();
    } catch (cause) {
      wait = RETRY_MS;
      log.warn({ reason: reason(cause), have: fetchedAt !== undefined }, "keys of Access not refreshed");
    }
    if (!closed) timer = setTimeout(() => void refresh(), wait).unref();
  };
  void refresh();

  return {
    get: async (header, token) => {
      if (fetchedAt === undefined || Date.now() - fetchedAt > MAX_AGE_MS) await remote.reload();
      return remote(header, token);
    },
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await saving;
    },
  };
}

async function readCache(file: string, url: string, log: Log): Promise<ExportedJWKSCache | undefined> {
  try {
    const cached = cacheSchema.parse(JSON.parse(await readFile(file, "utf8")));
    // Keys of another team are not valid for this one. A time in the future would never expire.
    if (cached.url !== url || cached.uat > Date.now() || Date.now() - cached.uat > MAX_AGE_MS) return undefined;
    return { uat: cached.uat, jwks: cached.jwks };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      log.warn({ file, reason: reason(cause) }, "cached keys of Access are ignored: the file cannot be read");
    }
    return undefined;
  }
}

async function writeCache(file: string, cached: z.infer<typeof cacheSchema>, log: Log): Promise<void> {
  try {
    // Anyone who can write this file can admit any caller.
    await replaceFile(file, JSON.stringify(cached), { synced: false });
  } catch (cause) {
    log.warn({ file, reason: reason(cause) }, "keys of Access not cached on disk");
  }
}

/** The innermost message: fetch reports only "fetch failed", with the reason as its cause. */
function reason(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return last instanceof Error ? last.message : String(last);
}
