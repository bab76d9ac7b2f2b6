/** Reads from an answer's bytes, as they pass, how many tokens it used. Keeps a few KiB at most and copies nothing. */

/** What an answer says about itself. */
export interface Usage {
  readonly prompt: number | undefined;
  readonly output: number | undefined;
}

/** The counts stand at the end of an answer, in all dialects. */
const TAIL_BYTES = 4096;
const DATA = Buffer.from("data:");
const LINE_FEED = 10;

// A quote within a JSON string is escaped, so these match keys only, never what a model wrote.
const keys = (...names: string[]) => names.map((name) => Buffer.from(`"${name}"`));
const PROMPT = keys("prompt_tokens", "input_tokens", "prompt_eval_count");
const OUTPUT = keys("completion_tokens", "output_tokens", "eval_count");

export class Meter {
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #lines: "sse" | "ndjson" | undefined;
  /** Events (SSE) or lines (NDJSON) so far: about one a token. 0 for an answer in one piece. */
  events = 0;
  bytes = 0;

  /** Tells what the answer is, by its Content-Type. */
  begin(contentType: string): void {
    this.#lines = /event-stream/i.test(contentType) ? "sse" : /ndjson/i.test(contentType) ? "ndjson" : undefined;
  }

  feed(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#lines === "sse") this.events += count(chunk, DATA);
    else if (this.#lines === "ndjson") this.events += count(chunk, LINE_FEED);
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    while (this.#tailBytes - this.#tail[0]!.length >= TAIL_BYTES) this.#tailBytes -= this.#tail.shift()!.length;
  }

  /** What the answer said, or what its events let guess. */
  usage(): Usage {
    const bytes = this.#tail.length === 1 ? this.#tail[0]! : Buffer.concat(this.#tail, this.#tailBytes);
    const tail = bytes.subarray(Math.max(0, bytes.length - TAIL_BYTES));
    return {
      prompt: lastNumber(tail, PROMPT),
      output: lastNumber(tail, OUTPUT) ?? (this.events > 0 ? this.events : undefined),
    };
  }
}

function count(chunk: Buffer, what: Buffer | number): number {
  let found = 0;
  for (let at = chunk.indexOf(what); at >= 0; at = chunk.indexOf(what, at + 1)) found += 1;
  return found;
}

/** The number of the key that stands last. */
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
/** Digits that are read of a number. */
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
