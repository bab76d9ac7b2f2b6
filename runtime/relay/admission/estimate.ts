/** Estimates a request's cost in tokens before it runs, and determines it afterwards. Pure. */

import { numberAfter, promptTokens, type Usage } from "../usage/usage.ts";
import type { QueueName } from "./slot-request.ts";

/** Assumed tokens of an answer; also the maximum, as most answers are shorter than their bound. */
const ANSWER = 256;
/** Minimum cost: every request takes some time. */
const LEAST = 64;
/** A long body is searched for the bound on the answer in this many bytes at both ends: before and after the messages. */
const EDGE = 4096;

/**
 * Tokens used, as the answer reports them; undefined (keep the estimate) for a chat answer without usage.
 * @param bytes length of the request's body
 */
export function usedTokens(queue: QueueName, bytes: number, { prompt, output }: Usage): number | undefined {
  if (queue === "chat" && output === undefined) return undefined;
  return Math.max((prompt ?? promptTokens(bytes)) + (output ?? 0), LEAST);
}

/** What an estimate needs to know of a call: its queue, and the keys with which it may bound its answer. */
export interface EstimatedCall {
  readonly queue?: QueueName;
  readonly dialect: { readonly answerLimits: readonly string[] };
}

/**
 * Estimated tokens of prompt and answer together, from the body's length and the bound on the answer, if there is one.
 * Constant time, even for large bodies.
 */
export function estimateTokens({ queue, dialect }: EstimatedCall, body: Buffer): number {
  const prompt = promptTokens(body.length);
  if (queue === "embeddings") return Math.max(prompt, LEAST);
  const edges = body.length <= 2 * EDGE ? [body] : [body.subarray(0, EDGE), body.subarray(body.length - EDGE)];
  const bound = firstNumber(edges, quotedKeys(dialect.answerLimits)) ?? ANSWER;
  return Math.max(prompt + Math.min(bound, ANSWER), LEAST);
}

const QUOTED = new WeakMap<readonly string[], readonly Buffer[]>();

/** The keys as they stand in JSON. Made once for each dialect. */
function quotedKeys(keys: readonly string[]): readonly Buffer[] {
  const quoted = QUOTED.get(keys) ?? keys.map((key) => Buffer.from(`"${key}"`));
  QUOTED.set(keys, quoted);
  return quoted;
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
