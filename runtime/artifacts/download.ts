/**
 * Downloads a file from a vendor's site: tried again when the transfer is cut, bounded when it is slow, through the proxy
 * that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case).
 */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import { setTimeout as delay } from "node:timers/promises";
import { EnvHttpProxyAgent, fetch } from "undici";

/** Bounds of a download; all times in milliseconds. */
export interface DownloadBounds {
  /** Tries before it counts as failed. @default 3 */
  attempts?: number;
  /** Longest silence: until the answer's head, and between two pieces of its body. @default 30_000 */
  idleMs?: number;
  /** All tries together. @default 600_000 */
  withinMs?: number;
  /** Pause before the second try; doubled for each further one. @default 1_000 */
  pauseMs?: number;
  /** Told now and then how much has come in; `total` is undefined when the server does not say. */
  onProgress?: (received: number, total: number | undefined) => void;
}

/** A file could not be downloaded; the message is the reason, without the address. */
export class DownloadFailed extends Error {
  override name = "DownloadFailed";
}

/** The server answered, and asking it again would not help. */
class Refused extends Error {}

/**
 * Downloads `url` into the file `to`, which is overwritten.
 * @returns the sha256 of what came, in hex: the caller compares it
 * @throws DownloadFailed when every try failed, or the server has no such file
 */
export async function download(url: string, to: string, bounds: DownloadBounds = {}): Promise<string> {
  const { attempts = 3, idleMs = 30_000, withinMs = 600_000, pauseMs = 1_000 } = bounds;
  const deadline = AbortSignal.timeout(withinMs);
  const dispatcher = new EnvHttpProxyAgent({
    connect: { timeout: Math.min(15_000, idleMs) },
    headersTimeout: idleMs,
    bodyTimeout: idleMs,
  });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await once(url, to, dispatcher, deadline, bounds.onProgress);
      } catch (error) {
        const why = deadline.aborted ? `not complete within ${withinMs / 1000} s` : reason(error);
        if (error instanceof Refused || deadline.aborted) throw new DownloadFailed(why);
        if (attempt === attempts) throw new DownloadFailed(`${why}; tried ${attempts} times`);
        await delay(pauseMs * 2 ** (attempt - 1));
      }
    }
  } finally {
    await dispatcher.destroy();
  }
}

async function once(
  url: string,
  to: string,
  dispatcher: EnvHttpProxyAgent,
  signal: AbortSignal,
  onProgress: DownloadBounds["onProgress"],
): Promise<string> {
  // identity: an archive that is unpacked on the way has another hash.
  const response = await fetch(url, { dispatcher, signal, headers: { "accept-encoding": "identity" } });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    const isPassing = response.status >= 500 || response.status === 408 || response.status === 429;
    throw isPassing ? new Error(`HTTP ${response.status}`) : new Refused(`HTTP ${response.status}`);
  }
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const total = Number.isNaN(length) ? undefined : length;
  const hash = createHash("sha256");
  let received = 0;
  const count = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      received += chunk.length;
      onProgress?.(received, total);
      done(null, chunk);
    },
  });
  await pipeline(Readable.fromWeb(response.body as ReadableStream), count, createWriteStream(to));
  if (total !== undefined && received !== total) throw new Error(`only ${received} of ${total} bytes came`);
  return hash.digest("hex");
}

/** @returns why nothing answers at the address's host, or undefined when something does; within seconds */
export async function unreachable(url: string, withinMs = 5_000): Promise<string | undefined> {
  const dispatcher = new EnvHttpProxyAgent({ connect: { timeout: withinMs } });
  try {
    const response = await fetch(new URL("/", url), {
      dispatcher,
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(withinMs),
    });
    return response.status >= 500 ? `HTTP ${response.status}` : undefined;
  } catch (error) {
    return error instanceof Error && error.name === "TimeoutError"
      ? `no answer within ${withinMs / 1000} s`
      : reason(error);
  } finally {
    await dispatcher.destroy();
  }
}

/** fetch says "fetch failed" or "terminated"; its cause says why. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reason(error.cause);
  const code = (error as NodeJS.ErrnoException).code;
  return error.message || code || error.name;
}
