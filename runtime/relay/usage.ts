/** Reads from an answer's bytes, as they pass, how many tokens it used. Keeps a few KiB at most and copies nothing. */

/** What an answer says about itself. */
export interface Usage {
  readonly prompt: number | undefined;
  readonly output: number | undefined;
}

/** The counts stand at the end of an answer, in all dialects. */
const TAIL = 4096;
const DATA = Buffer.from("data:");
const LINE_FEED = 10;

// A quote within a JSON string is escaped, so these match keys only, never what a model wrote.
const PROMPT = /"(?:prompt_tokens|input_tokens|prompt_eval_count)"\s*:\s*(\d{1,9})/g;
const OUTPUT = /"(?:completion_tokens|output_tokens|eval_count)"\s*:\s*(\d{1,9})/g;

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
    while (this.#tailBytes - this.#tail[0]!.length >= TAIL) this.#tailBytes -= this.#tail.shift()!.length;
  }

  /** What the answer said, or what its events let guess. */
  usage(): Usage {
    const bytes = Buffer.concat(this.#tail, this.#tailBytes);
    const text = bytes.toString("latin1", Math.max(0, bytes.length - TAIL));
    return {
      prompt: last(text, PROMPT),
      output: last(text, OUTPUT) ?? (this.events > 0 ? this.events : undefined),
    };
  }
}

function count(chunk: Buffer, what: Buffer | number): number {
  let found = 0;
  for (let at = chunk.indexOf(what); at >= 0; at = chunk.indexOf(what, at + 1)) found += 1;
  return found;
}

function last(text: string, pattern: RegExp): number | undefined {
  let found: string | undefined;
  for (const match of text.matchAll(pattern)) found = match[1];
  return found === undefined ? undefined : Number(found);
}
