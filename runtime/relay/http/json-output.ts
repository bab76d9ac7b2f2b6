/** Writes JSON responses of any length: built in slices, sent with back-pressure, never whole in memory. */
import type { ServerResponse } from "node:http";
import { nextTimeSlice, SLICE } from "./time-slices.ts";

/** Content-Type of JSON. */
export const JSON_TYPE = "application/json; charset=utf-8";
/** Most characters of a string, or numbers of a vector, per piece. */
const STRING_PIECE = 16 * 1024;
const NUMBERS_PIECE = 512;
/** How long a client may read nothing of a response before its connection is cut, in milliseconds. */
const STALL_MS = 60_000;

/**
 * The JSON text of a value as `JSON.stringify` returns it, in pieces of at most about 100,000 characters. A Float32Array or any
 * other iterable is written as an array, and iterated only as far as the text is consumed. Undefined members are omitted.
 */
export function* jsonPieces(value: unknown): Generator<string> {
  if (typeof value === "string" && value.length > STRING_PIECE) yield* stringPieces(value);
  else if (value instanceof Float32Array) yield* numberPieces(value);
  else if (typeof value !== "object" || value === null) yield JSON.stringify(value ?? null);
  else if (Symbol.iterator in value) {
    let before = "[";
    for (const one of value as Iterable<unknown>) {
      yield before;
      yield* jsonPieces(one);
      before = ",";
    }
    yield before === "[" ? "[]" : "]";
  } else {
    let before = "{";
    for (const [key, one] of Object.entries(value)) {
      if (one === undefined) continue;
      yield `${before}${JSON.stringify(key)}:`;
      yield* jsonPieces(one);
      before = ",";
    }
    yield before === "{" ? "{}" : "}";
  }
}

function* stringPieces(text: string): Generator<string> {
  yield '"';
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + STRING_PIECE);
    // Surrogate pairs stay together: a lone surrogate would be escaped.
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end += 1;
    yield JSON.stringify(text.slice(at, end)).slice(1, -1);
    at = end;
  }
  yield '"';
}

function* numberPieces(vector: Float32Array): Generator<string> {
  yield "[";
  for (let at = 0; at < vector.length; at += NUMBERS_PIECE) {
    const text = JSON.stringify(Array.from(vector.subarray(at, at + NUMBERS_PIECE))).slice(1, -1);
    yield at === 0 ? text : `,${text}`;
  }
  yield "]";
}

/** Collects pieces up to about a slice. @returns undefined when there are no more */
function nextSlice(pieces: Iterator<string>): string | undefined {
  let text = "";
  while (text.length < SLICE / 2) {
    const { value, done } = pieces.next();
    if (done === true) return text === "" ? undefined : text;
    text += value;
  }
  return text;
}

/**
 * The JSON text of a value, as UTF-8, built in slices. @returns undefined if it is longer than `maxBytes`
 * @param grow called before more memory is used, with the bytes
 */
export async function collectJson(
  value: unknown,
  maxBytes: number,
  grow: (bytes: number) => void,
): Promise<Buffer | undefined> {
  const pieces = jsonPieces(value);
  const collected: Buffer[] = [];
  let bytes = 0;
  for (let text = nextSlice(pieces); text !== undefined; text = nextSlice(pieces)) {
    const piece = Buffer.from(text);
    bytes += piece.length;
    if (bytes > maxBytes) return undefined;
    grow(2 * piece.length); // the pieces, and the whole of them
    collected.push(piece);
    await nextTimeSlice();
  }
  return Buffer.concat(collected);
}

/**
 * Responds with JSON. A short response is sent at once with its length; a longer one in slices, as fast as the client reads.
 * Resolves when all is written or the client has disconnected; a client that reads nothing for a minute is cut. If heartbeats
 * have committed the head (status 200), only the body is sent.
 */
export async function sendJson(
  res: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const pieces = jsonPieces(value);
  const first = nextSlice(pieces) ?? "";
  const second = nextSlice(pieces);
  const head = { "Content-Type": JSON_TYPE, ...headers };
  if (second === undefined) {
    if (!res.headersSent) res.writeHead(status, { ...head, "Content-Length": String(Buffer.byteLength(first)) });
    res.end(first);
    return;
  }
  if (!res.headersSent) res.writeHead(status, head);
  if (res.req.method !== "HEAD") {
    await writeSlice(res, first);
    await writeSlice(res, second);
    await writePieces(res, pieces);
  }
  res.end();
}

/** Writes the rest of a response; see `sendJson`. Does not end it. */
export async function writePieces(res: ServerResponse, pieces: Iterator<string>): Promise<void> {
  while (!res.destroyed) {
    await nextTimeSlice();
    const text = nextSlice(pieces);
    if (text === undefined) return;
    await writeSlice(res, text);
  }
}

async function writeSlice(res: ServerResponse, text: string): Promise<void> {
  if (res.destroyed || res.write(text)) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      clearTimeout(timer);
      res.off("drain", go).off("close", go);
      resolve();
    };
    const timer = setTimeout(() => res.destroy(), STALL_MS);
    res.on("drain", go).on("close", go);
  });
}
