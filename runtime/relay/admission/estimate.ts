/** What a request is charged before it is known what it used. Pure. */

import { numberAfter, type Usage } from "../usage/usage.ts";
import type { QueueName } from "./slot-request.ts";

/** Tokens an answer is taken for when the request does not say how long it may be. */
const ANSWER = 256;
/** UTF-8 bytes a token, about the same for English (4 letters) and Korean (1 to 2 syllables of 3 bytes). */
const BYTES_PER_TOKEN = 4;
/** No model takes a longer prompt; larger bodies are pictures. */
const LONGEST_PROMPT = 131_072;
/** Nothing is free: a request costs time of its own. */
const LEAST = 64;
/** Where the bound on the answer stands in a long body: before or after the messages. */
const EDGE = 4096;

const BOUNDS = ["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"].map((name) =>
  Buffer.from(`"${name}"`),
);

/**
 * What an answer has cost, as far as it said so; undefined (the estimate stands) for a chat whose answer did not.
 * @param bytes of the request's body
 */
export function usedTokens(queue: QueueName, bytes: number, { prompt, output }: Usage): number | undefined {
  if (queue === "chat" && output === undefined) return undefined;
  return Math.max((prompt ?? Math.min(Math.ceil(bytes / BYTES_PER_TOKEN), LONGEST_PROMPT)) + (output ?? 0), LEAST);
}

/**
 * Tokens of prompt and answer together, guessed from the body's length and the bound on the answer, if there is one.
 * Constant time, also for large bodies.
 */
export function estimateTokens(routeName: string, body: Buffer): number {
  const prompt = Math.min(Math.ceil(body.length / BYTES_PER_TOKEN), LONGEST_PROMPT);
  if (/embed/.test(routeName)) return Math.max(prompt, LEAST);
  const edges = body.length <= 2 * EDGE ? [body] : [body.subarray(0, EDGE), body.subarray(body.length - EDGE)];
  const bound = firstNumber(edges, BOUNDS) ?? ANSWER;
  return Math.max(prompt + Math.min(bound, ANSWER), LEAST);
}

function firstNumber(parts: readonly Buffer[], keys: readonly Buffer[]): number | undefined {
  for (const part of parts) {
    for (const key of keys) {
      for (let at = part.indexOf(key); at >= 0; at = part.indexOf(key, at + 1)) {
        const found = numberAfter(part, at + key.length);
        if (found !== undefined) return found;
      }
    }
  }
  return undefined;
}
