/** What a request is charged before it is known what it used. Pure. */

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

const BOUND = /"(?:max_tokens|max_completion_tokens|max_output_tokens|num_predict)"\s*:\s*(\d{1,9})/;

/**
 * Tokens of prompt and answer together, guessed from the body's length and the bound on the answer, if there is one.
 * Constant time, also for large bodies.
 */
export function estimateTokens(routeName: string, body: Buffer): number {
  const prompt = Math.min(Math.ceil(body.length / BYTES_PER_TOKEN), LONGEST_PROMPT);
  if (/embed/.test(routeName)) return Math.max(prompt, LEAST);
  const edges =
    body.length <= 2 * EDGE
      ? body.toString("latin1")
      : body.toString("latin1", 0, EDGE) + body.toString("latin1", body.length - EDGE);
  const bound = BOUND.exec(edges)?.[1];
  return Math.max(prompt + Math.min(bound === undefined ? ANSWER : Number(bound), ANSWER), LEAST);
}
