/**
 * Converts the vectors of an embeddings answer from numbers to base64 as it passes: little-endian 32-bit floats, as OpenAI's
 * clients ask for by themselves. Vectors that are base64 already, and everything else, stay byte for byte.
 * Source: https://platform.openai.com/docs/api-reference/embeddings/create
 */
import type { PieceChange } from "../http/answer-rewriter.ts";

const KEY = Buffer.from('"embedding"');
const [QUOTE, COLON, OPEN, CLOSE] = [34, 58, 91, 93] as const;
/** Longest vector that is converted, in bytes as written: over 40,000 numbers. A longer one passes as it is. */
const LONGEST_VECTOR = 1024 * 1024;

const isSpace = (byte: number): boolean => byte === 32 || byte === 10 || byte === 13 || byte === 9;

const FORMAT_KEY = Buffer.from('"encoding_format"');
const BASE64 = Buffer.from('"base64"');

/** Whether a request for embeddings asks for base64. A quote within a JSON string is escaped, so only keys are found. */
export function wantsBase64(body: Buffer): boolean {
  for (let at = body.indexOf(FORMAT_KEY); at >= 0; at = body.indexOf(FORMAT_KEY, at + 1)) {
    const colon = afterSpace(body, at + FORMAT_KEY.length);
    if (body[colon] !== COLON) continue;
    const value = afterSpace(body, colon + 1);
    return body.subarray(value, value + BASE64.length).equals(BASE64);
  }
  return false;
}

function afterSpace(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && isSpace(bytes[at]!)) at += 1;
  return at;
}

export class Base64Vectors implements PieceChange {
  /** Bytes whose meaning depends on what follows. */
  #rest: Buffer = Buffer.alloc(0);

  next(chunk: Buffer): Buffer {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const { out, rest } = converted(bytes);
    // A copy: the chunk's memory is the connection's.
    this.#rest = Buffer.from(rest);
    return out;
  }

  end(): Buffer {
    return this.#rest;
  }
}

function converted(bytes: Buffer): { out: Buffer; rest: Buffer } {
  const out: Buffer[] = [];
  let done = 0;
  const until = (at: number) => {
    out.push(bytes.subarray(done, at));
    done = at;
  };
  const waitFrom = (at: number) => {
    until(at);
    return { out: Buffer.concat(out), rest: bytes.subarray(at) };
  };
  for (let from = 0; ; ) {
    const at = bytes.indexOf(KEY, from);
    if (at < 0) return waitFrom(Math.max(done, bytes.length - KEY.length + 1));
    const colon = afterSpace(bytes, at + KEY.length);
    const value = bytes[colon] === COLON ? afterSpace(bytes, colon + 1) : colon;
    if (value >= bytes.length) return waitFrom(at);
    from = value;
    if (bytes[colon] !== COLON || bytes[value] !== OPEN) continue;
    const close = bytes.indexOf(CLOSE, value);
    if (close < 0) {
      if (bytes.length - at <= LONGEST_VECTOR) return waitFrom(at);
      continue;
    }
    const text = base64Of(bytes.toString("latin1", value, close + 1));
    if (text !== undefined) {
      until(value);
      out.push(text);
      done = close + 1;
    }
    from = close + 1;
  }
}

/** @returns the vector as a JSON string; undefined for what is no array of numbers */
function base64Of(json: string): Buffer | undefined {
  let numbers: unknown;
  try {
    numbers = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!Array.isArray(numbers) || !numbers.every((one): one is number => typeof one === "number")) return undefined;
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [index, one] of numbers.entries()) bytes.writeFloatLE(one, 4 * index);
  return Buffer.from(`${String.fromCharCode(QUOTE)}${bytes.toString("base64")}${String.fromCharCode(QUOTE)}`);
}
