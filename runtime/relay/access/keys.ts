/**
 * The keys that Access signs with. The last set is kept on disk, since after a power cut the router may be back later than
 * the Mac.
 */
import { chmod, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRemoteJWKSet, customFetch, type ExportedJWKSCache, type JWTVerifyGetKey, jwksCache } from "jose";
import { z } from "zod";
import type { Log } from "../telemetry/log.ts";

/** No key to check with: the address can not be reached, and no set that is young enough is kept. A retry may help. */
export class KeysUnavailable extends Error {}

const REFRESH_MS = 10 * 60_000;
const RETRY_MS = 30_000;
// Cloudflare keeps the previous key valid for 7 days, so an older set may hold keys it has given up.
// Source: https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/
const MAX_AGE_MS = 7 * 24 * 3600_000;

const jwksSchema = z.looseObject({ keys: z.array(z.looseObject({ kty: z.string() })).min(1) });
const cacheSchema = z.object({ url: z.string(), uat: z.number(), jwks: jwksSchema });

/** A source of keys for `jwtVerify`, with a timer that must be stopped. */
export interface AccessKeys {
  readonly get: JWTVerifyGetKey;
  /** Stops refreshing and waits for a write that is under way. */
  close(): Promise<void>;
}

/**
 * Keys of `https://<teamDomain>/cdn-cgi/access/certs`, fetched with the global fetch, so that Node's NODE_USE_ENV_PROXY,
 * HTTPS_PROXY and NODE_EXTRA_CA_CERTS apply. Fetched at start, every 10 min (every 30 s after a failure) and when a token
 * names a key that is not known (at most every 30 s). `get` waits for the net only if no key is known or the key asked for
 * is not; it throws KeysUnavailable if that fails, after 5 s at most. Kept in `dataDir/jwks.json`, and used for up to 7
 * days while the address is down.
 */
export async function openAccessKeys(teamDomain: string, dataDir: string, log: Log): Promise<AccessKeys> {
  const url = `https://${teamDomain}/cdn-cgi/access/certs`;
  const file = join(dataDir, "jwks.json");
  const kept = await readCache(file, url, log);
  let fetchedAt = kept?.uat;
  let saving: Promise<void> = Promise.resolve();

  const remote = createRemoteJWKSet(new URL(url), {
    cacheMaxAge: Number.POSITIVE_INFINITY, // age is judged here: jose would drop a set it can not renew
    [jwksCache]: kept ?? {},
    [customFetch]: async (address, options) => {
      try {
        const response = await fetch(address, options);
        if (response.status !== 200) throw new Error(`it answers ${response.status}`);
        const jwks = jwksSchema.parse(await response.json());
        const now = Date.now();
        fetchedAt = now;
        saving = saving.then(() => writeCache(file, { url, uat: now, jwks }, log));
        return Response.json(jwks);
      } catch (cause) {
        throw new KeysUnavailable(`the keys of Access at ${url} can not be fetched: ${reason(cause)}`, { cause });
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
    const kept = cacheSchema.parse(JSON.parse(await readFile(file, "utf8")));
    // Keys of another team must not count for this one; a time in the future would never grow old.
    if (kept.url !== url || kept.uat > Date.now() || Date.now() - kept.uat > MAX_AGE_MS) return undefined;
    return { uat: kept.uat, jwks: kept.jwks };
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") {
      log.warn({ file, reason: reason(cause) }, "kept keys of Access can not be read; going on without them");
    }
    return undefined;
  }
}

async function writeCache(file: string, kept: z.infer<typeof cacheSchema>, log: Log): Promise<void> {
  try {
    // Who can write this file can let anybody in.
    await writeFile(`${file}.new`, JSON.stringify(kept), { mode: 0o600 });
    await chmod(`${file}.new`, 0o600);
    await rename(`${file}.new`, file);
  } catch (cause) {
    log.warn({ file, reason: reason(cause) }, "keys of Access not kept on disk");
  }
}

/** The innermost message: fetch says only "fetch failed" and hides why in the cause. */
function reason(error: unknown): string {
  let last = error;
  while (last instanceof Error && last.cause instanceof Error) last = last.cause;
  return last instanceof Error ? last.message : String(last);
}
