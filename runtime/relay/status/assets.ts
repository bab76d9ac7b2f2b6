/** The page's own program and style sheet: files beside the bundled relay, built from `client/`. */
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";

/** A file as it is sent. */
export interface Asset {
  readonly type: string;
  readonly plain: Buffer;
  /** Compressed here, since Cloudflare must not transform what the relay sends. */
  readonly gzipped: Buffer;
}

export interface PageAssets {
  readonly script: Asset;
  readonly style: Asset;
}

/** Names of the files. */
const FILES = { script: "status-page.js", style: "status-page.css" } as const;

// A relay that runs from its sources has none, unless a test names a folder.
const BESIDE = import.meta.url.endsWith(".ts") ? undefined : new URL("./", import.meta.url);

/** @returns undefined where they are missing: the page then shows what it can without them */
export async function loadAssets(folder: URL | undefined = BESIDE): Promise<PageAssets | undefined> {
  if (folder === undefined) return undefined;
  const read = async (name: string, type: string): Promise<Asset> => {
    const plain = await readFile(new URL(name, folder));
    return { type: `${type}; charset=utf-8`, plain, gzipped: gzipSync(plain, { level: 9 }) };
  };
  try {
    const [script, style] = await Promise.all([read(FILES.script, "text/javascript"), read(FILES.style, "text/css")]);
    return { script, style };
  } catch {
    return undefined;
  }
}

export function sendAsset(req: IncomingMessage, res: ServerResponse, { type, plain, gzipped }: Asset): void {
  const takesGzip = /\bgzip\b/.test(String(req.headers["accept-encoding"] ?? ""));
  const body = takesGzip ? gzipped : plain;
  res.setHeader("Vary", "Accept-Encoding");
  if (takesGzip) res.setHeader("Content-Encoding", "gzip");
  res.writeHead(200, { "Content-Type": type, "Content-Length": String(body.length) });
  res.end(body);
}
