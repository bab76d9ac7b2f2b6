/**
 * Prompts of a given length. A cold prompt begins with a number of its own, so that no cache can hold its beginning; warm
 * prompts are the same text again and again. The text is a list to go on with, which even small models continue for long.
 */
import type { Question } from "./wire.ts";

/** How the owner's requests look, in tokens. */
export interface Shape {
  readonly promptTokens: number;
  readonly answerTokens: number;
}

/** Characters of a token, about; corrected by what the server counts. */
export const CHARACTERS_PER_TOKEN = 4;

const WORDS = (
  "the office keeps a list of tools that people borrow and bring back every week so that others find what they need " +
  "when a new order comes in from a shop near the river and the clerk writes down who asked for it"
).split(" ");

/** Text of about `characters`, always the same for one `seed`. */
export function textOf(characters: number, seed: number): string {
  const words: string[] = [];
  let [length, state] = [0, (seed * 2_654_435_761 + 1) >>> 0];
  while (length < characters) {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    const word = WORDS[state % WORDS.length] ?? "the";
    words.push(word);
    length += word.length + 1;
  }
  return words.join(" ").slice(0, Math.max(1, characters));
}

/** Makes the questions of one run: `cold()` never the same beginning twice, `warm(i)` one of a few that stay the same. */
export function questions({ promptTokens, answerTokens }: Shape, perToken = CHARACTERS_PER_TOKEN, run = Date.now()) {
  let made = 0;
  const ask = (mark: string, seed: number, answer: number): Question => {
    const head = `[${mark}] Repeat this text, then count upward from one in words and do not stop: `;
    return { prompt: head + textOf(Math.max(16, promptTokens * perToken - head.length), seed), answerTokens: answer };
  };
  // Lengths differ by up to a fifth, so that requests do not stay in step with each other.
  const varied = (i: number) => Math.max(1, Math.round(answerTokens * (0.8 + 0.4 * (((i * 7) % 11) / 10))));
  return {
    cold: (): Question => {
      made += 1;
      return ask(`${run}-${made}`, run + made, varied(made));
    },
    warm: (i: number): Question => ask(`warm-${run}-${i}`, i, answerTokens),
  };
}

export type Questions = ReturnType<typeof questions>;
