/** Reads token usage from an answer's bytes as they pass. Keeps a few KiB at most, without copies. */

import type { UsageKeys } from "../dialects/dialect.ts";

/** Token counts of an answer; undefined if not reported. */
export interface Usage {
  readonly prompt: number | undefined;
  readonly output: number | undefined;
  /** Tokens of the prompt that came from the model server's cache, where it says so. */
  readonly cached?: number | undefined;
}

/** UTF-8 bytes per token, about the same for English (4 letters) and Korean (1 to 2 syllables of 3 bytes). */
export const BYTES_PER_TOKEN = 4;
/** No model accepts a longer prompt; larger bodies are images. */
const LONGEST_PROMPT = 131_072;

/** Estimated tokens of a prompt. @param bytes length of the request's body */
export const promptTokens = (bytes: number): number => Math.min(Math.ceil(bytes / BYTES_PER_TOKEN), LONGEST_PROMPT);

/** Bytes of an answer's end, and of its start where the dialect states usage there, that are searched. */
const EDGE_BYTES = 4096;
const DATA = Buffer.from("data:");
const LINE_FEED = 10;

export class Meter {
  readonly #keys: UsageKeys;
  #start: Buffer[] = [];
  #startBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #lines: "sse" | "ndjson" | undefined;
  /** Events (SSE) or lines (NDJSON) so far: about one per token. 0 for an answer that is not streamed. */
  events = 0;
  bytes = 0;

  /** @param keys of the dialect of the answer */
  constructor(keys: UsageKeys) {
    this.#keys = keys;
  }

  /** Sets the framing of the answer by its Content-Type. */
  begin(contentType: string): void {
    this.#lines = /event-stream/i.test(contentType) ? "sse" : /ndjson/i.test(contentType) ? "ndjson" : undefined;
  }

  feed(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#lines === "sse") this.events += count(chunk, DATA);
    else if (this.#lines === "ndjson") this.events += count(chunk, LINE_FEED);
    if (this.#keys.at === "start_and_end" && this.#startBytes < EDGE_BYTES) {
      this.#start.push(chunk.subarray(0, EDGE_BYTES - this.#startBytes));
      this.#startBytes += chunk.length;
    }
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    while (this.#tailBytes - this.#tail[0]!.length >= EDGE_BYTES) this.#tailBytes -= this.#tail.shift()!.length;
  }

  /** The usage reported by the answer; otherwise the number of events as output tokens. */
  usage(): Usage {
    const bytes = this.#tail.length === 1 ? this.#tail[0]! : Buffer.concat(this.#tail, this.#tailBytes);
    const tail = bytes.subarray(Math.max(0, bytes.length - EDGE_BYTES));
    const start = Buffer.concat(this.#start);
    const { prompt, output, cached, beside } = compiled(this.#keys);
    const stated = (names: readonly Buffer[]) => lastNumber(tail, names) ?? lastNumber(start, names);
    const promptTokens = stated(prompt);
    const besidePrompt = beside.reduce((sum, name) => sum + (stated([name]) ?? 0), 0);
    return {
      prompt: promptTokens === undefined ? undefined : promptTokens + besidePrompt,
      output: stated(output) ?? (this.events > 0 ? this.events : undefined),
      cached: stated(cached),
    };
  }
}

type Compiled = Readonly<Record<"prompt" | "output" | "cached" | "beside", readonly Buffer[]>>;
const COMPILED = new WeakMap<UsageKeys, Compiled>();

/** The keys as they stand in JSON. A quote within a JSON string is escaped, so they match keys only, never a model's text. */
function compiled(keys: UsageKeys): Compiled {
  const known = COMPILED.get(keys);
  if (known !== undefined) return known;
  const quoted = (names: readonly string[]) => names.map((name) => Buffer.from(`"${name}"`));
  const made = {
    prompt: quoted(keys.prompt),
    output: quoted(keys.output),
    cached: quoted(keys.cached),
    beside: quoted(keys.besidePrompt ?? []),
  };
  COMPILED.set(keys, made);
  return made;
}

function count(chunk: Buffer, what: Buffer | number): number {
  let found = 0;
  for (let at = chunk.indexOf(what); at >= 0; at = chunk.indexOf(what, at + 1)) found += 1;
  return found;
}

/** The number after the last occurrence of any of the keys. */
function lastNumber(text: Buffer, names: readonly Buffer[]): number | undefined {
  let found: number | undefined;
  let foundAt = -1;
  for (const name of names) {
    for (let at = text.lastIndexOf(name); at > foundAt; at = at === 0 ? -1 : text.lastIndexOf(name, at - 1)) {
      const number = numberAfter(text, at + name.length);
      if (number === undefined) continue;
      found = number;
      foundAt = at;
    }
  }
  return found;
}

const COLON = 58;
const ZERO = 48;
/** Maximum digits of a number; the rest is ignored. */
const DIGITS = 9;

/** The number after a key that ends before `at`, its first 9 digits; undefined if none follows. */
export function numberAfter(text: Buffer, at: number): number | undefined {
  const colon = afterSpace(text, at);
  if (text[colon] !== COLON) return undefined;
  const start = afterSpace(text, colon + 1);
  let number: number | undefined;
  for (let next = start; next < start + DIGITS; next += 1) {
    const digit = (text[next] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) break;
    number = (number ?? 0) * 10 + digit;
  }
  return number;
}

function afterSpace(text: Buffer, at: number): number {
  let next = at;
  while (text[next] === 32 || text[next] === LINE_FEED || text[next] === 13 || text[next] === 9) next += 1;
  return next;
}
