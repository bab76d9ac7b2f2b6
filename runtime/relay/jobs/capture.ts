/** Keeps a copy of an answer while it is written to the caller. */
import type { ServerResponse } from "node:http";
import { headersFromModel } from "../headers.ts";
import { sha256 } from "./records.ts";
import type { StoredAnswer } from "./store.ts";

/**
 * Copies what is written into `res` from now on.
 * @returns a function that gives the copy; undefined if it grew over `maxBytes`, or nothing was written
 */
export function captureAnswer(res: ServerResponse, maxBytes: number): () => StoredAnswer | undefined {
  let chunks: Buffer[] | undefined = [];
  let size = 0;
  const copy = (chunk: unknown) => {
    if (chunks === undefined || chunk === undefined || chunk === null || typeof chunk === "function") return;
    const bytes = Buffer.from(chunk as Uint8Array | string as string);
    size += bytes.length;
    if (size > maxBytes) chunks = undefined;
    else chunks.push(bytes);
  };
  const write = res.write.bind(res) as (...args: unknown[]) => boolean;
  const end = res.end.bind(res) as (...args: unknown[]) => ServerResponse;
  res.write = ((...args: unknown[]) => {
    copy(args[0]);
    return write(...args);
  }) as typeof res.write;
  res.end = ((...args: unknown[]) => {
    copy(args[0]);
    return end(...args);
  }) as typeof res.end;
  return () => {
    if (chunks === undefined || !res.headersSent) return undefined;
    const body = Buffer.concat(chunks, size);
    const headers = headersFromModel(
      Object.fromEntries(Object.entries(res.getHeaders()).map(([k, v]) => [k, String(v)])),
    );
    return { status: res.statusCode, headers, body, sha256: sha256(body) };
  };
}
